//! What is known about the queues that there are. Their messages are in the store.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use lambd_store::StoreError;
use lambd_store::queues::{QueueId, QueueRow};
use lambd_types::Scope;
use tokio::sync::Notify;

use crate::error::SqsError;
use crate::names;
use crate::settings::Settings;

/// A queue as it was at a moment.
#[derive(Debug)]
pub(crate) struct Queue {
    pub(crate) row: QueueRow,
    pub(crate) settings: Settings,
    pub(crate) arn: String,
    pub(crate) signs: Arc<Signs>,
}

/// What outlives a change of a queue's attributes, and tells those who wait for its messages.
#[derive(Debug, Default)]
pub(crate) struct Signs {
    arrivals: Arc<Notify>,
    /// Receivers that wait, or are about to.
    waiting: AtomicUsize,
    /// At least so many messages are in flight as far as was counted; never fewer than there are.
    in_flight: AtomicI64,
}

/// More messages in flight than a queue may have.
const UNCOUNTED: i64 = i64::MAX / 2;

/// Most receivers that one arrival wakes: each takes up to ten messages.
const WOKEN: usize = 64;

impl Signs {
    /// So many messages may be there to be received.
    pub(crate) fn arrived(&self, messages: usize) {
        for _ in 0..messages.min(WOKEN) {
            self.arrivals.notify_one();
        }
    }

    /// The queue changed: everybody looks again.
    pub(crate) fn changed(&self) {
        self.arrivals.notify_waiters();
    }

    pub(crate) fn arrivals(&self) -> Arc<Notify> {
        self.arrivals.clone()
    }

    pub(crate) fn in_flight(&self) -> i64 {
        self.in_flight.load(Ordering::Relaxed)
    }

    pub(crate) fn count_in_flight(&self, more: i64) {
        self.in_flight.fetch_add(more, Ordering::Relaxed);
    }

    pub(crate) fn set_in_flight(&self, counted: i64) {
        self.in_flight.store(counted, Ordering::Relaxed);
    }
}

/// A receiver that waits. One that goes, for whatever reason, wakes the next, which then learns when something becomes
/// visible: of those that wait one always knows.
#[derive(Debug)]
pub(crate) struct Waiting(Arc<Signs>);

impl Waiting {
    pub(crate) fn at(queue: &Queue) -> Self {
        queue.signs.waiting.fetch_add(1, Ordering::SeqCst);
        Self(queue.signs.clone())
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if self.0.waiting.fetch_sub(1, Ordering::SeqCst) > 1 {
            self.0.arrivals.notify_one();
        }
    }
}

impl Queue {
    fn of(row: QueueRow, signs: Arc<Signs>) -> Result<Arc<Self>, SqsError> {
        let settings = Settings::of(&row.attributes, row.fifo)?;
        Ok(Arc::new(Self { settings, arn: names::arn(&row.scope, &row.name), row, signs }))
    }

    pub(crate) fn id(&self) -> QueueId {
        self.row.id
    }
}

type Key = (Scope, String);

/// All queues, by scope and name.
#[derive(Debug, Default)]
pub(crate) struct Registry {
    queues: RwLock<BTreeMap<Key, Arc<Queue>>>,
    /// Held by whoever changes a queue, so that memory and store change in the same order.
    pub(crate) changing: tokio::sync::Mutex<()>,
}

impl Registry {
    /// The queues of a store.
    ///
    /// # Errors
    /// A row holds attributes that no lambd writes.
    pub(crate) fn of(rows: Vec<QueueRow>) -> Result<Self, StoreError> {
        let registry = Self::default();
        for row in rows {
            let queue = registry
                .put(row)
                .map_err(|error| StoreError::Damaged { what: "queue", detail: error.to_string() })?;
            // How many messages are in flight is counted when it is needed.
            queue.signs.set_in_flight(UNCOUNTED);
        }
        Ok(registry)
    }

    /// Adds a queue, or replaces what was known of it.
    pub(crate) fn put(&self, row: QueueRow) -> Result<Arc<Queue>, SqsError> {
        let key = (row.scope.clone(), row.name.clone());
        let mut queues = self.queues.write().unwrap_or_else(PoisonError::into_inner);
        let signs = queues.get(&key).map(|queue| queue.signs.clone()).unwrap_or_default();
        let queue = Queue::of(row, signs)?;
        queues.insert(key, queue.clone());
        drop(queues);
        queue.signs.changed();
        Ok(queue)
    }

    pub(crate) fn remove(&self, queue: &Queue) {
        let key = (queue.row.scope.clone(), queue.row.name.clone());
        self.queues.write().unwrap_or_else(PoisonError::into_inner).remove(&key);
        queue.signs.changed();
    }

    pub(crate) fn find(&self, scope: &Scope, name: &str) -> Option<Arc<Queue>> {
        let queues = self.queues.read().unwrap_or_else(PoisonError::into_inner);
        queues.get(&(scope.clone(), name.to_owned())).cloned()
    }

    pub(crate) fn find_arn(&self, arn: &str) -> Option<Arc<Queue>> {
        let (scope, name) = names::parse_arn(arn)?;
        self.find(&scope, name)
    }

    pub(crate) fn with_id(&self, id: QueueId) -> Option<Arc<Queue>> {
        let queues = self.queues.read().unwrap_or_else(PoisonError::into_inner);
        queues.values().find(|queue| queue.id() == id).cloned()
    }

    /// Up to `limit` queues of a scope whose names begin with `prefix`, in the order of names, from the one after `after`.
    pub(crate) fn list(
        &self,
        scope: &Scope,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Vec<Arc<Queue>> {
        let queues = self.queues.read().unwrap_or_else(PoisonError::into_inner);
        let start = match after {
            Some(after) if after >= prefix => Bound::Excluded((scope.clone(), after.to_owned())),
            _ => Bound::Included((scope.clone(), prefix.to_owned())),
        };
        let range = queues.range((start, Bound::Unbounded));
        let of_prefix = |(key, _): &(&Key, &Arc<Queue>)| key.0 == *scope && key.1.starts_with(prefix);
        range.take_while(of_prefix).take(limit).map(|(_, queue)| queue.clone()).collect()
    }

    /// Queues whose dead letters go to `target`, in the order of names.
    pub(crate) fn sources_of(&self, target: &Queue) -> Vec<Arc<Queue>> {
        let queues = self.queues.read().unwrap_or_else(PoisonError::into_inner);
        let sends = |queue: &&Arc<Queue>| {
            queue.settings.redrive.as_ref().is_some_and(|redrive| redrive.target == target.arn)
        };
        queues.values().filter(sends).cloned().collect()
    }
}
