//! Making, changing and deleting queues.

use std::collections::BTreeMap;

use lambd_types::{Scope, UnixMillis};
use sqlx::Row as _;

use super::batch::{Batch, Done};
use super::{QueueId, QueueRow, QueueWrite, Queues, TaskRow, moves, to_json};
use crate::StoreError;

/// A change of queues, not of messages.
#[derive(Debug)]
pub(crate) enum Manage {
    Create(QueueRow),
    Attributes {
        queue: QueueId,
        attributes: BTreeMap<String, String>,
        modified: UnixMillis,
        /// The delay of all messages that nobody has received yet.
        delay: Option<i64>,
    },
    Tags {
        queue: QueueId,
        tags: BTreeMap<String, String>,
    },
    Delete {
        queue: QueueId,
        at: UnixMillis,
    },
    Purge {
        queue: QueueRow,
        at: UnixMillis,
    },
    Task(TaskRow),
    /// Asks a task that is at work to end.
    EndTask {
        id: String,
        running: &'static str,
        ending: &'static str,
    },
}

/// What came of it.
#[derive(Debug)]
pub(crate) enum Managed {
    /// The queue that was there has this content now.
    Queue(QueueId),
    Done,
}

impl Queues<'_> {
    async fn manage(&self, manage: Manage) -> Result<Managed, StoreError> {
        match self.writes.write(QueueWrite::Manage(Box::new(manage))).await? {
            Done::Manage(managed) => Ok(managed),
            other => unreachable!("a change of queues was answered with {other:?}"),
        }
    }

    /// Makes a queue, whatever its id says, and returns its id. There must be none of its name.
    ///
    /// # Errors
    /// The database fails.
    pub async fn create(&self, queue: QueueRow) -> Result<QueueId, StoreError> {
        match self.manage(Manage::Create(queue)).await? {
            Managed::Queue(id) => Ok(id),
            Managed::Done => unreachable!("a queue that was made has an id"),
        }
    }

    /// Sets the attributes of a queue. With a delay (in milliseconds), the messages that nobody has received yet become
    /// visible so long after they were sent.
    ///
    /// # Errors
    /// The database fails.
    pub async fn set_attributes(
        &self,
        queue: QueueId,
        attributes: BTreeMap<String, String>,
        modified: UnixMillis,
        delay: Option<i64>,
    ) -> Result<(), StoreError> {
        self.manage(Manage::Attributes { queue, attributes, modified, delay }).await.map(drop)
    }

    /// Sets the tags of a queue.
    ///
    /// # Errors
    /// The database fails.
    pub async fn set_tags(&self, queue: QueueId, tags: BTreeMap<String, String>) -> Result<(), StoreError> {
        self.manage(Manage::Tags { queue, tags }).await.map(drop)
    }

    /// Deletes a queue and remembers its name. The space of its messages is freed by [`Self::sweep_removed`].
    ///
    /// # Errors
    /// The database fails.
    pub async fn delete(&self, queue: QueueId, at: UnixMillis) -> Result<(), StoreError> {
        self.manage(Manage::Delete { queue, at }).await.map(drop)
    }

    /// Gives a queue new, empty content, whose id it returns. What it had is freed by [`Self::sweep_removed`].
    ///
    /// # Errors
    /// The database fails.
    pub async fn purge(&self, queue: QueueRow, at: UnixMillis) -> Result<QueueId, StoreError> {
        match self.manage(Manage::Purge { queue, at }).await? {
            Managed::Queue(id) => Ok(id),
            Managed::Done => unreachable!("a queue that was purged has an id"),
        }
    }

    /// Records where a task is that moves messages.
    ///
    /// # Errors
    /// The database fails.
    pub async fn save_task(&self, task: TaskRow) -> Result<(), StoreError> {
        self.manage(Manage::Task(task)).await.map(drop)
    }

    /// Gives a task another status, if it still has the one that it is thought to have.
    ///
    /// # Errors
    /// The database fails.
    pub async fn end_task(
        &self,
        id: String,
        running: &'static str,
        ending: &'static str,
    ) -> Result<(), StoreError> {
        self.manage(Manage::EndTask { id, running, ending }).await.map(drop)
    }

    /// When a queue of that name was deleted, if that was after `since`.
    ///
    /// # Errors
    /// The database fails.
    pub async fn deleted_since(
        &self,
        scope: &Scope,
        name: &str,
        since: UnixMillis,
    ) -> Result<Option<UnixMillis>, StoreError> {
        let sql = "SELECT at FROM deleted_queue WHERE account = ? AND region = ? AND name = ? AND at > ?";
        let at: Option<i64> = sqlx::query_scalar(sql)
            .bind(scope.account.as_str())
            .bind(scope.region.as_str())
            .bind(name)
            .bind(since.0)
            .fetch_optional(self.pool)
            .await?;
        Ok(at.map(UnixMillis))
    }
}

