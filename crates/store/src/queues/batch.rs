//! Applying many writes in one transaction, kind by kind.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use serde_json::{Value, json};
use sqlx::Row as _;
use sqlx::sqlite::SqliteConnection;

use super::manage::{self, Manage, Managed};
use super::moves::{self, Moves};
use super::put::{self, Put, Stored};
use super::receipts::{self, Change, Changing, Removal, Remove};
use super::sweep::{self, Sweep};
use super::take::{self, Take, Taken};
use crate::StoreError;
use crate::group_commit::Write;

/// A write to the queue tables.
#[derive(Debug)]
pub(crate) enum QueueWrite {
    Put(Put),
    Take(Take),
    Remove(Remove),
    Change(Change),
    Manage(Box<Manage>),
    Moves(Moves),
    Sweep(Sweep),
}

/// What came of a write, of the same kind.
#[derive(Debug)]
pub(crate) enum Done {
    /// `None`: the queue is gone.
    Put(Option<Vec<Stored>>),
    /// `None`: the queue is gone.
    Take(Option<Taken>),
    Remove(Vec<Removal>),
    Change(Vec<Changing>),
    Manage(Managed),
    Moves(u64),
    Sweep(u64),
}

/// What the writes of one transaction share.
pub(super) struct Batch<'a> {
    pub(super) connection: &'a mut SqliteConnection,
    /// Queues that are there, of those that the writes name.
    live: HashSet<i64>,
    /// Lanes whose first message may be another one now.
    lanes: BTreeSet<(i64, String)>,
    /// Messages that queues have more, or fewer.
    counts: BTreeMap<i64, i64>,
}

impl Batch<'_> {
    pub(super) fn is_live(&self, queue: i64) -> bool {
        self.live.contains(&queue)
    }

    pub(super) fn touch(&mut self, queue: i64, lane: Option<String>) {
        if let Some(lane) = lane {
            self.lanes.insert((queue, lane));
        }
    }

    pub(super) fn count(&mut self, queue: i64, messages: i64) {
        *self.counts.entry(queue).or_default() += messages;
    }

    /// The next `count` message ids: the first of them.
    pub(super) async fn ids(&mut self, count: usize) -> Result<i64, StoreError> {
        let last: i64 = sqlx::query_scalar("UPDATE sequence SET last = last + ? RETURNING last")
            .bind(count as i64)
            .fetch_one(&mut *self.connection)
            .await?;
        Ok(last - count as i64 + 1)
    }

    /// Deletes messages by id. Their queues and lanes are the caller's to count and touch.
    pub(super) async fn delete(&mut self, ids: Vec<i64>) -> Result<(), StoreError> {
        if ids.is_empty() {
            return Ok(());
        }
        sqlx::query("DELETE FROM message WHERE id IN (SELECT value FROM json_each(?))")
            .bind(Value::from(ids).to_string())
            .execute(&mut *self.connection)
            .await?;
        Ok(())
    }

    async fn find_live(&mut self, named: BTreeSet<i64>) -> Result<(), StoreError> {
        if named.is_empty() {
            return Ok(());
        }
        let named: Vec<i64> = named.into_iter().collect();
        let live = sqlx::query_scalar("SELECT id FROM queue WHERE id IN (SELECT value FROM json_each(?))")
            .bind(Value::from(named).to_string())
            .fetch_all(&mut *self.connection)
            .await?;
        self.live = live.into_iter().collect();
        Ok(())
    }

    /// Brings the table of lanes up to date with what happened so far.
    pub(super) async fn settle_lanes(&mut self) -> Result<(), StoreError> {
        if self.lanes.is_empty() {
            return Ok(());
        }
        let lanes: Vec<_> = std::mem::take(&mut self.lanes).into_iter().collect();
        let named = Value::from_iter(lanes.iter().map(|(queue, lane)| json!([queue, lane]))).to_string();
        let sql = "SELECT j.key AS place, (SELECT visible_at FROM message
                       WHERE queue = j.value ->> 0 AND lane = j.value ->> 1 ORDER BY id LIMIT 1) AS ready_at
                   FROM json_each(?) AS j";
        let rows = sqlx::query(sql).bind(named).fetch_all(&mut *self.connection).await?;
        let (mut ready, mut empty) = (Vec::new(), Vec::new());
        for row in rows {
            let (queue, lane) = &lanes[row.get::<i64, _>("place") as usize];
            match row.get::<Option<i64>, _>("ready_at") {
                Some(at) => ready.push(json!([queue, lane, at])),
                None => empty.push(json!([queue, lane])),
            }
        }
        if !ready.is_empty() {
            let sql =
                "INSERT INTO lane SELECT value ->> 0, value ->> 1, value ->> 2 FROM json_each(?) WHERE true
                       ON CONFLICT DO UPDATE SET ready_at = excluded.ready_at
                       WHERE ready_at <> excluded.ready_at";
            sqlx::query(sql).bind(Value::from(ready).to_string()).execute(&mut *self.connection).await?;
        }
        if !empty.is_empty() {
            let sql =
                "DELETE FROM lane WHERE rowid IN (SELECT lane.rowid FROM json_each(?) AS j CROSS JOIN lane
                         ON lane.queue = j.value ->> 0 AND lane.name = j.value ->> 1)";
            sqlx::query(sql).bind(Value::from(empty).to_string()).execute(&mut *self.connection).await?;
        }
        Ok(())
    }

    async fn settle_counts(&mut self) -> Result<(), StoreError> {
        let counts = std::mem::take(&mut self.counts).into_iter().filter(|(_, n)| *n != 0);
        let counts: Vec<Value> = counts.map(|(queue, n)| json!([queue, n])).collect();
        if counts.is_empty() {
            return Ok(());
        }
        let sql = "UPDATE queue SET messages = messages + change.n
                   FROM (SELECT value ->> 0 AS queue, value ->> 1 AS n FROM json_each(?)) AS change
                   WHERE id = change.queue";
        sqlx::query(sql).bind(Value::from(counts).to_string()).execute(&mut *self.connection).await?;
        Ok(())
    }
}

