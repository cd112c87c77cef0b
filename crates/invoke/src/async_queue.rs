//! Asynchronous events: durable before they are accepted, then invoked like all others.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lambd_types::invocation::{Event, LogType};
use lambd_types::{Clock, FunctionKey, RequestId};
use tokio::sync::Notify;
use tokio::task::AbortHandle;

use crate::machine::retry::{Attempt, Next};
use crate::ports::{EventStore, Functions, PortError, QueuedEvent};
use crate::{InvokeOptions, Invoker};

/// Longest sleep of the dispatcher: clocks of machines jump, and a due time must not be slept through.
const LONGEST_SLEEP: Duration = Duration::from_secs(30);
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
    /// Events of this daemon that are being processed; the store still has them.
    in_flight: Mutex<HashSet<String>>,
    /// Something changed: an event arrived, or one ended.
    changed: Notify,
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
        let in_flight = Mutex::default();
        let inner =
            Arc::new(Inner { store, functions, invoker, clock, options, in_flight, changed: Notify::new() });
        let dispatcher = tokio::spawn(inner.clone().dispatch()).abort_handle();
        Self { inner, dispatcher }
    }

    /// Accepts an event: when this resolves it is on disk (CORE-252, CORE-253).
    pub async fn push(&self, key: FunctionKey, event: Event) -> Result<(), QueueError> {
        let accepted_at = self.inner.clock.now();
        let queued = QueuedEvent { key, event, accepted_at, function_errors: 0, system_errors: 0 };
        self.inner.store.push(queued).await.map_err(QueueError)?;
        self.inner.changed.notify_one();
        Ok(())
    }

    /// Takes no further events from the store; those being processed stay there until they end, so what
    /// a stopping daemon cuts off is processed again by the next one.
    pub fn stop(&self) {
        self.dispatcher.abort();
    }
}

impl Drop for AsyncQueue {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Inner {
    fn in_flight(&self) -> MutexGuard<'_, HashSet<String>> {
        self.in_flight.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn dispatch(self: Arc<Self>) {
        loop {
            let changed = self.changed.notified();
            let wait = match self.dispatch_due().await {
                Ok(wait) => wait,
                Err(error) => {
                    tracing::error!(%error, "cannot read the queue of asynchronous events");
                    AFTER_FAULT
                }
            };
            tokio::select! {
                () = changed => {}
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    /// Starts every due event that there is room for; returns how long nothing else will be due.
    async fn dispatch_due(self: &Arc<Self>) -> Result<Duration, PortError> {
        let now = self.clock.now();
        let busy = self.in_flight().len();
        let room = self.options.async_in_flight.saturating_sub(busy);
        if room == 0 {
            return Ok(LONGEST_SLEEP);
        }
        // Events in flight are still due in the store: ask for enough to see past them.
        for queued in self.store.due(now, busy + room).await? {
            let id = queued.event.request_id.as_str().to_owned();
            if self.in_flight().len() >= self.options.async_in_flight {
                break;
            }
            if self.in_flight().insert(id) {
                tokio::spawn(self.clone().process(queued));
            }
        }
        let next = self.store.next_due(now).await?;
        let wait = next.map(|at| Duration::from_millis((at.0 - now.0).max(0) as u64));
        Ok(wait.unwrap_or(LONGEST_SLEEP).min(LONGEST_SLEEP))
    }

    async fn process(self: Arc<Self>, queued: QueuedEvent) {
        let id = queued.event.request_id.clone();
        let settled = match self.attempt(&queued).await {
            Some(attempt) => self.settle(queued, attempt).await,
            None => {
                tracing::warn!(request_id = %id, function = %queued.key.name, "dropped an event of a deleted function");
                self.store.remove(id.clone()).await
            }
        };
        if let Err(error) = settled {
            // It stays due in the store and will be processed again: at least once.
            tracing::error!(request_id = %id, %error, "cannot record the outcome of an event");
            tokio::time::sleep(AFTER_FAULT).await;
        }
        self.in_flight().remove(id.as_str());
        self.changed.notify_one();
    }

    /// `None` when the function is gone.
    async fn attempt(&self, queued: &QueuedEvent) -> Option<Attempt> {
        let function = match self.functions.snapshot(&queued.key).await {
            Ok(function) => function?,
            Err(error) => {
                tracing::error!(%error, "cannot look up the function of an event");
                return Some(Attempt::SystemError);
            }
        };
        Some(match self.invoker.invoke(function, queued.event.clone(), LogType::None).await {
            Ok(outcome) if outcome.error.is_none() => Attempt::Succeeded,
            Ok(_) => Attempt::FunctionError,
            Err(error) => {
                tracing::warn!(request_id = %queued.event.request_id, %error, "an asynchronous event must wait");
                Attempt::SystemError
            }
        })
    }

    async fn settle(&self, mut queued: QueuedEvent, attempt: Attempt) -> Result<(), PortError> {
        let id: RequestId = queued.event.request_id.clone();
        let (errors, faults) = (queued.function_errors, queued.system_errors);
        match self.options.retry.next(attempt, errors, faults, queued.accepted_at, self.clock.now()) {
            Next::Done => self.store.remove(id).await,
            Next::RetryAt(at) => {
                match attempt {
                    Attempt::FunctionError => queued.function_errors += 1,
                    Attempt::SystemError | Attempt::Succeeded => queued.system_errors += 1,
                }
                self.store.postpone(queued, at).await
            }
            Next::GiveUpRetries | Next::GiveUpAge => {
                tracing::warn!(request_id = %id, function = %queued.key.name, "dropped an event after its last attempt");
                self.store.remove(id).await
            }
        }
    }
}
