//! The durable queue of asynchronous events, in a database of its own: a flood of events delays no change of a
//! function.
//!
//! Each function has a queue; the first events of one are found by an index, however many wait in it or in others. All
//! changes are committed in groups (`group_commit`): callers share a sync of the disk.

mod migrate;
#[cfg(test)]
mod tests;
mod write;

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use lambd_types::invocation::Event;
use lambd_types::{AccountId, FunctionName, FunctionTarget, Qualifier, Region, RequestId, Scope, UnixMillis};
use sqlx::Row as _;
use sqlx::sqlite::{SqlitePool, SqliteRow};

use crate::group_commit::GroupCommit;
use crate::{Store, StoreError};
pub(crate) use migrate::adopt;
use write::{EventWrite, NewRow};

/// What is to be done with an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum EventStage {
    /// The function is to be invoked.
    Invoke,
    /// Its outcome is to be delivered.
    Deliver,
    /// Nothing: it has failed, and is kept for an operator until it is due.
    Failed,
    /// Nothing: it could not be read.
    Unreadable,
}

impl EventStage {
    const ALL: [Self; 4] = [Self::Invoke, Self::Deliver, Self::Failed, Self::Unreadable];

    pub(crate) fn number(self) -> i64 {
        match self {
            Self::Invoke => 0,
            Self::Deliver => 1,
            Self::Failed => 2,
            Self::Unreadable => 3,
        }
    }
}

/// An event that is accepted.
#[derive(Debug, Clone)]
pub struct NewEventRow {
    /// What to invoke.
    pub target: FunctionTarget,
    /// The event.
    pub event: Event,
    /// Who sent it.
    pub caller: String,
    /// Where its failure is told should the function be gone by then: a destination.
    pub on_failure: Option<String>,
    /// The same: a dead letter queue or topic.
    pub dead_letter: Option<String>,
    /// When it is accepted; it is due at once.
    pub accepted_at: UnixMillis,
}

/// What changes of an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventState {
    /// What is to be done with it.
    pub stage: EventStage,
    /// When.
    pub due_at: UnixMillis,
    /// Attempts that ended in a function error.
    pub function_errors: u32,
    /// Attempts, of the invocation or of the delivery, that ended in throttling or a fault.
    pub system_errors: u32,
    /// Why it was not done the last time.
    pub last_error: Option<String>,
    /// The outcome, in the engine's own form.
    pub outcome: Option<Vec<u8>>,
}

/// An event in the queue.
#[derive(Debug, Clone)]
pub struct EventRow {
    /// Its identity.
    pub seq: i64,
    /// What it was accepted with.
    pub new: NewEventRow,
    /// What has become of it.
    pub state: EventState,
}

/// An event without what is large.
#[derive(Debug, Clone)]
pub struct EventSummary {
    /// Its identity.
    pub seq: i64,
    /// The id of its request.
    pub request_id: String,
    /// Version or alias.
    pub qualifier: String,
    /// Who sent it.
    pub caller: String,
    /// When it was accepted.
    pub accepted_at: UnixMillis,
    /// Bytes of its payload.
    pub bytes: u64,
    /// What has become of it, without the outcome.
    pub state: EventState,
}

/// A function's queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueRow {
    /// Its identity.
    pub id: i64,
    /// Account and region.
    pub scope: Scope,
    /// The function.
    pub name: FunctionName,
    /// Whether an operator has stopped it.
    pub paused: bool,
}

/// The database of events, opened.
#[derive(Debug)]
pub(crate) struct Events {
    pub(crate) pool: SqlitePool,
    writes: GroupCommit<EventWrite>,
    queues: Mutex<HashMap<(Scope, FunctionName), i64>>,
    last_seq: AtomicI64,
}

impl Events {
    /// Begins to work on a database that is open and migrated.
    pub(crate) async fn start(pool: SqlitePool) -> Result<Self, StoreError> {
        // What no event and no operator needs any more.
        let sql =
            "DELETE FROM queue WHERE paused = 0 AND NOT EXISTS (SELECT 1 FROM event WHERE queue = queue.id)";
        sqlx::query(sql).execute(&pool).await?;
        let last: Option<i64> = sqlx::query_scalar("SELECT MAX(seq) FROM event").fetch_one(&pool).await?;
        Ok(Self {
            writes: GroupCommit::start(pool.clone()),
            pool,
            queues: Mutex::default(),
            last_seq: AtomicI64::new(last.unwrap_or(0)),
        })
    }

