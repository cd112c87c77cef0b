//! Asynchronous events: durable before they are accepted, then invoked like all others.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lambd_types::invocation::{Event, Wants};
use lambd_types::{Clock, FunctionTarget, RequestId, UnixMillis};
use tokio::sync::Notify;
use tokio::task::AbortHandle;

use crate::machine::retry::{Attempt, Next};
use crate::ports::{Busy, EventStore, Functions, PortError, QueuedEvent};
use crate::{InvokeOptions, Invoker, RetryPolicy};

/// Wait after the store failed.
const AFTER_FAULT: Duration = Duration::from_secs(1);

/// The event was not accepted.
#[derive(Debug, Clone, thiserror::Error)]
#[error("the event could not be queued: {0}")]
pub struct QueueError(pub PortError);

/// The queue of asynchronous events.
pub struct AsyncQueue {
    inner: Arc<Inner>,
    dispatcher: AbortHandle,
}

struct Inner {
    store: Arc<dyn EventStore>,
    functions: Arc<dyn Functions>,
    invoker: Invoker,
    clock: Arc<dyn Clock>,
    options: InvokeOptions,
    in_flight: Mutex<InFlight>,
    /// Something changed: an event arrived, or one ended.
    changed: Notify,
    /// The daemon is stopping and has waited long enough: what fails now fails because of that.
    cut_off: AtomicBool,
}

/// Events of this daemon that are being processed; the store still has them. Only the dispatcher adds.
#[derive(Default)]
struct InFlight(HashMap<String, FunctionTarget>);

impl InFlight {
    fn of_function(&self, target: &FunctionTarget) -> usize {
        self.0.values().filter(|other| other.scope == target.scope && other.name == target.name).count()
    }

    fn busy(&self, per_function: usize) -> Busy {
        let full = self.0.values().filter(|target| self.of_function(target) >= per_function);
        let functions: HashSet<_> = full.map(|target| (target.scope.clone(), target.name.clone())).collect();
        Busy {
            events: self.0.keys().cloned().map(RequestId::from_stored).collect(),
            functions: functions.into_iter().collect(),
        }
    }
}

impl AsyncQueue {
    /// Starts dispatching what is in `store`, left from before included.
    pub fn start(
        store: Arc<dyn EventStore>,
        functions: Arc<dyn Functions>,
        invoker: Invoker,
        clock: Arc<dyn Clock>,
        options: InvokeOptions,
    ) -> Self {
        let inner = Arc::new(Inner {
            store,
            functions,
            invoker,
            clock,
            options,
            in_flight: Mutex::default(),
            changed: Notify::new(),
            cut_off: AtomicBool::new(false),
        });
        let dispatcher = tokio::spawn(inner.clone().dispatch()).abort_handle();
        Self { inner, dispatcher }
    }

    /// Accepts an event: when this resolves it is on disk (CORE-252, CORE-253).
    pub async fn push(&self, target: FunctionTarget, event: Event) -> Result<(), QueueError> {
        let accepted_at = self.inner.clock.now();
        let queued = QueuedEvent { target, event, accepted_at, function_errors: 0, system_errors: 0 };
        self.inner.store.push(queued).await.map_err(QueueError)?;
        self.inner.changed.notify_one();
        Ok(())
    }

