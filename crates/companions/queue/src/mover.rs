//! Tasks that move messages out of a dead-letter queue.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use lambd_store::StoreError;
use lambd_store::queues::{MoveItem, Peeked, QueueId, TaskRow};
use lambd_types::{UnixMillis, random};
use tokio::sync::Notify;

use crate::queues::Shared;
use crate::registry::Queue;

/// Messages of one step, when nobody asks for fewer a second.
const STEP: i64 = 100;

/// A task is at work.
pub(crate) const RUNNING: &str = "RUNNING";
/// It is asked to end.
pub(crate) const CANCELLING: &str = "CANCELLING";
const CANCELLED: &str = "CANCELLED";
const COMPLETED: &str = "COMPLETED";
const FAILED: &str = "FAILED";

const NO_QUEUE: &str = "AWS.SimpleQueueService.NonExistentQueue";
const NO_SOURCE: &str = "CouldNotDetermineMessageSource";

/// Tells the tasks.
#[derive(Debug, Default)]
pub(crate) struct Mover {
    changed: Notify,
    cancelled: Mutex<HashSet<String>>,
}

impl Mover {
    /// There is a new task.
    pub(crate) fn started(&self) {
        self.changed.notify_one();
    }

    /// A task is to end.
    pub(crate) fn cancel(&self, id: &str) {
        self.cancelled.lock().unwrap_or_else(PoisonError::into_inner).insert(id.to_owned());
        self.changed.notify_one();
    }

    fn is_cancelled(&self, id: &str) -> bool {
        self.cancelled.lock().unwrap_or_else(PoisonError::into_inner).contains(id)
    }

    fn forget(&self, id: &str) {
        self.cancelled.lock().unwrap_or_else(PoisonError::into_inner).remove(id);
    }
}

/// Works on all tasks, those of the last start as well. Each gets its step, then the next.
pub(crate) async fn run(shared: Arc<Shared>) {
    let mut due: Vec<(UnixMillis, TaskRow)> = Vec::new();
    loop {
        if let Err(error) = adopt(&shared, &mut due).await {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "tasks that move messages cannot be read"
            );
        }
        let now = shared.clock.now();
        let mut waiting = Vec::with_capacity(due.len());
        for (at, task) in due.drain(..) {
            if at > now && !shared.mover.is_cancelled(&task.id) {
                waiting.push((at, task));
                continue;
            }
            match step(&shared, task.clone()).await {
                Ok(task) if task.status == RUNNING => {
                    let pause = if task.rate.is_some() { 1000 } else { 0 };
                    waiting.push((UnixMillis(now.0 + pause), task));
                }
                Ok(task) => shared.mover.forget(&task.id),
                Err(error) => {
                    tracing::warn!(error = &error as &dyn std::error::Error, "messages could not be moved");
                    waiting.push((UnixMillis(now.0 + 1000), task));
                }
            }
        }
        due = waiting;
        match due.iter().map(|(at, _)| *at).min() {
            None => shared.mover.changed.notified().await,
            Some(next) => tokio::select! {
                () = shared.clock.reaches(next) => {}
                () = shared.mover.changed.notified() => {}
            },
        }
    }
}

/// Adds tasks that are not worked on yet.
async fn adopt(shared: &Shared, due: &mut Vec<(UnixMillis, TaskRow)>) -> Result<(), StoreError> {
    for task in shared.store.queues().tasks_in([RUNNING, CANCELLING]).await? {
        if due.iter().all(|(_, known)| known.id != task.id) {
            if task.status == CANCELLING {
                shared.mover.cancel(&task.id);
            }
            due.push((task.started, task));
        }
    }
    Ok(())
}

/// Moves some messages, and records it.
async fn step(shared: &Shared, mut task: TaskRow) -> Result<TaskRow, StoreError> {
    let end = |task: &mut TaskRow, status: &str, failure: Option<&str>| {
        task.status = status.to_owned();
        task.failure = failure.map(str::to_owned);
    };
    if shared.mover.is_cancelled(&task.id) {
        end(&mut task, CANCELLED, None);
    } else if let Some(source) = shared.registry.find_arn(&task.source) {
        let now = shared.clock.now();
        let limit = task.rate.unwrap_or(STEP) as u32;
        let found = shared.store.queues().peek(source.id(), source.row.fifo, now, limit).await?;
        if found.is_empty() {
            end(&mut task, COMPLETED, None);
        } else {
            let (items, failure) = address(shared, &task, found, now);
            let targets: HashSet<QueueId> = items.iter().map(|item| item.to).collect();
            task.moved += shared.store.queues().move_messages(source.id(), now, items).await? as i64;
            for target in targets.into_iter().filter_map(|id| shared.registry.with_id(id)) {
                target.signs.arrived(usize::MAX);
            }
            match failure {
                Some(failure) => end(&mut task, FAILED, Some(failure)),
                None if task.moved >= task.to_move => end(&mut task, COMPLETED, None),
                None => {}
            }
        }
    } else {
        end(&mut task, FAILED, Some(NO_QUEUE));
    }
    shared.store.queues().save_task(task.clone()).await?;
    Ok(task)
}

/// Where messages go, up to the first that has nowhere to go, and why it has not.
fn address(
    shared: &Shared,
    task: &TaskRow,
    found: Vec<Peeked>,
    now: UnixMillis,
) -> (Vec<MoveItem>, Option<&'static str>) {
    let mut items = Vec::with_capacity(found.len());
    for Peeked { id, origin } in found {
        let Some(arn) = task.destination.as_ref().or(origin.as_ref()) else {
            return (items, Some(NO_SOURCE));
        };
        let Some(target) = shared.registry.find_arn(arn) else { return (items, Some(NO_QUEUE)) };
        items.push(MoveItem {
            id,
            to: target.id(),
            uuid: random::uuid(),
            visible_at: visible_at(&target, now),
        });
    }
    (items, None)
}

fn visible_at(target: &Queue, now: UnixMillis) -> UnixMillis {
    UnixMillis(now.0 + target.settings.delay)
}