    fn queues(&self) -> MutexGuard<'_, HashMap<(Scope, FunctionName), i64>> {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The queue of a function, made if it has none.
    async fn queue(&self, scope: &Scope, name: &FunctionName) -> Result<i64, StoreError> {
        let key = (scope.clone(), name.clone());
        if let Some(id) = self.queues().get(&key) {
            return Ok(*id);
        }
        let id = self.writes.write(EventWrite::Queue { scope: scope.clone(), name: name.clone() }).await?;
        self.queues().insert(key, id);
        Ok(id)
    }

    fn next_seq(&self) -> i64 {
        self.last_seq.fetch_add(1, Ordering::Relaxed) + 1
    }
}

impl Store {
    /// Adds an event; it is on disk when this resolves. Returns its queue and its identity.
    pub async fn push_event(&self, new: NewEventRow) -> Result<(i64, i64), StoreError> {
        let queue = self.events.queue(&new.target.scope, &new.target.name).await?;
        let seq = self.events.next_seq();
        self.events.writes.write(EventWrite::Push(Box::new(NewRow { seq, queue, new }))).await?;
        Ok((queue, seq))
    }

    /// All queues.
    pub async fn event_queues(&self) -> Result<Vec<QueueRow>, StoreError> {
        let sql = "SELECT id, account, region, name, paused FROM queue ORDER BY id";
        let rows = sqlx::query(sql).fetch_all(&self.events.pool).await?;
        let found: Vec<_> = rows.iter().filter_map(decode_queue).collect();
        let mut queues = self.events.queues();
        queues.extend(found.iter().map(|row| ((row.scope.clone(), row.name.clone()), row.id)));
        Ok(found)
    }

    /// The first events of a stage of a queue, by the time at which they are due, with that time.
    pub async fn first_events(
        &self,
        queue: i64,
        stage: EventStage,
        limit: usize,
    ) -> Result<Vec<(i64, UnixMillis)>, StoreError> {
        let sql = "SELECT seq, due_at FROM event WHERE queue = ? AND stage = ? ORDER BY due_at, seq LIMIT ?";
        let rows = sqlx::query(sql).bind(queue).bind(stage.number()).bind(limit as i64);
        let rows = rows.fetch_all(&self.events.pool).await?;
        Ok(rows.iter().map(|row| (row.get(0), UnixMillis(row.get(1)))).collect())
    }

    /// Events of a queue by their identities, in that order. One that cannot be read is set aside and
    /// left out; so is one that is gone.
    pub async fn load_events(&self, queue: &QueueRow, seqs: &[i64]) -> Result<Vec<EventRow>, StoreError> {
        let list = serde_json::Value::from(seqs).to_string();
        let sql = "SELECT * FROM event WHERE seq IN (SELECT value FROM json_each(?))";
        let rows = sqlx::query(sql).bind(list).fetch_all(&self.events.pool).await?;
        let mut found = HashMap::new();
        for row in &rows {
            let seq: i64 = row.get("seq");
            match decode(row, queue) {
                Ok(event) => drop(found.insert(seq, event)),
                Err(error) => {
                    tracing::error!(seq, function = %queue.name, %error, "an asynchronous event is set aside");
                    self.events.writes.write(EventWrite::SetAside { seq, why: error.to_string() }).await?;
                }
            }
        }
        Ok(seqs.iter().filter_map(|seq| found.remove(seq)).collect())
    }

    /// Records what has become of an event. Nothing happens to one that is gone.
    pub async fn change_event(&self, seq: i64, state: EventState) -> Result<(), StoreError> {
        self.events.writes.write(EventWrite::Change { seq, state }).await.map(drop)
    }

    /// Removes an event after its outcome.
    pub async fn remove_event(&self, seq: i64) -> Result<(), StoreError> {
        self.events.writes.write(EventWrite::Remove(seq)).await.map(drop)
    }

    /// Stops the queue of a function or lets it go on; returns its identity.
    pub async fn pause_events(
        &self,
        scope: &Scope,
        name: &FunctionName,
        paused: bool,
    ) -> Result<i64, StoreError> {
        let queue = self.events.queue(scope, name).await?;
        self.events.writes.write(EventWrite::Pause { queue, paused }).await?;
        Ok(queue)
    }

    /// Removes all events of a stage of a queue; returns how many there were. Others get their turn meanwhile.
    pub async fn purge_events(&self, queue: i64, stage: EventStage) -> Result<u64, StoreError> {
        let mut purged = 0;
        loop {
            let some = self.events.writes.write(EventWrite::Purge { queue, stage }).await?;
            purged += some.unsigned_abs();
            if some < write::PURGED_AT_ONCE {
                return Ok(purged);
            }
        }
    }

    /// Removes failed events of a queue that were kept long enough, and the oldest beyond `most`.
    pub async fn trim_failed_events(
        &self,
        queue: i64,
        now: UnixMillis,
        most: usize,
    ) -> Result<(), StoreError> {
        self.events.writes.write(EventWrite::Trim { queue, now, most: most as i64 }).await.map(drop)
    }

