//! Asynchronous events: durable before they are accepted, then invoked like all others, their outcomes told.
//!
//! An event is in the store from its 202 until its last outcome is handed over. What the store has is the truth; in
//! memory is only what is in progress, and of each function when to look again (`lanes`). An event's life is a
//! sequence of attempts (`attempt`), then of deliveries (`deliver`); each step is written before the next.

mod attempt;
mod deliver;
mod lanes;
mod metrics;
mod operate;
mod outcome;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lambd_types::invocation::Event;
use lambd_types::{Clock, FunctionName, FunctionTarget, Scope, UnixMillis};
use tokio::sync::Notify;
use tokio::task::AbortHandle;

use crate::ports::{
    Destinations, EventStore, FunctionQueue, Functions, Metric, Metrics, NewEvent, PortError, Progress,
    QueuedEvent, Stage,
};
use crate::{InvokeOptions, Invoker};
use lanes::{LaneKey, Lanes, Shares, Signal, Turn};
pub use metrics::{Counters, Measured};
pub use operate::{QueueReport, QueuedReport};

/// Longest wait of the dispatcher by the clock, in milliseconds: clocks of machines jump back too.
const LONGEST_WAIT: i64 = 30_000;
/// Wait after the store failed.
const AFTER_FAULT: Duration = Duration::from_secs(1);

/// The event was not accepted.
#[derive(Debug, Clone, thiserror::Error)]
#[error("the event could not be queued: {0}")]
pub struct QueueError(pub PortError);

/// What the queue works with.
pub struct AsyncParts {
    /// Keeps events.
    pub store: Arc<dyn EventStore>,
    /// Finds what they run on.
    pub functions: Arc<dyn Functions>,
    /// Runs it.
    pub invoker: Invoker,
    /// Tells others of outcomes.
    pub destinations: Arc<dyn Destinations>,
    /// Takes metrics.
    pub metrics: Arc<dyn Metrics>,
    /// Says when something is due.
    pub clock: Arc<dyn Clock>,
}

/// The queue of asynchronous events.
pub struct AsyncQueue {
    inner: Arc<Inner>,
    dispatcher: AbortHandle,
}

struct Inner {
    parts: AsyncParts,
    options: InvokeOptions,
    lanes: Mutex<Lanes>,
    queues: Mutex<HashMap<(Scope, FunctionName), Arc<FunctionQueue>>>,
    /// A lane is to be read, or its time has changed.
    changed: Notify,
    /// An event is no longer in progress.
    ended: Notify,
    /// Nothing is started any more.
    stopping: AtomicBool,
    /// The daemon has waited long enough: what fails now fails because of that.
    cut_off: AtomicBool,
}

impl AsyncQueue {
    /// Starts dispatching what is in the store, left from before included.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn start(parts: AsyncParts, options: InvokeOptions) -> Result<Self, PortError> {
        let shares = Shares {
            lane: options.async_in_flight_per_function.max(1),
            all: options.async_in_flight,
            horizon: options.retry.longest_wait().saturating_add(LONGEST_WAIT),
        };
        let found = parts.store.queues().await?;
        let inner = Arc::new(Inner {
            parts,
            options,
            lanes: Mutex::new(Lanes::new(shares)),
            queues: Mutex::default(),
            changed: Notify::new(),
            ended: Notify::new(),
            stopping: AtomicBool::new(false),
            cut_off: AtomicBool::new(false),
        });
        for queue in found {
            let now = inner.now();
            let (paused, owner) = (queue.paused, Arc::new(queue));
            inner.queues().insert((owner.scope.clone(), owner.name.clone()), owner.clone());
            inner.lanes().pause(&owner, paused, now);
            inner.parts.store.trim(owner.id, now, inner.options.failed_events_kept).await?;
        }
        let dispatcher = tokio::spawn(inner.clone().dispatch()).abort_handle();
        Ok(Self { inner, dispatcher })
    }

    /// Accepts an event: when this resolves it is on disk (CORE-252, CORE-253). `caller` says who sent it.
    ///
    /// # Errors
    /// It is not stored, and nobody will process it.
    pub async fn push(&self, target: FunctionTarget, event: Event, caller: String) -> Result<(), QueueError> {
        self.inner.push(target, event, caller).await.map_err(QueueError)
    }

    /// Starts no further events and waits up to `grace` for those in progress. What is cut off after that
    /// stays in the store as it is and is processed by the next daemon.
    pub async fn stop(&self, grace: Duration) {
        self.inner.stopping.store(true, Ordering::Release);
        self.dispatcher.abort();
        let all_done = async {
            loop {
                let ended = self.inner.ended.notified();
                if self.inner.lanes().is_idle() {
                    return;
                }
                ended.await;
            }
        };
        let _ = tokio::time::timeout(grace, all_done).await;
        self.inner.cut_off.store(true, Ordering::Release);
    }
}

impl Drop for AsyncQueue {
    fn drop(&mut self) {
        self.dispatcher.abort();
    }
}

/// Takes an event out of those in progress, however its processing ends.
struct InProgress {
    inner: Arc<Inner>,
    key: LaneKey,
    seq: i64,
    signal: Option<Signal>,
}

impl Drop for InProgress {
    fn drop(&mut self) {
        let now = self.inner.now();
        if self.inner.lanes().done(self.key, self.seq, self.signal, now) {
            self.inner.changed.notify_one();
        }
        self.inner.ended.notify_waiters();
    }
}

impl Inner {
    fn now(&self) -> UnixMillis {
        self.parts.clock.now()
    }

