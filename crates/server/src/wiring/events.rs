//! `invoke`'s event store and function look-up: `store` and `control`.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use lambd_control::{Control, Found};
use lambd_invoke::ports::{
    EventSettings, EventStore, EventSummary, FunctionQueue, Functions, NewEvent, PortError, Progress,
    QueuedEvent, Stage,
};
use lambd_observe::LogWriter;
use lambd_store::events::{self as rows, EventRow, EventStage, EventState, NewEventRow, QueueRow};
use lambd_store::{Store, StoreError};
use lambd_types::{FunctionName, FunctionSnapshot, FunctionTarget, Scope, UnixMillis};

pub(crate) struct StoredEvents {
    pub(crate) store: Arc<Store>,
    pub(crate) logs: LogWriter,
}

impl EventStore for StoredEvents {
    fn push(&self, new: NewEvent) -> BoxFuture<'_, Result<(i64, i64), PortError>> {
        let NewEvent { target, event, caller, on_failure, dead_letter, accepted_at } = new;
        let row = NewEventRow { target, event, caller, on_failure, dead_letter, accepted_at };
        Box::pin(async move { self.store.push_event(row).await.map_err(port_error) })
    }

    fn queues(&self) -> BoxFuture<'_, Result<Vec<FunctionQueue>, PortError>> {
        Box::pin(async move {
            let queue = |QueueRow { id, scope, name, paused }| FunctionQueue { id, scope, name, paused };
            Ok(self.store.event_queues().await.map_err(port_error)?.into_iter().map(queue).collect())
        })
    }

    fn first(
        &self,
        queue: i64,
        stage: Stage,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<(i64, UnixMillis)>, PortError>> {
        Box::pin(async move {
            self.store.first_events(queue, stored_stage(stage), limit).await.map_err(port_error)
        })
    }

    fn load<'a>(
        &'a self,
        queue: &'a FunctionQueue,
        seqs: &'a [i64],
    ) -> BoxFuture<'a, Result<Vec<QueuedEvent>, PortError>> {
        Box::pin(async move {
            let FunctionQueue { id, scope, name, paused } = queue.clone();
            let loaded = self.store.load_events(&QueueRow { id, scope, name, paused }, seqs).await;
            Ok(loaded.map_err(port_error)?.into_iter().map(queued).collect())
        })
    }

    fn change(&self, seq: i64, progress: Progress) -> BoxFuture<'_, Result<(), PortError>> {
        Box::pin(async move {
            if progress.stage == Stage::Failed {
                self.logs.flush().await;
            }
            self.store.change_event(seq, state(progress)).await.map_err(port_error)
        })
    }

    fn remove(&self, seq: i64) -> BoxFuture<'_, Result<(), PortError>> {
        Box::pin(async move {
            // An event that is done has its log: nobody else is left to tell what became of it.
            self.logs.flush().await;
            self.store.remove_event(seq).await.map_err(port_error)
        })
    }

    fn pause(
        &self,
        scope: &Scope,
        name: &FunctionName,
        paused: bool,
    ) -> BoxFuture<'_, Result<i64, PortError>> {
        let (scope, name) = (scope.clone(), name.clone());
        Box::pin(async move { self.store.pause_events(&scope, &name, paused).await.map_err(port_error) })
    }

    fn purge(&self, queue: i64, stage: Stage) -> BoxFuture<'_, Result<u64, PortError>> {
        Box::pin(async move { self.store.purge_events(queue, stored_stage(stage)).await.map_err(port_error) })
    }

    fn trim(&self, queue: i64, now: UnixMillis, most: usize) -> BoxFuture<'_, Result<(), PortError>> {
        Box::pin(async move { self.store.trim_failed_events(queue, now, most).await.map_err(port_error) })
    }

    fn count(&self, queue: i64) -> BoxFuture<'_, Result<Vec<(Stage, u64)>, PortError>> {
        Box::pin(async move {
            let counts = self.store.count_events(queue).await.map_err(port_error)?;
            Ok(counts.into_iter().map(|(stage, count)| (port_stage(stage), count)).collect())
        })
    }

    fn list(
        &self,
        queue: i64,
        stage: Stage,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<EventSummary>, PortError>> {
        Box::pin(async move {
            let listed = self.store.list_events(queue, stored_stage(stage), limit).await;
            Ok(listed.map_err(port_error)?.into_iter().map(summary).collect())
        })
    }
}

fn stored_stage(stage: Stage) -> EventStage {
    match stage {
        Stage::Invoke => EventStage::Invoke,
        Stage::Deliver => EventStage::Deliver,
        Stage::Failed => EventStage::Failed,
        Stage::Unreadable => EventStage::Unreadable,
    }
}

fn port_stage(stage: EventStage) -> Stage {
    match stage {
        EventStage::Invoke => Stage::Invoke,
        EventStage::Deliver => Stage::Deliver,
        EventStage::Failed => Stage::Failed,
        EventStage::Unreadable => Stage::Unreadable,
    }
}

fn state(progress: Progress) -> EventState {
    let Progress { stage, due_at, function_errors, system_errors, last_error, outcome } = progress;
    EventState { stage: stored_stage(stage), due_at, function_errors, system_errors, last_error, outcome }
}

fn progress(state: EventState) -> Progress {
    let EventState { stage, due_at, function_errors, system_errors, last_error, outcome } = state;
    Progress { stage: port_stage(stage), due_at, function_errors, system_errors, last_error, outcome }
}

fn queued(row: EventRow) -> QueuedEvent {
    let NewEventRow { target, event, caller, on_failure, dead_letter, accepted_at } = row.new;
    let new = NewEvent { target, event, caller, on_failure, dead_letter, accepted_at };
    QueuedEvent { seq: row.seq, new, progress: progress(row.state) }
}

fn summary(row: rows::EventSummary) -> EventSummary {
    let rows::EventSummary { seq, request_id, qualifier, caller, accepted_at, bytes, state } = row;
    EventSummary { seq, request_id, qualifier, caller, accepted_at, bytes, progress: progress(state) }
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

    fn event_settings(&self, target: &FunctionTarget) -> BoxFuture<'_, Result<EventSettings, PortError>> {
        let target = target.clone();
        Box::pin(async move {
            let lambd_control::EventSettings { invoke, may_recurse } =
                self.0.event_settings(&target).await.map_err(port_error)?;
            Ok(EventSettings {
                retries: invoke.maximum_retry_attempts,
                max_age: invoke.maximum_event_age.map(|seconds| i64::from(seconds) * 1000),
                on_success: invoke.on_success,
                on_failure: invoke.on_failure,
                may_recurse,
            })
        })
    }
}
