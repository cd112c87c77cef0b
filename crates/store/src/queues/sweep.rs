//! Freeing what nobody can reach any more, in steps.

use lambd_types::UnixMillis;
use sqlx::Row as _;

use super::batch::{Batch, Done};
use super::{QueueId, QueueWrite, Queues};
use crate::StoreError;

/// Rows that one step deletes: other writes wait for it.
const STEP: i64 = 500;

/// One step.
#[derive(Debug)]
pub(crate) enum Sweep {
    /// Messages of a queue that were sent then or before.
    Expired { queue: QueueId, sent: UnixMillis },
    /// What is left of deleted queues.
    Removed,
    /// What is not needed to recognise duplicates, names and tasks any more.
    Forgotten { now: UnixMillis, names: UnixMillis, tasks: UnixMillis },
}

impl Queues<'_> {
    async fn sweep(&self, sweep: Sweep) -> Result<bool, StoreError> {
        match self.writes.write(QueueWrite::Sweep(sweep)).await? {
            Done::Sweep(rows) => Ok(rows >= STEP as u64),
            other => unreachable!("a sweep was answered with {other:?}"),
        }
    }

    /// Deletes some messages that were sent at `sent` or before. Whether there are more.
    ///
    /// # Errors
    /// The database fails.
    pub async fn sweep_expired(&self, queue: QueueId, sent: UnixMillis) -> Result<bool, StoreError> {
        self.sweep(Sweep::Expired { queue, sent }).await
    }

    /// Deletes some of what is left of deleted and purged queues. Whether there is more.
    ///
    /// # Errors
    /// The database fails.
    pub async fn sweep_removed(&self) -> Result<bool, StoreError> {
        self.sweep(Sweep::Removed).await
    }

    /// Deletes some of what was kept for a while: what ends by `now`; names of queues that were deleted, and tasks that
    /// began, by the other two moments. Whether there is more.
    ///
    /// # Errors
    /// The database fails.
    pub async fn sweep_forgotten(
        &self,
        now: UnixMillis,
        names: UnixMillis,
        tasks: UnixMillis,
    ) -> Result<bool, StoreError> {
        self.sweep(Sweep::Forgotten { now, names, tasks }).await
    }

    /// When the oldest message of each queue that has any was sent.
    ///
    /// # Errors
    /// The database fails.
    pub async fn oldest(&self) -> Result<Vec<(QueueId, UnixMillis)>, StoreError> {
        let sql = "SELECT id, (SELECT MIN(sent_at) FROM message WHERE queue = queue.id) AS sent
                   FROM queue WHERE messages > 0";
        let rows = sqlx::query(sql).fetch_all(self.pool).await?;
        let oldest = rows.iter().filter_map(|row| {
            let sent: Option<i64> = row.get("sent");
            Some((QueueId(row.get("id")), UnixMillis(sent?)))
        });
        Ok(oldest.collect())
    }
}

pub(super) async fn apply(batch: &mut Batch<'_>, sweep: Sweep) -> Result<u64, StoreError> {
    match sweep {
        Sweep::Expired { queue, sent } => {
            let sql =
                "SELECT id, lane FROM message WHERE queue = ? AND sent_at <= ? ORDER BY sent_at LIMIT ?";
            let rows = sqlx::query(sql)
                .bind(queue.0)
                .bind(sent.0)
                .bind(STEP)
                .fetch_all(&mut *batch.connection)
                .await?;
            let ids: Vec<i64> = rows.iter().map(|row| row.get("id")).collect();
            for row in &rows {
                batch.touch(queue.0, row.get("lane"));
            }
            batch.count(queue.0, -(ids.len() as i64));
            let count = ids.len() as u64;
            batch.delete(ids).await?;
            Ok(count)
        }
        Sweep::Removed => removed(batch).await,
        Sweep::Forgotten { now, names, tasks } => {
            let sql = "DELETE FROM dedup WHERE rowid IN
                       (SELECT rowid FROM dedup WHERE until <= ? ORDER BY until LIMIT ?)";
            let keys = sqlx::query(sql).bind(now.0).bind(STEP).execute(&mut *batch.connection).await?;
            let sql = "DELETE FROM deleted_queue WHERE at <= ?";
            sqlx::query(sql).bind(names.0).execute(&mut *batch.connection).await?;
            let sql = "DELETE FROM move_task WHERE started <= ? AND status NOT IN ('RUNNING', 'CANCELLING')";
            sqlx::query(sql).bind(tasks.0).execute(&mut *batch.connection).await?;
            Ok(keys.rows_affected())
        }
    }
}

async fn removed(batch: &mut Batch<'_>) -> Result<u64, StoreError> {
    let queue: Option<i64> = sqlx::query_scalar("SELECT queue FROM removed LIMIT 1")
        .fetch_optional(&mut *batch.connection)
        .await?;
    let Some(queue) = queue else { return Ok(0) };
    for sql in [
        "DELETE FROM message WHERE id IN (SELECT id FROM message WHERE queue = ? ORDER BY sent_at LIMIT ?)",
        "DELETE FROM lane WHERE rowid IN (SELECT rowid FROM lane WHERE queue = ? LIMIT ?)",
        "DELETE FROM dedup WHERE rowid IN (SELECT rowid FROM dedup WHERE queue = ? LIMIT ?)",
    ] {
        let done = sqlx::query(sql).bind(queue).bind(STEP).execute(&mut *batch.connection).await?;
        if done.rows_affected() >= STEP as u64 {
            return Ok(STEP as u64);
        }
    }
    sqlx::query("DELETE FROM removed WHERE queue = ?").bind(queue).execute(&mut *batch.connection).await?;
    // There may be another queue.
    Ok(STEP as u64)
}