    fn lanes(&self) -> MutexGuard<'_, Lanes> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn queues(&self) -> MutexGuard<'_, HashMap<(Scope, FunctionName), Arc<FunctionQueue>>> {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn queue(&self, id: i64, scope: &Scope, name: &FunctionName) -> Arc<FunctionQueue> {
        let mut queues = self.queues();
        let made = || Arc::new(FunctionQueue { id, scope: scope.clone(), name: name.clone(), paused: false });
        queues.entry((scope.clone(), name.clone())).or_insert_with(made).clone()
    }

    fn count(&self, queue: &FunctionQueue, metric: Metric, value: u64) {
        self.parts.metrics.record(&queue.scope, &queue.name, metric, value);
    }

    async fn push(
        self: &Arc<Self>,
        target: FunctionTarget,
        event: Event,
        caller: String,
    ) -> Result<(), PortError> {
        // Where a failure is told although the function is gone by then. Its settings are looked up again before.
        let settings = self.parts.functions.event_settings(&target).await.unwrap_or_default();
        let function = self.parts.functions.snapshot(&target).await.ok().flatten();
        let new = NewEvent {
            target,
            event,
            caller,
            on_failure: settings.on_failure,
            dead_letter: function.and_then(|function| function.dead_letter.clone()),
            accepted_at: self.now(),
        };
        let progress = Progress {
            stage: Stage::Invoke,
            due_at: new.accepted_at,
            function_errors: 0,
            system_errors: 0,
            last_error: None,
            outcome: None,
        };
        let mark = self.lanes().mark();
        let (id, seq) = self.parts.store.push(new.clone()).await?;
        let queue = self.queue(id, &new.target.scope, &new.target.name);
        self.count(&queue, Metric::AsyncEventsReceived, 1);
        self.hand_over(queue, QueuedEvent { seq, new, progress }, mark);
        Ok(())
    }

    /// An event is in the store, and due in its stage: it is started if there is room, else its turn comes.
    fn hand_over(self: &Arc<Self>, queue: Arc<FunctionQueue>, event: QueuedEvent, mark: lanes::Mark) {
        if self.stopping.load(Ordering::Acquire) {
            return;
        }
        let key = LaneKey { queue: queue.id, stage: event.progress.stage };
        let started = self.lanes().offer(key, &queue, (event.seq, mark), self.now());
        if started {
            self.start(key, queue, event);
        } else {
            self.changed.notify_one();
        }
    }

    fn start(self: &Arc<Self>, key: LaneKey, queue: Arc<FunctionQueue>, event: QueuedEvent) {
        let progress = InProgress { inner: self.clone(), key, seq: event.seq, signal: None };
        match key.stage {
            Stage::Deliver => drop(tokio::spawn(self.clone().deliver(queue, event, progress))),
            _ => drop(tokio::spawn(self.clone().invoke(queue, event, progress))),
        }
    }

    async fn dispatch(self: Arc<Self>) {
        loop {
            let changed = self.changed.notified();
            // The guard must be gone before the wait for the store.
            let next_turn = || self.lanes().turn(self.now());
            while let Some(turn) = next_turn() {
                if let Err(error) = self.take(&turn).await {
                    tracing::error!(function = %turn.owner.name, %error, "cannot read a queue of events");
                    let now = self.now();
                    let again = UnixMillis(now.0.saturating_add(AFTER_FAULT.as_millis() as i64));
                    self.lanes().unread(turn.key, again, now);
                }
            }
            let latest = self.now().0.saturating_add(LONGEST_WAIT);
            let at = self.lanes().wake_at().map_or(latest, |at| at.0.min(latest));
            tokio::select! {
                () = changed => {}
                () = self.parts.clock.reaches(UnixMillis(at)) => {}
            }
        }
    }

    /// Reads the first events of a lane and starts those that are due.
    async fn take(self: &Arc<Self>, turn: &Turn) -> Result<(), PortError> {
        let LaneKey { queue, stage } = turn.key;
        let limit = turn.in_flight + turn.room + 1;
        let first = self.parts.store.first(queue, stage, limit).await?;
        let now = self.now();
        let started = self.lanes().read(turn, &first, first.len() < limit, now);
        if started.is_empty() {
            return Ok(());
        }
        let mut left: Vec<i64> = started.clone();
        let loaded = match self.parts.store.load(&turn.owner, &started).await {
            Ok(loaded) => loaded,
            Err(error) => {
                for seq in started {
                    self.lanes().done(turn.key, seq, None, now);
                }
                return Err(error);
            }
        };
        for event in loaded {
            // It may have ended, or been put back, between the two looks.
            let until_due = event.progress.due_at.0.saturating_sub(now.0);
            let is_due = until_due <= 0 || until_due > self.horizon();
            if event.progress.stage == stage && is_due {
                left.retain(|seq| *seq != event.seq);
                self.start(turn.key, turn.owner.clone(), event);
            } else if event.progress.stage == stage {
                self.lanes().later(turn.key, &turn.owner, event.progress.due_at, now);
            }
        }
        for seq in left {
            self.lanes().done(turn.key, seq, None, now);
        }
        Ok(())
    }

    fn horizon(&self) -> i64 {
        self.options.retry.longest_wait().saturating_add(LONGEST_WAIT)
    }

    /// Writes until it succeeds; `false` when the daemon stops before.
    async fn surely<F>(&self, what: &str, write: impl Fn() -> F) -> bool
    where
        F: Future<Output = Result<(), PortError>>,
    {
        while let Err(error) = write().await {
            if self.cut_off.load(Ordering::Acquire) {
                return false;
            }
            tracing::error!(%error, "cannot record {what} of an event; trying again");
            tokio::time::sleep(AFTER_FAULT).await;
        }
        true
    }
}

#[cfg(test)]
mod tests;
