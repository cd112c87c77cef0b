//! Message queues: the queues, their messages, and what is on its way between them.
//!
//! A database file of their own, `queues.db`, whose every commit is synced. All writes of all callers go through one
//! task that commits them in groups: writes that wait at the same time are concurrent, so they are applied kind by kind,
//! with a few statements for all of a kind.
//!
//! What a queue is allowed to do is not known here: a [`Take`] says what is expired and what has been received too often.

mod batch;
mod manage;
mod moves;
mod put;
mod receipts;
mod sweep;
mod take;
#[cfg(test)]
#[path = "queues/tests.rs"]
mod tests;

use std::collections::BTreeMap;

use lambd_types::{AccountId, Region, Scope, UnixMillis};
use sqlx::Row as _;
use sqlx::sqlite::{SqlitePool, SqliteRow};

pub(crate) use batch::QueueWrite;
pub use moves::{MoveItem, Peeked, TaskRow};
pub use put::{Dedup, NewMessage, Put, Stored};
pub use receipts::{Change, Changing, Receipt, Removal, Remove};
pub use take::{Burial, Message, Take, Taken};

use crate::group_commit::GroupCommit;
use crate::{Store, StoreError};

/// Names the content of a queue; never used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct QueueId(pub i64);

/// A queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueRow {
    /// Its content.
    pub id: QueueId,
    /// Whose it is, and where.
    pub scope: Scope,
    /// Its name within the scope.
    pub name: String,
    /// Whether its messages keep their order.
    pub fifo: bool,
    /// When it was made.
    pub created: UnixMillis,
    /// When its attributes were changed last.
    pub modified: UnixMillis,
    /// When it was emptied last.
    pub purged: Option<UnixMillis>,
    /// Attributes that were set.
    pub attributes: BTreeMap<String, String>,
    /// Tags.
    pub tags: BTreeMap<String, String>,
}

/// How many messages a queue has at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// All of them.
    pub messages: i64,
    /// Those that somebody has received and may still delete.
    pub in_flight: i64,
    /// Those that nobody could receive yet.
    pub delayed: i64,
}

/// The queue tables.
#[derive(Debug, Clone, Copy)]
pub struct Queues<'a> {
    pool: &'a SqlitePool,
    writes: &'a GroupCommit<QueueWrite>,
}

impl Store {
    /// The queue tables.
    pub fn queues(&self) -> Queues<'_> {
        Queues { pool: &self.queues, writes: &self.queue_writes }
    }
}

impl Queues<'_> {
    /// All queues.
    ///
    /// # Errors
    /// The database fails, or a row is damaged.
    pub async fn all(&self) -> Result<Vec<QueueRow>, StoreError> {
        let rows = sqlx::query("SELECT * FROM queue").fetch_all(self.pool).await?;
        rows.iter().map(queue_of).collect()
    }

    /// How many messages a queue has at a moment.
    ///
    /// # Errors
    /// The database fails.
    pub async fn counts(&self, queue: QueueId, at: UnixMillis) -> Result<Counts, StoreError> {
        let sql = "SELECT (SELECT messages FROM queue WHERE id = ?1) AS messages,
                     COUNT(*) FILTER (WHERE receives > 0) AS in_flight,
                     COUNT(*) FILTER (WHERE receives = 0) AS delayed
                   FROM message WHERE queue = ?1 AND visible_at > ?2";
        let row = sqlx::query(sql).bind(queue.0).bind(at.0).fetch_one(self.pool).await?;
        Ok(Counts {
            messages: row.get::<Option<i64>, _>("messages").unwrap_or_default(),
            in_flight: row.get("in_flight"),
            delayed: row.get("delayed"),
        })
    }
}

fn queue_of(row: &SqliteRow) -> Result<QueueRow, StoreError> {
    let damaged = |detail: String| StoreError::Damaged { what: "queue", detail };
    let map = |column: &str| {
        serde_json::from_str(row.get::<&str, _>(column)).map_err(|error| damaged(error.to_string()))
    };
    Ok(QueueRow {
        id: QueueId(row.get("id")),
        scope: scope_of(row).map_err(damaged)?,
        name: row.get("name"),
        fifo: row.get("fifo"),
        created: UnixMillis(row.get("created")),
        modified: UnixMillis(row.get("modified")),
        purged: row.get::<Option<i64>, _>("purged").map(UnixMillis),
        attributes: map("attributes")?,
        tags: map("tags")?,
    })
}

/// The scope in the columns `account` and `region`; the text that is none otherwise.
fn scope_of(row: &SqliteRow) -> Result<Scope, String> {
    let (account, region): (String, String) = (row.get("account"), row.get("region"));
    Ok(Scope {
        account: AccountId::parse(&account).ok_or(account)?,
        region: Region::parse(&region).ok_or(region)?,
    })
}

fn to_json(map: &BTreeMap<String, String>) -> String {
    serde_json::Value::from_iter(map.iter().map(|(k, v)| (k.as_str(), v.as_str()))).to_string()
}