/// Writes of one kind, each with its place among all.
pub(super) type Placed<T> = Vec<(usize, T)>;

impl Write for QueueWrite {
    type Output = Done;

    async fn apply(writes: Vec<Self>, connection: &mut SqliteConnection) -> Result<Vec<Done>, StoreError> {
        let mut batch =
            Batch { connection, live: HashSet::new(), lanes: BTreeSet::new(), counts: BTreeMap::new() };
        let mut done = Vec::new();
        done.resize_with(writes.len(), || None);
        let mut named = BTreeSet::new();
        let (mut puts, mut takes, mut removes, mut changes) = (vec![], vec![], vec![], vec![]);
        let (mut many_moves, mut sweeps) = (vec![], vec![]);
        for (place, write) in writes.into_iter().enumerate() {
            match write {
                // Queues come and go before their messages do.
                Self::Manage(write) => {
                    done[place] = Some(Done::Manage(manage::apply(&mut batch, *write).await?));
                }
                Self::Put(put) => {
                    named.insert(put.queue.0);
                    puts.push((place, put));
                }
                Self::Take(take) => {
                    named.insert(take.queue.0);
                    named.extend(take.burial.as_ref().map(|burial| burial.queue.0));
                    takes.push((place, take));
                }
                Self::Remove(remove) => removes.push((place, remove)),
                Self::Change(change) => changes.push((place, change)),
                Self::Moves(moves) => {
                    named.extend(moves.items.iter().map(|item| item.to.0));
                    many_moves.push((place, moves));
                }
                Self::Sweep(sweep) => sweeps.push((place, sweep)),
            }
        }
        batch.find_live(named).await?;
        put::apply(&mut batch, puts, &mut done).await?;
        receipts::apply(&mut batch, changes, removes, &mut done).await?;
        for (place, moves) in many_moves {
            done[place] = Some(Done::Moves(moves::apply(&mut batch, moves).await?));
        }
        for (place, sweep) in sweeps {
            done[place] = Some(Done::Sweep(sweep::apply(&mut batch, sweep).await?));
        }
        take::apply(&mut batch, takes, &mut done).await?;
        batch.settle_lanes().await?;
        batch.settle_counts().await?;
        Ok(done.into_iter().map(|done| done.expect("every kind of write fills its places")).collect())
    }
}
