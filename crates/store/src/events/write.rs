//! Changes of the queue, many in one transaction.

use lambd_types::{FunctionName, Scope, UnixMillis};
use sqlx::QueryBuilder;
use sqlx::sqlite::SqliteConnection;

use super::{EventStage, EventState, NewEventRow};
use crate::StoreError;
use crate::group_commit::Write;

/// Events that are purged in one transaction.
pub(super) const PURGED_AT_ONCE: i64 = 2_000;
/// Most rows of one statement. Statements are prepared by their texts: powers of two keep them few.
const ROWS: usize = 64;
/// Most bytes of one row's last error.
const ERROR_MAX: usize = 1_000;

#[derive(Debug)]
pub(super) struct NewRow {
    pub(super) seq: i64,
    pub(super) queue: i64,
    pub(super) new: NewEventRow,
}

/// A change of the queue. The output is the identity or the number of what is concerned.
#[derive(Debug)]
pub(super) enum EventWrite {
    Queue { scope: Scope, name: FunctionName },
    Push(Box<NewRow>),
    Change { seq: i64, state: EventState },
    Remove(i64),
    SetAside { seq: i64, why: String },
    Pause { queue: i64, paused: bool },
    Purge { queue: i64, stage: EventStage },
    Trim { queue: i64, now: UnixMillis, most: i64 },
}

impl Write for EventWrite {
    type Output = i64;

    async fn apply(batch: Vec<Self>, connection: &mut SqliteConnection) -> Result<Vec<i64>, StoreError> {
        // An event is the subject of one write at a time, so that kinds can be gathered.
        let mut outputs = Vec::with_capacity(batch.len());
        let (mut pushes, mut removals) = (Vec::new(), Vec::new());
        for write in batch {
            outputs.push(match write {
                Self::Push(row) => {
                    let seq = row.seq;
                    pushes.push(row);
                    seq
                }
                Self::Remove(seq) => {
                    removals.push(seq);
                    seq
                }
                other => other.alone(connection).await?,
            });
        }
        for chunk in chunks(&pushes) {
            push(chunk, connection).await?;
        }
        for chunk in chunks(&removals) {
            remove(chunk, connection).await?;
        }
        Ok(outputs)
    }
}

impl EventWrite {
    async fn alone(self, connection: &mut SqliteConnection) -> Result<i64, StoreError> {
        let done = match self {
            Self::Push(_) | Self::Remove(_) => return Ok(0),
            Self::Queue { scope, name } => return queue(&scope, &name, connection).await,
            Self::Change { seq, state } => {
                let sql = "UPDATE event SET stage = ?, due_at = ?, function_errors = ?, system_errors = ?,
                           last_error = ?, outcome = ? WHERE seq = ?";
                sqlx::query(sql)
                    .bind(state.stage.number())
                    .bind(state.due_at.0)
                    .bind(state.function_errors)
                    .bind(state.system_errors)
                    .bind(state.last_error.map(shortened))
                    .bind(state.outcome)
                    .bind(seq)
                    .execute(connection)
                    .await?
            }
            Self::SetAside { seq, why } => {
                sqlx::query("UPDATE event SET stage = ?, last_error = ? WHERE seq = ?")
                    .bind(EventStage::Unreadable.number())
                    .bind(shortened(why))
                    .bind(seq)
                    .execute(connection)
                    .await?
            }
            Self::Pause { queue, paused } => {
                sqlx::query("UPDATE queue SET paused = ? WHERE id = ?")
                    .bind(paused)
                    .bind(queue)
                    .execute(connection)
                    .await?
            }
            Self::Purge { queue, stage } => {
                let sql = "DELETE FROM event WHERE seq IN
                           (SELECT seq FROM event WHERE queue = ? AND stage = ? LIMIT ?)";
                sqlx::query(sql)
                    .bind(queue)
                    .bind(stage.number())
                    .bind(PURGED_AT_ONCE)
                    .execute(connection)
                    .await?
            }
            Self::Trim { queue, now, most } => {
                let sql = "DELETE FROM event WHERE queue = ?1 AND stage = ?2 AND (due_at <= ?3 OR seq IN
                           (SELECT seq FROM event WHERE queue = ?1 AND stage = ?2
                            ORDER BY due_at DESC, seq DESC LIMIT -1 OFFSET ?4))";
                sqlx::query(sql)
                    .bind(queue)
                    .bind(EventStage::Failed.number())
                    .bind(now.0)
                    .bind(most)
                    .execute(connection)
                    .await?
            }
        };
        Ok(done.rows_affected() as i64)
    }
}

async fn queue(
    scope: &Scope,
    name: &FunctionName,
    connection: &mut SqliteConnection,
) -> Result<i64, StoreError> {
    let key = [scope.account.as_str(), scope.region.as_str(), name.as_str()];
    let sql = "INSERT INTO queue (account, region, name) VALUES (?, ?, ?) ON CONFLICT DO NOTHING";
    sqlx::query(sql).bind(key[0]).bind(key[1]).bind(key[2]).execute(&mut *connection).await?;
    let sql = "SELECT id FROM queue WHERE account = ? AND region = ? AND name = ?";
    Ok(sqlx::query_scalar(sql).bind(key[0]).bind(key[1]).bind(key[2]).fetch_one(connection).await?)
}

async fn push(rows: &[Box<NewRow>], connection: &mut SqliteConnection) -> Result<(), StoreError> {
    let mut sql = QueryBuilder::new(
        "INSERT INTO event (seq, queue, stage, due_at, function_errors, system_errors, accepted_at, request_id,
         qualifier, caller, invoked_arn, trace_id, client_context, on_failure, dead_letter, payload) ",
    );
    sql.push_values(rows, |mut row, added| {
        let NewRow { seq, queue, new } = &**added;
        let event = &new.event;
        row.push_bind(*seq)
            .push_bind(*queue)
            .push("0")
            .push_bind(new.accepted_at.0)
            .push("0, 0")
            .push_bind(new.accepted_at.0)
            .push_bind(event.request_id.as_str())
            .push_bind(new.target.qualifier.to_string())
            .push_bind(new.caller.as_str())
            .push_bind(event.invoked_arn.as_str())
            .push_bind(event.trace_id.as_str())
            .push_bind(event.client_context.as_deref())
            .push_bind(new.on_failure.as_deref())
            .push_bind(new.dead_letter.as_deref())
            .push_bind(event.payload.as_ref());
    });
    sql.build().execute(connection).await?;
    Ok(())
}

async fn remove(seqs: &[i64], connection: &mut SqliteConnection) -> Result<(), StoreError> {
    let mut sql = QueryBuilder::new("DELETE FROM event WHERE seq IN (");
    let mut list = sql.separated(", ");
    for seq in seqs {
        list.push_bind(*seq);
    }
    sql.push(")");
    sql.build().execute(connection).await?;
    Ok(())
}

/// Parts of a list whose lengths are powers of two.
fn chunks<T>(mut rest: &[T]) -> impl Iterator<Item = &[T]> {
    std::iter::from_fn(move || {
        let length = match rest.len() {
            0 => return None,
            length if length >= ROWS => ROWS,
            length => 1 << length.ilog2(),
        };
        let (chunk, others) = rest.split_at(length);
        rest = others;
        Some(chunk)
    })
}

fn shortened(text: String) -> String {
    if text.len() <= ERROR_MAX {
        return text;
    }
    let end = (0..=ERROR_MAX).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    text[..end].to_owned()
}
