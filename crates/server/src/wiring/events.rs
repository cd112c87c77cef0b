//! `invoke`'s event store and function look-up: `store` and `control`.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use lambd_control::{Control, Found};
use lambd_invoke::ports::{Busy, EventLimits, EventStore, Functions, PortError, QueuedEvent};
use lambd_observe::LogWriter;
use lambd_store::events::EventRow;
use lambd_store::{Store, StoreError};
use lambd_types::{FunctionSnapshot, FunctionTarget, RequestId, UnixMillis};

pub(crate) struct StoredEvents {
    pub(crate) store: Arc<Store>,
    pub(crate) logs: LogWriter,
}

impl EventStore for StoredEvents {
    fn push(&self, event: QueuedEvent) -> BoxFuture<'_, Result<(), PortError>> {
        let due_at = event.accepted_at;
        Box::pin(async move { self.store.push_event(&row(event, due_at)).await.map_err(port_error) })
    }

    fn due(
        &self,
        now: UnixMillis,
        limit: usize,
        busy: Busy,
    ) -> BoxFuture<'_, Result<Vec<QueuedEvent>, PortError>> {
        Box::pin(async move {
            let rows = self.store.due_events(now, limit, &busy.events, &busy.functions).await;
            Ok(rows.map_err(port_error)?.into_iter().map(queued).collect())
        })
    }

    fn next_due(&self, now: UnixMillis) -> BoxFuture<'_, Result<Option<UnixMillis>, PortError>> {
        Box::pin(async move { self.store.next_event_due(now).await.map_err(port_error) })
    }

    fn postpone(&self, event: QueuedEvent, until: UnixMillis) -> BoxFuture<'_, Result<(), PortError>> {
        Box::pin(async move { self.store.postpone_event(&row(event, until)).await.map_err(port_error) })
    }

    fn remove(&self, id: RequestId) -> BoxFuture<'_, Result<(), PortError>> {
        Box::pin(async move {
            // An event that is done has its log: nobody else is left to tell what became of it.
            self.logs.flush().await;
            self.store.remove_event(&id).await.map_err(port_error)
        })
    }
}

fn row(event: QueuedEvent, due_at: UnixMillis) -> EventRow {
    let QueuedEvent { target, event, accepted_at, function_errors, system_errors } = event;
    EventRow { target, event, accepted_at, due_at, function_errors, system_errors }
}

fn queued(row: EventRow) -> QueuedEvent {
    let EventRow { target, event, accepted_at, due_at: _, function_errors, system_errors } = row;
    QueuedEvent { target, event, accepted_at, function_errors, system_errors }
}

fn port_error(error: StoreError) -> PortError {
    PortError { disk_full: error.is_disk_full(), text: error.to_string() }
}

pub(crate) struct ControlFunctions(pub(crate) Control);

impl Functions for ControlFunctions {
    fn snapshot(
        &self,
        target: &FunctionTarget,
    ) -> BoxFuture<'_, Result<Option<Arc<FunctionSnapshot>>, PortError>> {
        let target = target.clone();
        Box::pin(async move {
            let failed = |text: String| PortError { text, disk_full: false };
            match self.0.resolve(&target).await.map_err(|error| failed(error.to_string()))? {
                None => Ok(None),
                Some(Found::Ready(function)) => Ok(Some(function)),
                Some(Found::NotReady(condition)) => {
                    Err(failed(format!("the function is {}", condition.state.as_str())))
                }
            }
        })
    }

    fn event_limits(&self, target: &FunctionTarget) -> BoxFuture<'_, Result<EventLimits, PortError>> {
        let target = target.clone();
        Box::pin(async move {
            let settings = self.0.event_invoke(&target).await.map_err(port_error)?.unwrap_or_default();
            Ok(EventLimits {
                retries: settings.maximum_retry_attempts,
                max_age: settings.maximum_event_age.map(|seconds| i64::from(seconds) * 1000),
            })
        })
    }
}
