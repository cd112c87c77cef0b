//! Receiving messages.

use std::collections::{BTreeMap, VecDeque};

use futures_util::TryStreamExt as _;
use lambd_types::UnixMillis;
use serde_json::{Value, json};
use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;

use super::batch::{Batch, Done, Placed};
use super::{QueueId, QueueWrite, Queues};
use crate::StoreError;

/// Bytes of bodies that the takes of one transaction read together. What is left is for the next one.
const BYTES: usize = 16 * 1024 * 1024;

/// Rows looked at in one go. Most are delivered; those that are not are taken away, and the next are looked at.
const ROWS: usize = 512;

/// How often the takes of one transaction look for rows: other writes wait for it.
const ROUNDS: usize = 4;

/// A wish for messages of one queue.
#[derive(Debug, Clone)]
pub struct Take {
    /// The queue.
    pub queue: QueueId,
    /// Whether it keeps the order of each lane: a message is not delivered before those in front of it.
    pub fifo: bool,
    /// Now.
    pub at: UnixMillis,
    /// When what is delivered becomes visible again.
    pub until: UnixMillis,
    /// Most messages that are wanted.
    pub most: usize,
    /// Messages that were sent then or before are deleted instead.
    pub expired_at: UnixMillis,
    /// What is done with messages that were received too often.
    pub burial: Option<Burial>,
    /// Names this attempt: messages that the same attempt got since a moment, and nobody changed, are delivered again.
    pub attempt: Option<(String, UnixMillis)>,
    /// Whether to tell when the next message becomes visible, if there is none now.
    pub waits: bool,
}

/// Where messages go that were received too often.
#[derive(Debug, Clone)]
pub struct Burial {
    /// Receives after which it is too often.
    pub after: i64,
    /// The queue that they go to. If it is gone, they stay and are delivered.
    pub queue: QueueId,
    /// The name of the queue that they come from, which is kept with them.
    pub origin: String,
}

/// What a take got.
#[derive(Debug, Default)]
pub struct Taken {
    /// The messages.
    pub messages: Vec<Message>,
    /// How many went to where messages go that were received too often.
    pub buried: usize,
    /// There may be more, which this transaction had no room for.
    pub cut_short: bool,
    /// When the next message becomes visible, if there was none and the take asked.
    pub next: Option<UnixMillis>,
}

/// A message that was received.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Grows with each message of a queue.
    pub id: i64,
    /// Its id as clients see it.
    pub uuid: String,
    /// When it was sent.
    pub sent_at: UnixMillis,
    /// How often it was received, with this time.
    pub receives: i64,
    /// When it was received for the first time.
    pub first_received: UnixMillis,
    /// The queue that it was moved away from.
    pub origin: Option<String>,
    /// Its group, in a queue that keeps the order.
    pub lane: Option<String>,
    /// What else belongs to it.
    pub details: Vec<u8>,
    /// Its body.
    pub body: Vec<u8>,
}

impl Queues<'_> {
    /// Receives messages; that they were received is on disk when this resolves. `None`: the queue is gone.
    ///
    /// # Errors
    /// The database fails; nothing is received.
    pub async fn take(&self, take: Take) -> Result<Option<Taken>, StoreError> {
        match self.writes.write(QueueWrite::Take(take)).await? {
            Done::Take(taken) => Ok(taken),
            other => unreachable!("a take was answered with {other:?}"),
        }
    }
}

/// What is done with a message that could be delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Deliver,
    Bury,
    Expire,
}

fn fate(sent_at: UnixMillis, receives: i64, take: &Take) -> Fate {
    if sent_at <= take.expired_at {
        return Fate::Expire;
    }
    match &take.burial {
        Some(burial) if receives >= burial.after => Fate::Bury,
        _ => Fate::Deliver,
    }
}

/// The takes of one queue, with what they have so far.
struct Takers {
    queue: i64,
    /// Those that want more, with their places.
    wanting: VecDeque<(usize, Take, Taken)>,
    served: Vec<(usize, Taken)>,
    /// Bytes that may still be read.
    bytes: usize,
    /// What happened to messages and is still to be written.
    delivered: Vec<Value>,
    buried: Vec<Value>,
    expired: Vec<i64>,
}

