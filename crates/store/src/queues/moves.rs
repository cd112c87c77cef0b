//! Moving messages from one queue to others.

use lambd_types::{Scope, UnixMillis};
use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;

use super::batch::{Batch, Done};
use super::{QueueId, QueueWrite, Queues, scope_of};
use crate::StoreError;

/// Messages to be moved out of one queue.
#[derive(Debug)]
pub(crate) struct Moves {
    source: QueueId,
    at: UnixMillis,
    pub(super) items: Vec<MoveItem>,
}

/// One message to be moved, which becomes a new one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MoveItem {
    /// The message.
    pub id: i64,
    /// Where it goes.
    pub to: QueueId,
    /// Its new id as clients see it.
    pub uuid: String,
    /// When it can be received there.
    pub visible_at: UnixMillis,
}

/// A message that can be moved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peeked {
    /// The message.
    pub id: i64,
    /// The queue that it came from.
    pub origin: Option<String>,
}

/// A task that moves messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskRow {
    /// Its id.
    pub id: String,
    /// Whose it is, and where.
    pub scope: Scope,
    /// The queue that is moved from.
    pub source: String,
    /// The queue that is moved to; where each message came from if not set.
    pub destination: Option<String>,
    /// Most messages a second.
    pub rate: Option<i64>,
    /// Where it is.
    pub status: String,
    /// Why it failed.
    pub failure: Option<String>,
    /// Messages moved so far.
    pub moved: i64,
    /// Messages that there were when it began.
    pub to_move: i64,
    /// When it began.
    pub started: UnixMillis,
}

impl Queues<'_> {
    /// The first messages of a queue that are visible at a moment; in the order of each lane, if it has lanes.
    ///
    /// # Errors
    /// The database fails.
    pub async fn peek(
        &self,
        queue: QueueId,
        fifo: bool,
        at: UnixMillis,
        limit: u32,
    ) -> Result<Vec<Peeked>, StoreError> {
        let sql = if fifo {
            "SELECT id, origin FROM message INDEXED BY message_by_lane
             WHERE queue = ? AND lane IS NOT NULL AND visible_at <= ?
             ORDER BY lane, id LIMIT ?"
        } else {
            "SELECT id, origin FROM message WHERE queue = ? AND visible_at <= ?
             ORDER BY visible_at, receives, id LIMIT ?"
        };
        let rows = sqlx::query(sql).bind(queue.0).bind(at.0).bind(limit).fetch_all(self.pool).await?;
        Ok(rows.iter().map(|row| Peeked { id: row.get("id"), origin: row.get("origin") }).collect())
    }

    /// Moves messages that are in a queue and visible, and returns how many there were of them.
    ///
    /// # Errors
    /// The database fails; nothing is moved.
    pub async fn move_messages(
        &self,
        source: QueueId,
        at: UnixMillis,
        items: Vec<MoveItem>,
    ) -> Result<u64, StoreError> {
        match self.writes.write(QueueWrite::Moves(Moves { source, at, items })).await? {
            Done::Moves(moved) => Ok(moved),
            other => unreachable!("a move was answered with {other:?}"),
        }
    }

    /// Tasks of a source, the latest first.
    ///
    /// # Errors
    /// The database fails, or a row is damaged.
    pub async fn tasks_of(&self, scope: &Scope, source: &str) -> Result<Vec<TaskRow>, StoreError> {
        let sql =
            "SELECT * FROM move_task WHERE account = ? AND region = ? AND source = ? ORDER BY started DESC";
        let query = sqlx::query(sql).bind(scope.account.as_str()).bind(scope.region.as_str()).bind(source);
        query.fetch_all(self.pool).await?.iter().map(task_of).collect()
    }

    /// Tasks that have one of these statuses, of all sources.
    ///
    /// # Errors
    /// The database fails, or a row is damaged.
    pub async fn tasks_in(&self, statuses: [&str; 2]) -> Result<Vec<TaskRow>, StoreError> {
        let query = sqlx::query("SELECT * FROM move_task WHERE status IN (?, ?)");
        query.bind(statuses[0]).bind(statuses[1]).fetch_all(self.pool).await?.iter().map(task_of).collect()
    }

    /// One task.
    ///
    /// # Errors
    /// The database fails, or the row is damaged.
    pub async fn task(&self, id: &str) -> Result<Option<TaskRow>, StoreError> {
        let row =
            sqlx::query("SELECT * FROM move_task WHERE id = ?").bind(id).fetch_optional(self.pool).await?;
        row.as_ref().map(task_of).transpose()
    }
}

pub(super) async fn save(batch: &mut Batch<'_>, task: &TaskRow) -> Result<(), StoreError> {
    sqlx::query("REPLACE INTO move_task VALUES (?,?,?,?,?,?,?,?,?,?,?)")
        .bind(&task.id)
        .bind(task.scope.account.as_str())
        .bind(task.scope.region.as_str())
        .bind(&task.source)
        .bind(&task.destination)
        .bind(task.rate)
        .bind(&task.status)
        .bind(&task.failure)
        .bind(task.moved)
        .bind(task.to_move)
        .bind(task.started.0)
        .execute(&mut *batch.connection)
        .await?;
    Ok(())
}

pub(super) async fn apply(batch: &mut Batch<'_>, moves: Moves) -> Result<u64, StoreError> {
    let (source, at) = (moves.source.0, moves.at.0);
    let mut next = batch.ids(moves.items.len()).await?;
    let mut moved = 0;
    for item in moves.items {
        if !batch.is_live(item.to.0) {
            continue;
        }
        // A new id: where the order is kept, it comes behind what is there.
        let sql = "UPDATE message SET id = ?, queue = ?, visible_at = ?, receives = 0, sent_at = ?,
                     first_received = 0, last_received = 0, attempt = NULL, origin = NULL, uuid = ?
                   WHERE id = ? AND queue = ? AND visible_at <= ? RETURNING lane";
        let row = sqlx::query(sql)
            .bind(next)
            .bind(item.to.0)
            .bind(item.visible_at.0)
            .bind(at)
            .bind(item.uuid)
            .bind(item.id)
            .bind(source)
            .bind(at)
            .fetch_optional(&mut *batch.connection)
            .await?;
        next += 1;
        if let Some(row) = row {
            let lane: Option<String> = row.get("lane");
            batch.touch(source, lane.clone());
            batch.touch(item.to.0, lane);
            batch.count(source, -1);
            batch.count(item.to.0, 1);
            moved += 1;
        }
    }
    Ok(moved)
}

fn task_of(row: &SqliteRow) -> Result<TaskRow, StoreError> {
    let damaged = |detail: String| StoreError::Damaged { what: "task that moves messages", detail };
    Ok(TaskRow {
        id: row.get("id"),
        scope: scope_of(row).map_err(damaged)?,
        source: row.get("source"),
        destination: row.get("destination"),
        rate: row.get("rate"),
        status: row.get("status"),
        failure: row.get("failure"),
        moved: row.get("moved"),
        to_move: row.get("to_move"),
        started: UnixMillis(row.get("started")),
    })
}