pub(super) async fn apply(batch: &mut Batch<'_>, manage: Manage) -> Result<Managed, StoreError> {
    match manage {
        Manage::Create(queue) => {
            sqlx::query("DELETE FROM deleted_queue WHERE account = ? AND region = ? AND name = ?")
                .bind(queue.scope.account.as_str())
                .bind(queue.scope.region.as_str())
                .bind(&queue.name)
                .execute(&mut *batch.connection)
                .await?;
            insert(batch, &queue).await.map(Managed::Queue)
        }
        Manage::Attributes { queue, attributes, modified, delay } => {
            sqlx::query("UPDATE queue SET attributes = ?, modified = ? WHERE id = ?")
                .bind(to_json(&attributes))
                .bind(modified.0)
                .bind(queue.0)
                .execute(&mut *batch.connection)
                .await?;
            if let Some(delay) = delay {
                set_delay(batch, queue, delay).await?;
            }
            Ok(Managed::Done)
        }
        Manage::Tags { queue, tags } => {
            sqlx::query("UPDATE queue SET tags = ? WHERE id = ?")
                .bind(to_json(&tags))
                .bind(queue.0)
                .execute(&mut *batch.connection)
                .await?;
            Ok(Managed::Done)
        }
        Manage::Delete { queue, at } => {
            let sql = "REPLACE INTO deleted_queue SELECT account, region, name, ? FROM queue WHERE id = ?";
            sqlx::query(sql).bind(at.0).bind(queue.0).execute(&mut *batch.connection).await?;
            remove(batch, queue).await?;
            Ok(Managed::Done)
        }
        Manage::Purge { queue, at } => {
            remove(batch, queue.id).await?;
            insert(batch, &QueueRow { purged: Some(at), ..queue }).await.map(Managed::Queue)
        }
        Manage::Task(task) => {
            moves::save(batch, &task).await?;
            Ok(Managed::Done)
        }
        Manage::EndTask { id, running, ending } => {
            sqlx::query("UPDATE move_task SET status = ? WHERE id = ? AND status = ?")
                .bind(ending)
                .bind(id)
                .bind(running)
                .execute(&mut *batch.connection)
                .await?;
            Ok(Managed::Done)
        }
    }
}

async fn insert(batch: &mut Batch<'_>, queue: &QueueRow) -> Result<QueueId, StoreError> {
    let sql = "INSERT INTO queue (account, region, name, fifo, created, modified, purged, attributes, tags)
               VALUES (?,?,?,?,?,?,?,?,?) RETURNING id";
    let row = sqlx::query(sql)
        .bind(queue.scope.account.as_str())
        .bind(queue.scope.region.as_str())
        .bind(&queue.name)
        .bind(queue.fifo)
        .bind(queue.created.0)
        .bind(queue.modified.0)
        .bind(queue.purged.map(|at| at.0))
        .bind(to_json(&queue.attributes))
        .bind(to_json(&queue.tags))
        .fetch_one(&mut *batch.connection)
        .await?;
    Ok(QueueId(row.get("id")))
}

async fn remove(batch: &mut Batch<'_>, queue: QueueId) -> Result<(), StoreError> {
    for sql in ["INSERT OR IGNORE INTO removed VALUES (?)", "DELETE FROM queue WHERE id = ?"] {
        sqlx::query(sql).bind(queue.0).execute(&mut *batch.connection).await?;
    }
    Ok(())
}

async fn set_delay(batch: &mut Batch<'_>, queue: QueueId, delay: i64) -> Result<(), StoreError> {
    sqlx::query("UPDATE message SET visible_at = sent_at + ? WHERE queue = ? AND receives = 0")
        .bind(delay)
        .bind(queue.0)
        .execute(&mut *batch.connection)
        .await?;
    let sql = "UPDATE lane SET ready_at = (SELECT visible_at FROM message
                 WHERE message.queue = lane.queue AND message.lane = lane.name ORDER BY message.id LIMIT 1)
               WHERE queue = ?";
    sqlx::query(sql).bind(queue.0).execute(&mut *batch.connection).await?;
    Ok(())
}