impl Takers {
    fn wanted(&self) -> usize {
        self.wanting.iter().map(|(_, take, taken)| take.most - taken.messages.len()).sum()
    }

    /// Decides about the next message. Its lane is touched, its queue counted.
    fn meet(&mut self, batch: &mut Batch<'_>, row: &SqliteRow) {
        let Some((_, take, taken)) = self.wanting.front_mut() else { return };
        let id: i64 = row.get("id");
        let lane: Option<String> = row.get("lane");
        let receives: i64 = row.get("receives");
        let sent_at = UnixMillis(row.get("sent_at"));
        batch.touch(self.queue, lane.clone());
        match fate(sent_at, receives, take) {
            Fate::Expire => {
                batch.count(self.queue, -1);
                self.expired.push(id);
            }
            Fate::Bury => {
                let Some(burial) = &take.burial else { return };
                batch.count(self.queue, -1);
                batch.count(burial.queue.0, 1);
                batch.touch(burial.queue.0, lane);
                // In a queue that keeps the order, a message begins a new life.
                let sent = if take.fifo { take.at } else { sent_at };
                self.buried.push(json!([id, burial.queue.0, take.at.0, sent.0, burial.origin]));
                taken.buried += 1;
            }
            Fate::Deliver => {
                let attempt = take.attempt.as_ref().map(|(name, _)| name);
                self.delivered.push(json!([id, take.until.0, take.at.0, attempt]));
                let mut message = message_of(row);
                if message.receives == 0 {
                    message.first_received = take.at;
                }
                message.receives += 1;
                self.bytes = self.bytes.saturating_sub(message.body.len() + message.details.len());
                taken.messages.push(message);
                if taken.messages.len() == take.most
                    && let Some((place, _, taken)) = self.wanting.pop_front()
                {
                    self.served.push((place, taken));
                }
            }
        }
    }

    async fn write(&mut self, batch: &mut Batch<'_>) -> Result<(), StoreError> {
        if !self.delivered.is_empty() {
            let sql = "UPDATE message SET visible_at = take.until, receives = receives + 1,
                         first_received = CASE receives WHEN 0 THEN take.at ELSE first_received END,
                         last_received = take.at, attempt = take.attempt
                       FROM (SELECT value ->> 0 AS id, value ->> 1 AS until, value ->> 2 AS at,
                               value ->> 3 AS attempt FROM json_each(?)) AS take
                       WHERE message.id = take.id";
            let rows = Value::from(std::mem::take(&mut self.delivered)).to_string();
            sqlx::query(sql).bind(rows).execute(&mut *batch.connection).await?;
        }
        if !self.buried.is_empty() {
            let sql =
                "UPDATE message SET queue = burial.queue, visible_at = burial.at, sent_at = burial.sent,
                         origin = burial.origin, attempt = NULL
                       FROM (SELECT value ->> 0 AS id, value ->> 1 AS queue, value ->> 2 AS at,
                               value ->> 3 AS sent, value ->> 4 AS origin FROM json_each(?)) AS burial
                       WHERE message.id = burial.id";
            let rows = Value::from(std::mem::take(&mut self.buried)).to_string();
            sqlx::query(sql).bind(rows).execute(&mut *batch.connection).await?;
        }
        batch.delete(std::mem::take(&mut self.expired)).await
    }
}

const COLUMNS: &str = "id, visible_at, receives, sent_at, first_received, lane, origin, uuid, details, body";