    /// Starts no further events and waits up to `grace` for those in flight. What is cut off after that
    /// stays in the store as it is and is processed by the next daemon.
    pub async fn stop(&self, grace: Duration) {
        self.dispatcher.abort();
        let all_done = async {
            while !self.inner.in_flight().0.is_empty() {
                self.inner.changed.notified().await;
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

/// Takes an event out of those in flight, however its processing ends.
struct Leave {
    inner: Arc<Inner>,
    id: RequestId,
}

impl Drop for Leave {
    fn drop(&mut self) {
        self.inner.in_flight().0.remove(self.id.as_str());
        self.inner.changed.notify_one();
    }
}

impl Inner {
    fn in_flight(&self) -> MutexGuard<'_, InFlight> {
        self.in_flight.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn dispatch(self: Arc<Self>) {
        loop {
            let changed = self.changed.notified();
            let next = match self.dispatch_due().await {
                Ok(next) => next,
                Err(error) => {
                    tracing::error!(%error, "cannot read the queue of asynchronous events");
                    tokio::time::sleep(AFTER_FAULT).await;
                    continue;
                }
            };
            tokio::select! {
                () = changed => {}
                () = async { self.clock.reaches(next.unwrap_or_default()).await }, if next.is_some() => {}
            }
        }
    }

    /// Starts every due event that there is room for; returns when something else will be due, if nothing changes.
    async fn dispatch_due(self: &Arc<Self>) -> Result<Option<UnixMillis>, PortError> {
        let now = self.clock.now();
        let per_function = self.options.async_in_flight_per_function;
        loop {
            // Asked before the store is: an event that ends in between is then not started again.
            let (room, busy) = {
                let in_flight = self.in_flight();
                (self.options.async_in_flight.saturating_sub(in_flight.0.len()), in_flight.busy(per_function))
            };
            if room == 0 {
                return Ok(None);
            }
            let due = self.store.due(now, room, busy).await?;
            if due.is_empty() {
                break;
            }
            for queued in due {
                let mut in_flight = self.in_flight();
                if in_flight.of_function(&queued.target) < per_function {
                    in_flight.0.insert(queued.event.request_id.to_string(), queued.target.clone());
                    tokio::spawn(self.clone().process(queued));
                }
            }
        }
        self.store.next_due(now).await
    }

    async fn process(self: Arc<Self>, queued: QueuedEvent) {
        let id = queued.event.request_id.clone();
        let _leave = Leave { inner: self.clone(), id: id.clone() };
        let policy = self.policy(&queued).await;
        // An event that waited for its turn may be too old for a first attempt (CORE-261).
        let attempt = match policy.is_too_old(queued.accepted_at, self.clock.now()) {
            true => Some(Attempt::SystemError),
            false => self.attempt(&queued).await,
        };
        if attempt != Some(Attempt::Succeeded) && self.cut_off.load(Ordering::Acquire) {
            return;
        }
        // The event ran once; only its outcome is recorded again until that succeeds.
        while let Err(error) = self.settle(queued.clone(), attempt, &policy).await {
            if self.cut_off.load(Ordering::Acquire) {
                return;
            }
            tracing::error!(request_id = %id, %error, "cannot record the outcome of an event; trying again");
            tokio::time::sleep(AFTER_FAULT).await;
        }
    }

    /// How the event is tried, by the settings of now.
    async fn policy(&self, queued: &QueuedEvent) -> RetryPolicy {
        match self.functions.event_limits(&queued.target).await {
            Ok(limits) => self.options.retry.within(limits),
            Err(error) => {
                tracing::error!(%error, "cannot look up how an event is to be tried");
                self.options.retry.clone()
            }
        }
    }

    /// `None` when the function is gone.
    async fn attempt(&self, queued: &QueuedEvent) -> Option<Attempt> {
        let function = match self.functions.snapshot(&queued.target).await {
            Ok(function) => function?,
            Err(error) => {
                tracing::error!(%error, "cannot look up the function of an event");
                return Some(Attempt::SystemError);
            }
        };
        Some(match self.invoker.invoke(function, queued.event.clone(), Wants::default()).await {
            Ok(outcome) if outcome.error.is_none() => Attempt::Succeeded,
            Ok(_) => Attempt::FunctionError,
            Err(error) => {
                tracing::warn!(request_id = %queued.event.request_id, %error, "an asynchronous event must wait");
                Attempt::SystemError
            }
        })
    }

    async fn settle(
        &self,
        mut queued: QueuedEvent,
        attempt: Option<Attempt>,
        policy: &RetryPolicy,
    ) -> Result<(), PortError> {
        let id = queued.event.request_id.clone();
        let name = queued.target.name.clone();
        let Some(attempt) = attempt else {
            tracing::warn!(request_id = %id, function = %name, "dropped an event of a deleted function");
            return self.store.remove(id).await;
        };
        let (errors, faults) = (queued.function_errors, queued.system_errors);
        match policy.next(attempt, errors, faults, queued.accepted_at, self.clock.now()) {
            Next::Done => self.store.remove(id).await,
            Next::RetryAt(at) => {
                match attempt {
                    Attempt::FunctionError => queued.function_errors += 1,
                    Attempt::SystemError | Attempt::Succeeded => queued.system_errors += 1,
                }
                self.store.postpone(queued, at).await
            }
            Next::GiveUpRetries | Next::GiveUpAge => {
                tracing::warn!(request_id = %id, function = %name, "dropped an event after its last attempt");
                self.store.remove(id).await
            }
        }
    }
}

#[cfg(test)]
#[path = "async_queue_tests.rs"]
mod tests;
