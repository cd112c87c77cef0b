//! What all actions share: the store, the engine, the clock and the snapshots in memory.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use lambd_api::ApiError;
use lambd_store::functions::FunctionRow;
use lambd_store::packages::PackageError;
use lambd_store::{Store, StoreError};
use lambd_types::{Clock, FunctionKey, FunctionName, FunctionSnapshot, Scope, random};

use crate::ports::Engine;
use crate::{ControlOptions, functions};

/// A version could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum LookupError {
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Its package cannot be read.
    #[error(transparent)]
    Package(#[from] PackageError),
}

/// The rules' shared state. Clones are handles to the same.
#[derive(Clone)]
pub struct Control {
    inner: Arc<Inner>,
}

struct Inner {
    store: Arc<Store>,
    clock: Arc<dyn Clock>,
    options: ControlOptions,
    engine: OnceLock<Arc<dyn Engine>>,
    /// Versions that were invoked, so that the warm path touches no database.
    snapshots: RwLock<Snapshots>,
    /// Held from the commit of a change to its publication, so that changes are published in the order
    /// in which they were committed.
    changes: tokio::sync::Mutex<()>,
    /// Signs download links; a link dies with the daemon that made it.
    link_secret: [u8; 32],
}

#[derive(Default)]
struct Snapshots {
    by_key: HashMap<FunctionKey, Arc<FunctionSnapshot>>,
    /// Counts changes, so that a row read before one is not remembered after it.
    generation: u64,
}

impl Control {
    /// Rules over `store`. The engine is attached later, because it needs the rules to look functions up.
    pub fn new(store: Arc<Store>, clock: Arc<dyn Clock>, options: ControlOptions) -> Self {
        let inner = Inner {
            store,
            clock,
            options,
            engine: OnceLock::new(),
            snapshots: RwLock::default(),
            changes: tokio::sync::Mutex::default(),
            link_secret: random::bytes(),
        };
        Self { inner: Arc::new(inner) }
    }

    /// Attaches the engine, once.
    pub fn attach(&self, engine: Arc<dyn Engine>) {
        let _ = self.inner.engine.set(engine);
    }

    /// The engine; an error while the daemon is still being assembled.
    pub(crate) fn engine(&self) -> Result<&Arc<dyn Engine>, ApiError> {
        self.inner.engine.get().ok_or_else(|| ApiError::ServiceUnavailable("lambd is starting".to_owned()))
    }

    pub(crate) fn store(&self) -> &Store {
        &self.inner.store
    }

    pub(crate) fn clock(&self) -> &dyn Clock {
        &*self.inner.clock
    }

    pub(crate) fn options(&self) -> &ControlOptions {
        &self.inner.options
    }

    pub(crate) fn link_secret(&self) -> &[u8; 32] {
        &self.inner.link_secret
    }

    /// The current state of a version, `None` when there is none. From memory after the first time.
    pub async fn snapshot(&self, key: &FunctionKey) -> Result<Option<Arc<FunctionSnapshot>>, LookupError> {
        let generation = {
            let snapshots = self.inner.snapshots.read().unwrap_or_else(PoisonError::into_inner);
            if let Some(found) = snapshots.by_key.get(key) {
                return Ok(Some(found.clone()));
            }
            snapshots.generation
        };
        let Some(row) = self.store().function(key).await? else { return Ok(None) };
        let snapshot = self.load(&row).await?;
        let mut snapshots = self.inner.snapshots.write().unwrap_or_else(PoisonError::into_inner);
        if snapshots.generation == generation {
            snapshots.by_key.insert(key.clone(), snapshot.clone());
        }
        Ok(Some(snapshot))
    }

    async fn load(&self, row: &FunctionRow) -> Result<Arc<FunctionSnapshot>, LookupError> {
        let code_dir = self.store().packages().directory(row.code).await?;
        let tags = self.store().function_tags(&row.key.scope, &row.key.name).await?;
        Ok(Arc::new(functions::snapshot(row, &tags, code_dir)))
    }

    /// The right to commit a change; see [`Self::publish_change`].
    pub(crate) async fn changes(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.inner.changes.lock().await
    }

    /// A version has a new row: the next event runs on it. The caller holds [`Self::changes`].
    pub(crate) async fn publish_change(&self, row: &FunctionRow) -> Result<(), ApiError> {
        let loaded = self.load(row).await;
        let mut snapshots = self.inner.snapshots.write().unwrap_or_else(PoisonError::into_inner);
        // Whatever comes of loading it: the row is committed, and what was there before is no longer true.
        snapshots.by_key.remove(&row.key);
        snapshots.generation += 1;
        let snapshot = loaded.map_err(|e| service_error(&e))?;
        snapshots.by_key.insert(row.key.clone(), snapshot.clone());
        drop(snapshots);
        if let Some(engine) = self.inner.engine.get() {
            engine.supersede(&snapshot);
        }
        Ok(())
    }

    /// A function is gone. The caller holds [`Self::changes`].
    pub(crate) fn publish_removal(&self, scope: &Scope, name: &FunctionName) {
        let mut snapshots = self.inner.snapshots.write().unwrap_or_else(PoisonError::into_inner);
        snapshots.by_key.retain(|key, _| key.scope != *scope || key.name != *name);
        snapshots.generation += 1;
        drop(snapshots);
        if let Some(engine) = self.inner.engine.get() {
            engine.remove(scope, name);
        }
    }
}

/// A fault of ours, told in full in the log and briefly to the client.
pub(crate) fn service_error(error: &dyn std::error::Error) -> ApiError {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    tracing::error!(error = %text, "a request failed");
    ApiError::Service(text)
}

pub(crate) fn store_error(error: StoreError) -> ApiError {
    if error.is_disk_full() {
        return disk_full();
    }
    service_error(&error)
}

pub(crate) fn disk_full() -> ApiError {
    ApiError::Service(
        "the disk of lambd's data directory is full; nothing was changed; free some space and try again"
            .to_owned(),
    )
}
