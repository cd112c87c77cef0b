//! What all actions share: the store, the engine, the clock and the snapshots in memory.

use std::sync::{Arc, OnceLock};

use lambd_api::ApiError;
use lambd_store::aliases::{AliasKey, AliasRow};
use lambd_store::functions::{FunctionRow, InForce};
use lambd_store::packages::PackageError;
use lambd_store::{Store, StoreError};
use lambd_types::{
    Clock, FunctionKey, FunctionName, FunctionSnapshot, FunctionTarget, Qualifier, Scope, random,
};

use tokio::sync::Semaphore;

use crate::event_settings::Remembered;
use crate::ports::Engine;
use crate::routing::Route;
use crate::snapshots::{Found, Snapshots, Unsure};
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

/// Packages that are unpacked at one time: each takes a core and a file's worth of memory.
const UNPACKING: usize = 4;
/// Lookups of an event whose alias moves again and again.
const LOOKUPS: usize = 10;

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
    snapshots: Snapshots,
    event_settings: Remembered,
    /// Held from the commit of a change to its publication, so that changes are published in the order
    /// in which they were committed.
    changes: tokio::sync::Mutex<()>,
    /// Room for packages that are being unpacked.
    unpacking: Semaphore,
    /// Signs download links; a link dies with the daemon that made it.
    link_secret: [u8; 32],
}

