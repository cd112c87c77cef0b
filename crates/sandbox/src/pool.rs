//! Empty sandboxes that wait for demand.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::Notify;

use crate::error::SandboxError;
use crate::prepared::{Maker, Prepared};
use crate::spec::Base;

/// After a failure to make one ahead, for example for want of memory, the next attempt waits for this.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_secs(1);

/// A sandbox that was taken is replaced after this, because making one takes locks of the kernel and time of
/// the processor that the start of the function needs more.
const REFILL_AFTER: Duration = Duration::from_millis(20);

/// Keeps a number of empty sandboxes ready; see [`Pool::take`].
pub(crate) struct Pool {
    maker: Maker,
    /// What is kept ready; nothing until somebody says so.
    stock: OnceLock<Stock>,
    /// None once the pool is closed: one that is being made meanwhile must not be kept.
    ready: Mutex<Option<Vec<Prepared>>>,
    /// One was taken, or the pool is gone.
    changed: Arc<Notify>,
    number: AtomicU64,
}

#[derive(Clone, Copy)]
struct Stock {
    base: Base,
    size: usize,
}

impl Pool {
    pub(crate) fn new(maker: Maker) -> Arc<Self> {
        Arc::new(Self {
            maker,
            stock: OnceLock::new(),
            ready: Mutex::new(Some(Vec::new())),
            changed: Arc::default(),
            number: AtomicU64::new(0),
        })
    }

    /// Keeps so many ready from now on, made in the background; must be called inside a runtime, and has an
    /// effect the first time only.
    pub(crate) fn keep_ready(self: &Arc<Self>, base: Base, size: usize) {
        let stock = Stock { base, size };
        if size > 0 && self.stock.set(stock).is_ok() {
            tokio::spawn(fill(Arc::downgrade(self), stock, Arc::clone(&self.changed)));
        }
    }

    pub(crate) fn maker(&self) -> &Maker {
        &self.maker
    }

    /// One that is ready, else a new one.
    pub(crate) async fn take(&self, base: Base) -> Result<Prepared, SandboxError> {
        let is_kept = self.stock.get().is_some_and(|stock| stock.base == base);
        let ready = is_kept.then(|| self.take_ready()).flatten();
        match ready {
            Some(prepared) => Ok(prepared),
            None => self.make(base).await,
        }
    }

    fn take_ready(&self) -> Option<Prepared> {
        let mut ready = self.ready();
        // One may have been killed while it waited.
        let prepared = std::iter::from_fn(|| ready.as_mut()?.pop()).find(Prepared::is_alive);
        self.changed.notify_one();
        prepared
    }

    /// Removes those that wait, and makes no more.
    pub(crate) fn close(&self) {
        self.maker.requests.close();
        *self.ready() = None;
    }

    /// How many are ready; none once the pool is closed.
    fn count(&self) -> Option<usize> {
        self.ready().as_ref().map(Vec::len)
    }

    fn put(&self, prepared: Prepared) {
        if let Some(ready) = self.ready().as_mut() {
            ready.push(prepared);
        }
    }

    fn ready(&self) -> MutexGuard<'_, Option<Vec<Prepared>>> {
        self.ready.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A new one.
    pub(crate) async fn make(&self, base: Base) -> Result<Prepared, SandboxError> {
        let number = || self.number.fetch_add(1, Ordering::Relaxed).to_string();
        match self.maker.prepare(&number(), base).await {
            Err(error) if self.maker.changes_plan_for(&error) => self.maker.prepare(&number(), base).await,
            made => made,
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.changed.notify_one();
    }
}

/// Keeps the pool full while somebody has it.
async fn fill(pool: Weak<Pool>, stock: Stock, changed: Arc<Notify>) {
    while let Some(pool) = pool.upgrade() {
        let Some(count) = pool.count() else { return };
        if count >= stock.size {
            // Whoever waits must not keep the pool.
            drop(pool);
            changed.notified().await;
            tokio::time::sleep(REFILL_AFTER).await;
            continue;
        }
        match pool.make(stock.base).await {
            Ok(prepared) => pool.put(prepared),
            Err(SandboxError::SpawnerGone) => return,
            Err(error) => {
                tracing::warn!(%error, "cannot make a sandbox ahead of demand");
                drop(pool);
                tokio::time::sleep(PAUSE_AFTER_FAILURE).await;
            }
        }
    }
}
