//! What receivers do with messages that they have.

use std::collections::{BTreeMap, HashMap};

use lambd_types::UnixMillis;
use serde_json::{Value, json};
use sqlx::Row as _;

use super::batch::{Batch, Done, Placed};
use super::{QueueId, QueueWrite, Queues};
use crate::StoreError;

/// Names one receive of one message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Receipt {
    /// Where it was received.
    pub queue: QueueId,
    /// The message.
    pub id: i64,
    /// The how many-th receive it was, from 1.
    pub receives: i64,
}

/// Messages to be deleted.
#[derive(Debug)]
pub struct Remove {
    /// Now.
    pub at: UnixMillis,
    /// Whether a receipt ends with the visibility timeout, as that of a queue does which keeps the order.
    pub strict: bool,
    /// By what they are known.
    pub receipts: Vec<Receipt>,
}

/// What became of a message that was to be deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Removal {
    /// It is deleted.
    Removed,
    /// It was already, or somebody else has received it since.
    Ignored,
    /// The receipt is not good any more.
    Expired,
}

/// Messages that are to be visible at another time.
#[derive(Debug)]
pub struct Change {
    /// Now.
    pub at: UnixMillis,
    /// As in [`Remove`].
    pub strict: bool,
    /// How long after it was received a message may stay invisible, in milliseconds.
    pub longest: i64,
    /// By what they are known, and when they are to be visible.
    pub receipts: Vec<(Receipt, UnixMillis)>,
}

/// What became of a message that was to be visible at another time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Changing {
    /// It will be.
    Changed,
    /// It is deleted, or somebody else has received it since.
    Missing,
    /// The receipt is not good any more.
    Expired,
    /// It would be invisible for too long.
    TooLong,
}

impl Queues<'_> {
    /// Deletes messages that were received. One result for each.
    ///
    /// # Errors
    /// The database fails; nothing is deleted.
    pub async fn remove(&self, remove: Remove) -> Result<Vec<Removal>, StoreError> {
        match self.writes.write(QueueWrite::Remove(remove)).await? {
            Done::Remove(removals) => Ok(removals),
            other => unreachable!("a removal was answered with {other:?}"),
        }
    }

    /// Changes when messages that were received are visible again. One result for each.
    ///
    /// # Errors
    /// The database fails; nothing is changed.
    pub async fn change(&self, change: Change) -> Result<Vec<Changing>, StoreError> {
        match self.writes.write(QueueWrite::Change(change)).await? {
            Done::Change(changes) => Ok(changes),
            other => unreachable!("a change was answered with {other:?}"),
        }
    }
}

/// The state of a message that was received.
#[derive(Debug, Clone)]
struct Held {
    queue: i64,
    receives: i64,
    visible_at: i64,
    last_received: i64,
    lane: Option<String>,
}

impl Held {
    /// Whether this is the receive that `receipt` names, and not a later one.
    fn is_held_by(&self, receipt: &Receipt) -> bool {
        self.queue == receipt.queue.0 && self.receives == receipt.receives
    }
}

fn removal(held: Option<&Held>, receipt: &Receipt, at: UnixMillis, strict: bool) -> Removal {
    match held {
        None => Removal::Ignored,
        Some(held) if strict && (!held.is_held_by(receipt) || held.visible_at <= at.0) => Removal::Expired,
        Some(held) if held.is_held_by(receipt) => Removal::Removed,
        Some(_) => Removal::Ignored,
    }
}

fn changing(held: Option<&Held>, receipt: &Receipt, until: UnixMillis, change: &Change) -> Changing {
    match held {
        None => Changing::Missing,
        Some(held) if !held.is_held_by(receipt) => {
            if change.strict {
                Changing::Expired
            } else {
                Changing::Missing
            }
        }
        Some(held) if change.strict && held.visible_at <= change.at.0 => Changing::Expired,
        Some(held) if until.0 > held.last_received + change.longest => Changing::TooLong,
        Some(_) => Changing::Changed,
    }
}