pub(super) async fn apply(
    batch: &mut Batch<'_>,
    takes: Placed<Take>,
    done: &mut [Option<Done>],
) -> Result<(), StoreError> {
    if takes.is_empty() {
        return Ok(());
    }
    // What was added in this transaction may open lanes.
    batch.settle_lanes().await?;
    let mut queues: BTreeMap<i64, Vec<(usize, Take)>> = BTreeMap::new();
    for (place, mut take) in takes {
        if !batch.is_live(take.queue.0) {
            done[place] = Some(Done::Take(None));
            continue;
        }
        take.burial = take.burial.filter(|burial| batch.is_live(burial.queue.0));
        queues.entry(take.queue.0).or_default().push((place, take));
    }
    let mut bytes = BYTES;
    for (queue, takes) in queues {
        let mut wanting = VecDeque::with_capacity(takes.len());
        let mut served = Vec::new();
        let mut fifo = false;
        for (place, take) in takes {
            fifo = take.fifo;
            let again = again(batch, &take).await?;
            if again.is_empty() {
                wanting.push_back((place, take, Taken::default()));
            } else {
                served.push((place, Taken { messages: again, ..Taken::default() }));
            }
        }
        let (delivered, buried, expired) = (Vec::new(), Vec::new(), Vec::new());
        let mut takers = Takers { queue, wanting, served, bytes, delivered, buried, expired };
        let cut_short = if fifo {
            by_lanes(batch, &mut takers).await?
        } else {
            by_visibility(batch, &mut takers).await?
        };
        bytes = takers.bytes;
        if fifo {
            batch.settle_lanes().await?;
        }
        let mut next = None;
        for (place, take, mut taken) in takers.wanting {
            taken.cut_short = cut_short && taken.messages.is_empty();
            if take.waits && taken.messages.is_empty() && !taken.cut_short {
                if next.is_none() {
                    next = Some(next_visible(batch, &take).await?);
                }
                taken.next = next.flatten();
            }
            done[place] = Some(Done::Take(Some(taken)));
        }
        for (place, taken) in takers.served {
            done[place] = Some(Done::Take(Some(taken)));
        }
    }
    Ok(())
}

/// Messages in the order in which they became visible. Whether some may be left although takes want more.
async fn by_visibility(batch: &mut Batch<'_>, takers: &mut Takers) -> Result<bool, StoreError> {
    let sql = format!(
        "SELECT {COLUMNS} FROM message WHERE queue = ? AND visible_at <= ?
         ORDER BY visible_at, receives, id LIMIT ?"
    );
    for round in 0..ROUNDS {
        let Some((_, take, _)) = takers.wanting.front() else { return Ok(false) };
        let at = take.at.0;
        // If a round did not do, there is much to be taken away.
        let limit = if round == 0 { takers.wanted().min(ROWS) } else { ROWS };
        let mut met = 0;
        let mut rows = Vec::new();
        {
            let query = sqlx::query(sqlx::AssertSqlSafe(sql.as_str()));
            let mut stream =
                query.bind(takers.queue).bind(at).bind(limit as i64).fetch(&mut *batch.connection);
            let mut read = 0;
            while read < takers.bytes
                && let Some(row) = stream.try_next().await?
            {
                read += row.get::<&[u8], _>("body").len() + row.get::<&[u8], _>("details").len();
                met += 1;
                rows.push(row);
            }
        }
        for row in &rows {
            takers.meet(batch, row);
        }
        takers.write(batch).await?;
        if met < limit {
            return Ok(takers.bytes == 0);
        }
    }
    Ok(!takers.wanting.is_empty())
}

/// Messages of the lanes whose first message is visible, each lane for one take alone.
async fn by_lanes(batch: &mut Batch<'_>, takers: &mut Takers) -> Result<bool, StoreError> {
    let Some((_, take, _)) = takers.wanting.front() else { return Ok(false) };
    let at = take.at.0;
    let wanted = takers.wanted().min(ROWS);
    let sql = "SELECT name FROM lane WHERE queue = ? AND ready_at <= ? ORDER BY ready_at LIMIT ?";
    let lanes: Vec<String> = sqlx::query_scalar(sql)
        .bind(takers.queue)
        .bind(at)
        .bind(wanted as i64)
        .fetch_all(&mut *batch.connection)
        .await?;
    let lanes_left = lanes.len() == wanted;
    let sql = format!("SELECT {COLUMNS} FROM message WHERE queue = ? AND lane = ? ORDER BY id LIMIT ?");
    let mut cut_short = false;
    for lane in lanes {
        let Some((_, take, taken)) = takers.wanting.front() else { break };
        if takers.bytes == 0 {
            cut_short = true;
            break;
        }
        let limit = take.most - taken.messages.len();
        let query = sqlx::query(sqlx::AssertSqlSafe(sql.as_str()));
        let mut stream = query.bind(takers.queue).bind(lane).bind(limit as i64).fetch(&mut *batch.connection);
        let (mut rows, mut read) = (Vec::new(), 0);
        while read < takers.bytes
            && let Some(row) = stream.try_next().await?
        {
            if row.get::<i64, _>("visible_at") > at {
                break;
            }
            read += row.get::<&[u8], _>("body").len() + row.get::<&[u8], _>("details").len();
            rows.push(row);
        }
        drop(stream);
        let before = takers.delivered.len();
        for row in &rows {
            takers.meet(batch, row);
        }
        // A lane whose first messages were all taken away may have more behind them.
        cut_short |= takers.delivered.len() - before < rows.len();
    }
    takers.write(batch).await?;
    Ok(cut_short || lanes_left && takers.bytes == 0)
}

