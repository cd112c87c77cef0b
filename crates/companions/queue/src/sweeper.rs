//! Freeing the space of expired messages and deleted queues.

use lambd_types::UnixMillis;
use tokio::sync::Notify;

use crate::queues::Shared;
use crate::registry::Queue;
use lambd_store::StoreError;
use std::sync::Arc;

/// How often it is looked for what is expired, in milliseconds of the clock. Nobody receives expired messages meanwhile.
const PERIOD: i64 = 60_000;

/// How long names of deleted queues are not to be had, in milliseconds.
pub(crate) const DELETED_NAMES: i64 = 60_000;

/// How long tasks that moved messages are told about, in milliseconds.
const TASKS: i64 = 24 * 3600 * 1000;

/// Asks for a sweep before its time.
#[derive(Debug, Default)]
pub(crate) struct Sweeper(Notify);

impl Sweeper {
    /// Something was deleted.
    pub(crate) fn soon(&self) {
        self.0.notify_one();
    }
}

pub(crate) async fn run(shared: Arc<Shared>) {
    loop {
        if let Err(error) = sweep(&shared).await {
            tracing::warn!(error = &error as &dyn std::error::Error, "old messages could not be deleted");
        }
        let next = UnixMillis(shared.clock.now().0 + PERIOD);
        tokio::select! {
            () = shared.clock.reaches(next) => {}
            () = shared.sweeper.0.notified() => {}
        }
    }
}

async fn sweep(shared: &Shared) -> Result<(), StoreError> {
    let queues = shared.store.queues();
    while queues.sweep_removed().await? {}
    let now = shared.clock.now().0;
    let (names, tasks) = (UnixMillis(now - DELETED_NAMES), UnixMillis(now - TASKS));
    while queues.sweep_forgotten(UnixMillis(now), names, tasks).await? {}
    for (id, oldest) in queues.oldest().await? {
        if let Some(queue) = shared.registry.with_id(id)
            && oldest <= expired_at(&queue, shared.clock.now())
        {
            while queues.sweep_expired(id, expired_at(&queue, shared.clock.now())).await? {}
        }
    }
    Ok(())
}

/// Messages of a queue that were sent then or before are expired.
pub(crate) fn expired_at(queue: &Queue, now: UnixMillis) -> UnixMillis {
    UnixMillis(now.0 - queue.settings.retention)
}
