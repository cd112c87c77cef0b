//! What an operator sees of the queues, and does with them.

use lambd_types::{FunctionName, Scope, UnixMillis};

use super::AsyncQueue;
use crate::ports::{EventSummary, PortError, Stage};

/// An event in a report.
#[derive(Debug, Clone)]
pub struct QueuedReport {
    /// The event.
    pub event: EventSummary,
    /// Whether it is being processed at this moment.
    pub in_flight: bool,
}

/// A function's queue in a report.
#[derive(Debug, Clone)]
pub struct QueueReport {
    /// Whether an operator has stopped it.
    pub paused: bool,
    /// Number of events of each stage.
    pub counts: Vec<(Stage, u64)>,
    /// Events that are being processed.
    pub in_flight: usize,
    /// The first events of each stage.
    pub events: Vec<QueuedReport>,
}

impl AsyncQueue {
    /// The functions that have a queue.
    pub fn functions(&self) -> Vec<(Scope, FunctionName)> {
        let mut functions: Vec<_> = self.inner.queues().keys().cloned().collect();
        functions.sort_by(|a, b| a.1.as_str().cmp(b.1.as_str()));
        functions
    }

    /// What is in the queue of a function, with up to `limit` events of each stage; `None` if it never had one.
    pub async fn report(
        &self,
        scope: &Scope,
        name: &FunctionName,
        limit: usize,
    ) -> Result<Option<QueueReport>, PortError> {
        let Some(id) = self.id(scope, name) else { return Ok(None) };
        let store = &self.inner.parts.store;
        let counts = store.count(id).await?;
        let in_flight = self.inner.lanes().in_flight(id);
        let mut events = Vec::new();
        for stage in [Stage::Invoke, Stage::Deliver, Stage::Failed, Stage::Unreadable] {
            for event in store.list(id, stage, limit).await? {
                events.push(QueuedReport { in_flight: in_flight.contains(&event.seq), event });
            }
        }
        let paused = self.inner.lanes().is_paused(id);
        Ok(Some(QueueReport { paused, counts, in_flight: in_flight.len(), events }))
    }

    /// Removes what waits in the queue of a function, and what has failed if `failed`; returns how many events. What
    /// is in progress goes on to the end of its attempt.
    pub async fn purge(&self, scope: &Scope, name: &FunctionName, failed: bool) -> Result<u64, PortError> {
        let Some(id) = self.id(scope, name) else { return Ok(0) };
        let stages: &[Stage] =
            if failed { &[Stage::Failed, Stage::Unreadable] } else { &[Stage::Invoke, Stage::Deliver] };
        let mut purged = 0;
        for stage in stages {
            purged += self.inner.parts.store.purge(id, *stage).await?;
        }
        Ok(purged)
    }

    /// Lets failed events begin again, as if they were accepted now: all, or the one of a request. Returns how many.
    pub async fn replay(
        &self,
        scope: &Scope,
        name: &FunctionName,
        request_id: Option<&str>,
    ) -> Result<u64, PortError> {
        let Some(id) = self.id(scope, name) else { return Ok(0) };
        let Some(queue) = self.inner.queues().get(&(scope.clone(), name.clone())).cloned() else {
            return Ok(0);
        };
        let store = &self.inner.parts.store;
        let failed = store.list(id, Stage::Failed, self.inner.options.failed_events_kept).await?;
        let chosen = failed.into_iter().filter(|e| request_id.is_none_or(|wanted| e.request_id == wanted));
        let mut replayed = 0;
        for summary in chosen {
            // Its age counts from now on: as a new event, and the old one goes after it is there.
            let Some(event) = store.load(&queue, &[summary.seq]).await?.pop() else { continue };
            let new = event.new;
            self.inner.push(new.target, new.event, new.caller).await?;
            store.remove(summary.seq).await?;
            replayed += 1;
        }
        Ok(replayed)
    }

    /// Stops the queue of a function, also across restarts, or lets it go on. Events are accepted all the same.
    pub async fn pause(&self, scope: &Scope, name: &FunctionName, paused: bool) -> Result<(), PortError> {
        let id = self.inner.parts.store.pause(scope, name, paused).await?;
        let queue = self.inner.queue(id, scope, name);
        let now: UnixMillis = self.inner.now();
        self.inner.lanes().pause(&queue, paused, now);
        self.inner.changed.notify_one();
        Ok(())
    }

    fn id(&self, scope: &Scope, name: &FunctionName) -> Option<i64> {
        self.inner.queues().get(&(scope.clone(), name.clone())).map(|queue| queue.id)
    }
}