/// What the same attempt got before, invisible for as long again.
async fn again(batch: &mut Batch<'_>, take: &Take) -> Result<Vec<Message>, StoreError> {
    let Some((name, since)) = &take.attempt else { return Ok(Vec::new()) };
    let sql = format!(
        "SELECT {COLUMNS} FROM message WHERE queue = ? AND attempt = ? AND visible_at > ? AND last_received >= ?
         ORDER BY id"
    );
    let query = sqlx::query(sqlx::AssertSqlSafe(sql));
    let query = query.bind(take.queue.0).bind(name).bind(take.at.0).bind(since.0);
    let messages: Vec<_> = query.fetch_all(&mut *batch.connection).await?.iter().map(message_of).collect();
    if !messages.is_empty() {
        let ids = Value::from_iter(messages.iter().map(|message| message.id)).to_string();
        let sql = "UPDATE message SET visible_at = ? WHERE id IN (SELECT value FROM json_each(?))";
        sqlx::query(sql).bind(take.until.0).bind(ids).execute(&mut *batch.connection).await?;
        for message in &messages {
            batch.touch(take.queue.0, message.lane.clone());
        }
    }
    Ok(messages)
}

async fn next_visible(batch: &mut Batch<'_>, take: &Take) -> Result<Option<UnixMillis>, StoreError> {
    let sql = if take.fifo {
        "SELECT MIN(ready_at) FROM lane WHERE queue = ? AND ready_at > ?"
    } else {
        "SELECT MIN(visible_at) FROM message WHERE queue = ? AND visible_at > ?"
    };
    let next: Option<i64> =
        sqlx::query_scalar(sql).bind(take.queue.0).bind(take.at.0).fetch_one(&mut *batch.connection).await?;
    Ok(next.map(UnixMillis))
}

fn message_of(row: &SqliteRow) -> Message {
    Message {
        id: row.get("id"),
        uuid: row.get("uuid"),
        sent_at: UnixMillis(row.get("sent_at")),
        receives: row.get("receives"),
        first_received: UnixMillis(row.get("first_received")),
        origin: row.get("origin"),
        lane: row.get("lane"),
        details: row.get("details"),
        body: row.get("body"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn age_comes_before_receives() {
        let burial = Burial { after: 3, queue: QueueId(2), origin: "arn".into() };
        let take = Take {
            queue: QueueId(1),
            fifo: false,
            at: UnixMillis(1_000),
            until: UnixMillis(2_000),
            most: 1,
            expired_at: UnixMillis(500),
            burial: Some(burial),
            attempt: None,
            waits: false,
        };
        let without = Take { burial: None, ..take.clone() };
        for (take, sent_at, receives, expected) in [
            (&take, 501, 0, Fate::Deliver),
            (&take, 501, 2, Fate::Deliver),
            (&take, 501, 3, Fate::Bury),
            (&take, 500, 3, Fate::Expire),
            (&take, 500, 0, Fate::Expire),
            (&without, 501, 1_000, Fate::Deliver),
        ] {
            assert_eq!(fate(UnixMillis(sent_at), receives, take), expected, "{sent_at} {receives}");
        }
    }
}