pub(super) async fn apply(
    batch: &mut Batch<'_>,
    changes: Placed<Change>,
    removes: Placed<Remove>,
    done: &mut [Option<Done>],
) -> Result<(), StoreError> {
    let changed =
        changes.iter().flat_map(|(_, change)| change.receipts.iter().map(|(receipt, _)| receipt.id));
    let removed = removes.iter().flat_map(|(_, remove)| remove.receipts.iter().map(|receipt| receipt.id));
    let mut held = find_held(batch, changed.chain(removed).collect()).await?;

    let mut visible_at = BTreeMap::new();
    for (place, change) in changes {
        let mut results = Vec::with_capacity(change.receipts.len());
        for (receipt, until) in &change.receipts {
            let result = changing(held.get(&receipt.id), receipt, *until, &change);
            if result == Changing::Changed
                && let Some(held) = held.get_mut(&receipt.id)
            {
                held.visible_at = until.0;
                batch.touch(held.queue, held.lane.clone());
                visible_at.insert(receipt.id, until.0);
            }
            results.push(result);
        }
        done[place] = Some(Done::Change(results));
    }

    let mut gone = Vec::new();
    for (place, remove) in removes {
        let mut results = Vec::with_capacity(remove.receipts.len());
        for receipt in &remove.receipts {
            let result = removal(held.get(&receipt.id), receipt, remove.at, remove.strict);
            if result == Removal::Removed
                && let Some(held) = held.remove(&receipt.id)
            {
                batch.touch(held.queue, held.lane);
                batch.count(held.queue, -1);
                visible_at.remove(&receipt.id);
                gone.push(receipt.id);
            }
            results.push(result);
        }
        done[place] = Some(Done::Remove(results));
    }

    if !visible_at.is_empty() {
        let rows = Value::from_iter(visible_at.into_iter().map(|(id, at)| json!([id, at]))).to_string();
        let sql = "UPDATE message SET visible_at = change.at, attempt = NULL
                   FROM (SELECT value ->> 0 AS id, value ->> 1 AS at FROM json_each(?)) AS change
                   WHERE message.id = change.id";
        sqlx::query(sql).bind(rows).execute(&mut *batch.connection).await?;
    }
    batch.delete(gone).await
}

async fn find_held(batch: &mut Batch<'_>, ids: Vec<i64>) -> Result<HashMap<i64, Held>, StoreError> {
    if ids.is_empty() {
        return Ok(HashMap::new());
    }
    let sql = "SELECT id, queue, receives, visible_at, last_received, lane FROM message
               WHERE id IN (SELECT value FROM json_each(?))";
    let rows = sqlx::query(sql).bind(Value::from(ids).to_string()).fetch_all(&mut *batch.connection).await?;
    let held = rows.iter().map(|row| {
        let held = Held {
            queue: row.get("queue"),
            receives: row.get("receives"),
            visible_at: row.get("visible_at"),
            last_received: row.get("last_received"),
            lane: row.get("lane"),
        };
        (row.get("id"), held)
    });
    Ok(held.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: UnixMillis = UnixMillis(1_000);

    fn held(receives: i64, visible_at: i64) -> Held {
        Held { queue: 1, receives, visible_at, last_received: 900, lane: None }
    }

    fn receipt(receives: i64) -> Receipt {
        Receipt { queue: QueueId(1), id: 7, receives }
    }

    #[test]
    fn only_the_last_receiver_deletes() {
        use Removal::{Expired, Ignored, Removed};
        for (found, strict, expected) in [
            (None, false, Ignored),
            (None, true, Ignored),
            (Some(held(2, 2_000)), false, Removed),
            (Some(held(2, 2_000)), true, Removed),
            // Visible again, and nobody has received it since: the receipt is good where order does not matter.
            (Some(held(2, 1_000)), false, Removed),
            (Some(held(2, 1_000)), true, Expired),
            (Some(held(3, 2_000)), false, Ignored),
            (Some(held(3, 2_000)), true, Expired),
            // Moved to another queue since.
            (Some(Held { queue: 2, ..held(2, 2_000) }), false, Ignored),
        ] {
            assert_eq!(removal(found.as_ref(), &receipt(2), AT, strict), expected, "{found:?} {strict}");
        }
    }

    #[test]
    fn only_the_last_receiver_changes_when_a_message_is_visible() {
        use Changing::{Changed, Expired, Missing, TooLong};
        for (found, strict, until, expected) in [
            (None, false, 2_000, Missing),
            (Some(held(2, 1_500)), false, 1_000, Changed),
            (Some(held(2, 1_500)), true, 2_900, Changed),
            (Some(held(2, 1_500)), false, 2_901, TooLong),
            // Visible again, and nobody has received it since: where order does not matter it is taken back.
            (Some(held(2, 1_000)), false, 2_000, Changed),
            (Some(held(2, 1_000)), true, 2_000, Expired),
            (Some(held(3, 1_500)), false, 2_000, Missing),
            (Some(held(3, 1_500)), true, 2_000, Expired),
        ] {
            let change = Change { at: AT, strict, longest: 2_000, receipts: Vec::new() };
            let result = changing(found.as_ref(), &receipt(2), UnixMillis(until), &change);
            assert_eq!(result, expected, "{found:?} {strict} {until}");
        }
    }
}
