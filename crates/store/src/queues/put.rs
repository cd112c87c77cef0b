//! Adding messages.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::LazyLock;

use lambd_types::UnixMillis;
use serde_json::{Value, json};
use sqlx::Row as _;

use super::batch::{Batch, Done, Placed};
use super::{QueueId, QueueWrite, Queues};
use crate::StoreError;

/// Messages for one queue.
#[derive(Debug)]
pub struct Put {
    /// The queue.
    pub queue: QueueId,
    /// Now.
    pub at: UnixMillis,
    /// The messages, in their order.
    pub messages: Vec<NewMessage>,
}

/// A message to be added.
#[derive(Debug)]
pub struct NewMessage {
    /// Its id as clients see it.
    pub uuid: String,
    /// When it can be received.
    pub visible_at: UnixMillis,
    /// Its group, in a queue that keeps the order.
    pub lane: Option<String>,
    /// What makes it the same as another one.
    pub dedup: Option<Dedup>,
    /// What else belongs to it.
    pub details: Vec<u8>,
    /// Its body.
    pub body: Vec<u8>,
}

/// What makes two messages the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dedup {
    /// Messages of a queue with the same key are the same.
    pub key: String,
    /// Until when.
    pub until: UnixMillis,
}

/// Where a message is now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// Grows with each message of a queue.
    pub id: i64,
    /// The one that was there already, if this one was the same.
    pub same_as: Option<String>,
}

impl Queues<'_> {
    /// Adds messages; they are on disk when this resolves. `None`: the queue is gone.
    ///
    /// # Errors
    /// The database fails; nothing is added.
    pub async fn put(&self, put: Put) -> Result<Option<Vec<Stored>>, StoreError> {
        match self.writes.write(QueueWrite::Put(put)).await? {
            Done::Put(stored) => Ok(stored),
            other => unreachable!("a put was answered with {other:?}"),
        }
    }
}

/// Rows of one statement, largest first: few texts of statements, so that all of them stay prepared.
const CHUNKS: [usize; 4] = [64, 16, 4, 1];

static INSERTS: LazyLock<[String; 4]> = LazyLock::new(|| {
    CHUNKS.map(|rows| {
        let columns = "id, queue, visible_at, receives, sent_at, lane, uuid, details, body";
        let mut sql = format!("INSERT INTO message ({columns}) VALUES ");
        for row in 0..rows {
            let comma = if row == 0 { "" } else { "," };
            let _ = write!(sql, "{comma}(?,?,?,0,?,?,?,?,?)");
        }
        sql
    })
});

struct Row {
    id: i64,
    queue: i64,
    at: UnixMillis,
    message: NewMessage,
}

pub(super) async fn apply(
    batch: &mut Batch<'_>,
    puts: Placed<Put>,
    done: &mut [Option<Done>],
) -> Result<(), StoreError> {
    let mut same = find_same(batch, &puts).await?;
    let count = puts.iter().map(|(_, put)| put.messages.len()).sum();
    if count == 0 && puts.is_empty() {
        return Ok(());
    }
    let mut next = batch.ids(count).await?;
    let mut rows = Vec::with_capacity(count);
    let mut marks = Vec::new();
    for (place, put) in puts {
        let queue = put.queue.0;
        if !batch.is_live(queue) {
            done[place] = Some(Done::Put(None));
            continue;
        }
        let mut stored = Vec::with_capacity(put.messages.len());
        for message in put.messages {
            if let Some(dedup) = &message.dedup {
                let key = (queue, dedup.key.clone());
                if let Some((id, uuid)) = same.get(&key) {
                    stored.push(Stored { id: *id, same_as: Some(uuid.clone()) });
                    continue;
                }
                marks.push(json!([queue, dedup.key, dedup.until.0, message.uuid, next]));
                same.insert(key, (next, message.uuid.clone()));
            }
            stored.push(Stored { id: next, same_as: None });
            batch.touch(queue, message.lane.clone());
            batch.count(queue, 1);
            rows.push(Row { id: next, queue, at: put.at, message });
            next += 1;
        }
        done[place] = Some(Done::Put(Some(stored)));
    }
    insert(batch, rows).await?;
    if !marks.is_empty() {
        let sql = "REPLACE INTO dedup
                   SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4 FROM json_each(?)";
        sqlx::query(sql).bind(Value::from(marks).to_string()).execute(&mut *batch.connection).await?;
    }
    Ok(())
}

/// Messages that were added before and are the same as new ones, by queue and key.
async fn find_same(
    batch: &mut Batch<'_>,
    puts: &Placed<Put>,
) -> Result<HashMap<(i64, String), (i64, String)>, StoreError> {
    let mut keys = Vec::new();
    for (_, put) in puts {
        for dedup in put.messages.iter().filter_map(|message| message.dedup.as_ref()) {
            keys.push(json!([put.queue.0, dedup.key, put.at.0]));
        }
    }
    if keys.is_empty() {
        return Ok(HashMap::new());
    }
    let sql = "SELECT d.queue, d.key, d.uuid, d.message FROM json_each(?) AS j CROSS JOIN dedup AS d
               ON d.queue = j.value ->> 0 AND d.key = j.value ->> 1 WHERE d.until > j.value ->> 2";
    let rows = sqlx::query(sql).bind(Value::from(keys).to_string()).fetch_all(&mut *batch.connection).await?;
    let same =
        rows.iter().map(|row| ((row.get("queue"), row.get("key")), (row.get("message"), row.get("uuid"))));
    Ok(same.collect())
}

async fn insert(batch: &mut Batch<'_>, rows: Vec<Row>) -> Result<(), StoreError> {
    let mut rows = rows.into_iter();
    for (size, sql) in CHUNKS.into_iter().zip(INSERTS.iter()) {
        while rows.len() >= size {
            let mut query = sqlx::query(sqlx::AssertSqlSafe(sql.as_str()));
            for Row { id, queue, at, message } in rows.by_ref().take(size) {
                query = query.bind(id).bind(queue).bind(message.visible_at.0).bind(at.0);
                query = query.bind(message.lane).bind(message.uuid).bind(message.details).bind(message.body);
            }
            query.execute(&mut *batch.connection).await?;
        }
    }
    Ok(())
}