impl Control {
    /// Rules over `store`. The engine is attached later, because it needs the rules to look functions up.
    pub fn new(store: Arc<Store>, clock: Arc<dyn Clock>, options: ControlOptions) -> Self {
        let inner = Inner {
            store,
            clock,
            options,
            engine: OnceLock::new(),
            snapshots: Snapshots::default(),
            event_settings: Remembered::default(),
            unpacking: Semaphore::new(UNPACKING),
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

    pub(crate) fn unpacking(&self) -> &Semaphore {
        &self.inner.unpacking
    }

    /// What an event runs on now, `None` when the function, its version or its alias does not exist. The choice
    /// between two versions of an alias is made here. From memory after the first time.
    pub async fn resolve(&self, target: &FunctionTarget) -> Result<Option<Found>, LookupError> {
        let key = |version| FunctionKey { scope: target.scope.clone(), name: target.name.clone(), version };
        let alias = match &target.qualifier {
            Qualifier::Version(version) => return self.version(&key(*version)).await,
            Qualifier::Alias(alias) => {
                AliasKey { scope: target.scope.clone(), name: target.name.clone(), alias: alias.clone() }
            }
        };
        for _ in 0..LOOKUPS {
            let Some(route) = self.route(&alias).await? else { return Ok(None) };
            let version = route.choose(if route.additional.is_some() { random_share() } else { 0.0 });
            if let Some(found) = self.version(&key(version)).await? {
                return Ok(Some(found));
            }
            // A version that an alias leads to cannot be deleted: the alias has moved in between.
        }
        Ok(None)
    }

    async fn version(&self, key: &FunctionKey) -> Result<Option<Found>, LookupError> {
        let since = match self.inner.snapshots.version(key) {
            Ok(found) => return Ok(Some(found)),
            Err(since) => since,
        };
        let Some(row) = self.store().function(key).await? else { return Ok(None) };
        let found = self.load(&row).await?;
        self.inner.snapshots.remember_version(since, key, &found);
        Ok(Some(found))
    }

    async fn route(&self, key: &AliasKey) -> Result<Option<Route>, LookupError> {
        let since = match self.inner.snapshots.alias(key) {
            Ok(route) => return Ok(Some(route)),
            Err(since) => since,
        };
        let Some(row) = self.store().alias(key).await? else { return Ok(None) };
        let route = route_of(&row);
        self.inner.snapshots.remember_alias(since, key, route);
        Ok(Some(route))
    }

    async fn load(&self, row: &FunctionRow) -> Result<Found, LookupError> {
        match functions::running(row) {
            Some(running) => Ok(Found::Ready(Arc::new(self.load_as(row, &running).await?))),
            None => Ok(Found::NotReady(row.condition.clone())),
        }
    }

    /// What a row is when this runs of it.
    pub(crate) async fn load_as(
        &self,
        row: &FunctionRow,
        running: &InForce,
    ) -> Result<FunctionSnapshot, LookupError> {
        let code_dir = self.store().packages().directory(running.code).await?;
        let layers = running.configuration.layers.iter().map(|layer| layer.code).collect();
        let layers_dir = self.store().packages().layers(layers).await?;
        let tags = self.store().function_tags(&row.key.scope, &row.key.name).await?;
        Ok(functions::snapshot(row, running, &tags, code_dir, layers_dir))
    }

    /// The right to commit a change; see [`Self::publish_change`].
    pub(crate) async fn changes(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.inner.changes.lock().await
    }

    /// These rows are about to be committed: see [`Snapshots::unsure`]. The caller holds [`Self::changes`].
    pub(crate) fn unsure(&self, rows: &[FunctionRow]) -> Unsure<'_> {
        self.inner.snapshots.unsure(rows.iter().map(|row| row.key.clone()).collect())
    }

    /// Versions have new rows: the next event runs on them. The caller holds [`Self::changes`].
    pub(crate) async fn publish_change(&self, rows: &[&FunctionRow]) -> Result<(), ApiError> {
        let (mut changes, mut failure) = (Vec::new(), None);
        for row in rows {
            // Whatever comes of loading it: the row is committed, and what was there before is no longer true.
            let found = self.load(row).await.map_err(|error| failure = Some(error)).ok();
            changes.push((row.key.clone(), found));
        }
        self.inner.snapshots.change_versions(changes.clone());
        if let Some(engine) = self.inner.engine.get() {
            for (_, found) in &changes {
                if let Some(Found::Ready(function)) = found {
                    engine.supersede(function);
                }
            }
        }
        failure.map_or(Ok(()), |error| Err(service_error(&error)))
    }

    /// An alias has a new row. The caller holds [`Self::changes`].
    pub(crate) fn publish_alias(&self, row: &AliasRow) {
        self.inner.snapshots.change_alias(row.key.clone(), Some(route_of(row)));
    }

    /// An alias is gone. The caller holds [`Self::changes`].
    pub(crate) fn publish_alias_removal(&self, key: &AliasKey) {
        self.inner.snapshots.change_alias(key.clone(), None);
        self.publish_event_settings();
    }

    /// A version is gone. The caller holds [`Self::changes`].
    pub(crate) fn publish_version_removal(&self, key: &FunctionKey) {
        self.inner.snapshots.change_versions(vec![(key.clone(), None)]);
        self.publish_event_settings();
        if let Some(engine) = self.inner.engine.get() {
            engine.remove_version(key);
        }
    }

    /// A function has executions of its own, or shares those of the account again. The caller holds
    /// [`Self::changes`].
    pub(crate) fn publish_reservation(&self, scope: &Scope, name: &FunctionName, executions: Option<u32>) {
        if let Some(engine) = self.inner.engine.get() {
            engine.reserve(scope, name, executions);
        }
    }

    pub(crate) fn remembered_event_settings(&self) -> &Remembered {
        &self.inner.event_settings
    }

    /// How asynchronous events are treated has changed somewhere. The caller holds [`Self::changes`].
    pub(crate) fn publish_event_settings(&self) {
        self.inner.event_settings.forget();
    }

    /// A function is gone, or has changed in all its versions: nothing of it is remembered, its instances end.
    /// The caller holds [`Self::changes`].
    pub(crate) fn publish_removal(&self, scope: &Scope, name: &FunctionName) {
        self.inner.snapshots.forget(scope, name);
        self.publish_event_settings();
        if let Some(engine) = self.inner.engine.get() {
            engine.remove(scope, name);
        }
    }
}

fn route_of(row: &AliasRow) -> Route {
    Route { version: row.version, additional: row.additional }
}

/// Evenly distributed over 0 to 1, 1 excluded.
fn random_share() -> f64 {
    f64::from(u32::from_ne_bytes(random::bytes())) / (f64::from(u32::MAX) + 1.0)
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