    /// How many events of each stage a queue has.
    pub async fn count_events(&self, queue: i64) -> Result<HashMap<EventStage, u64>, StoreError> {
        let sql = "SELECT stage, COUNT(*) FROM event WHERE queue = ? GROUP BY stage";
        let rows = sqlx::query(sql).bind(queue).fetch_all(&self.events.pool).await?;
        let count = |row: &SqliteRow| {
            let stage = EventStage::ALL.into_iter().find(|stage| stage.number() == row.get::<i64, _>(0))?;
            Some((stage, row.get::<i64, _>(1).unsigned_abs()))
        };
        Ok(rows.iter().filter_map(count).collect())
    }

    /// The first events of a stage of a queue, without what is large.
    pub async fn list_events(
        &self,
        queue: i64,
        stage: EventStage,
        limit: usize,
    ) -> Result<Vec<EventSummary>, StoreError> {
        let sql = "SELECT seq, request_id, qualifier, caller, accepted_at, length(payload) AS bytes, due_at,
                   function_errors, system_errors, last_error FROM event
                   WHERE queue = ? AND stage = ? ORDER BY due_at, seq LIMIT ?";
        let rows = sqlx::query(sql).bind(queue).bind(stage.number()).bind(limit as i64);
        let rows = rows.fetch_all(&self.events.pool).await?;
        let summary = |row: &SqliteRow| -> Result<EventSummary, sqlx::Error> {
            Ok(EventSummary {
                seq: row.try_get("seq")?,
                request_id: row.try_get("request_id")?,
                qualifier: row.try_get("qualifier")?,
                caller: row.try_get("caller")?,
                accepted_at: UnixMillis(row.try_get("accepted_at")?),
                bytes: row.try_get::<i64, _>("bytes")?.unsigned_abs(),
                state: EventState {
                    stage,
                    due_at: UnixMillis(row.try_get("due_at")?),
                    function_errors: row.try_get("function_errors")?,
                    system_errors: row.try_get("system_errors")?,
                    last_error: row.try_get("last_error")?,
                    outcome: None,
                },
            })
        };
        // One that cannot be read is not worth the others.
        Ok(rows.iter().filter_map(|row| summary(row).ok()).collect())
    }
}

fn decode_queue(row: &SqliteRow) -> Option<QueueRow> {
    let text = |column: &str| row.try_get::<String, _>(column).ok();
    let found = (|| {
        Some(QueueRow {
            id: row.try_get("id").ok()?,
            scope: Scope {
                account: AccountId::parse(&text("account")?)?,
                region: Region::parse(&text("region")?)?,
            },
            name: FunctionName::parse(&text("name")?).ok()?,
            paused: row.try_get("paused").ok()?,
        })
    })();
    if found.is_none() {
        tracing::error!(function = text("name"), "a queue of asynchronous events is damaged and left alone");
    }
    found
}

fn decode(row: &SqliteRow, queue: &QueueRow) -> Result<EventRow, StoreError> {
    let damaged = |detail: String| StoreError::Damaged { what: "asynchronous event", detail };
    let text = |column: &str| row.try_get::<String, _>(column);
    let optional = |column: &str| row.try_get::<Option<String>, _>(column);
    let qualifier = text("qualifier")?;
    let stage: i64 = row.try_get("stage")?;
    let stage = EventStage::ALL.into_iter().find(|known| known.number() == stage);
    Ok(EventRow {
        seq: row.try_get("seq")?,
        new: NewEventRow {
            target: FunctionTarget {
                scope: queue.scope.clone(),
                name: queue.name.clone(),
                qualifier: Qualifier::parse(&qualifier).map_err(|e| damaged(e.to_string()))?,
            },
            event: Event {
                request_id: RequestId::from_stored(text("request_id")?),
                payload: Bytes::from(row.try_get::<Vec<u8>, _>("payload")?),
                invoked_arn: text("invoked_arn")?,
                trace_id: text("trace_id")?,
                client_context: optional("client_context")?,
            },
            caller: text("caller")?,
            on_failure: optional("on_failure")?,
            dead_letter: optional("dead_letter")?,
            accepted_at: UnixMillis(row.try_get("accepted_at")?),
        },
        state: EventState {
            stage: stage.ok_or_else(|| damaged("its stage is unknown".to_owned()))?,
            due_at: UnixMillis(row.try_get("due_at")?),
            function_errors: row.try_get("function_errors")?,
            system_errors: row.try_get("system_errors")?,
            last_error: optional("last_error")?,
            outcome: row.try_get("outcome")?,
        },
    })
}
