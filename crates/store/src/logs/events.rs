//! Log events: appending, reading in order, and forgetting.

use std::ops::ControlFlow;

use futures_util::TryStreamExt as _;
use lambd_types::invocation::LogEvent;
use lambd_types::{Scope, UnixMillis};
use sqlx::sqlite::SqliteRow;
use sqlx::{QueryBuilder, Row as _, Sqlite, SqliteConnection};

use super::{GroupRow, Logs, StreamRow};
use crate::StoreError;

/// Bytes that an event counts besides its text.
const EVENT_OVERHEAD: i64 = 26;

/// Rows of one INSERT. Up to [`CACHED_ROWS`] the statement is kept prepared, one for each count.
const INSERT_ROWS: usize = 256;
const CACHED_ROWS: usize = 16;

/// Events that one step of the sweep deletes; writers get their turn between steps.
const SWEEP_ROWS: i64 = 1000;

const DAY: i64 = 86_400_000;

/// A stream by its names.
#[derive(Debug, Clone, Copy)]
pub struct StreamName<'a> {
    /// Account and region.
    pub scope: &'a Scope,
    /// Log group.
    pub group: &'a str,
    /// Log stream.
    pub stream: &'a str,
}

/// Events for one stream.
#[derive(Debug, Clone, Copy)]
pub struct AppendBatch<'a> {
    /// The stream; it and its group are made when missing.
    pub stream: StreamName<'a>,
    /// The events.
    pub events: &'a [LogEvent],
}

/// Where an event stands in the order of reading: by time, then as they came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct EventPosition {
    /// Its timestamp.
    pub timestamp: i64,
    /// Its id, from 1 on.
    pub id: i64,
}

impl EventPosition {
    /// Before the first event of this millisecond.
    pub fn at(timestamp: i64) -> Self {
        Self { timestamp, id: 0 }
    }
}

/// Events between two positions, neither included.
#[derive(Debug, Clone, Copy)]
pub struct EventRange {
    /// Lower end.
    pub after: EventPosition,
    /// Upper end.
    pub before: EventPosition,
}

/// The order of a listing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// Oldest or smallest first.
    Ascending,
    /// Newest or largest first.
    Descending,
}

/// A stored event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventRow {
    /// Time and id.
    pub position: EventPosition,
    /// When it arrived.
    pub ingested: UnixMillis,
    /// Its text.
    pub message: String,
}

/// Which streams of a group are read.
#[derive(Debug, Clone, Copy)]
pub enum Selection<'a> {
    /// All of them.
    All,
    /// These; a few hundred at most.
    Streams(&'a [StreamRow]),
}

impl Logs<'_> {
    /// Appends events to many streams, all or nothing. Groups and streams are made when missing.
    pub async fn append(&self, batches: &[AppendBatch<'_>], ingested: UnixMillis) -> Result<(), StoreError> {
        // Begun as a writer: a reader that turns writer fails at once when another came first.
        let mut transaction = self.pool.begin_with("BEGIN IMMEDIATE").await?;
        for batch in batches.iter().filter(|b| !b.events.is_empty()) {
            let (group, stream) = find_or_create(&mut transaction, &batch.stream, ingested).await?;
            for events in batch.events.chunks(INSERT_ROWS) {
                insert(&mut transaction, group, stream, events, ingested).await?;
            }
            note_activity(&mut transaction, group, stream, batch.events, ingested).await?;
        }
        transaction.commit().await?;
        Ok(())
    }

    /// Hands events of one stream to `visit` in order, until it breaks or `limit` events were read.
    pub async fn read_stream(
        &self,
        stream: &StreamRow,
        range: EventRange,
        direction: Direction,
        limit: u32,
        mut visit: impl FnMut(EventRow) -> ControlFlow<()> + Send,
    ) -> Result<(), StoreError> {
        let mut query =
            QueryBuilder::new("SELECT id, timestamp, ingested, message FROM log_event WHERE stream_id = ");
        query.push_bind(stream.id);
        push_range(&mut query, range);
        query.push(match direction {
            Direction::Ascending => " ORDER BY timestamp, id LIMIT ",
            Direction::Descending => " ORDER BY timestamp DESC, id DESC LIMIT ",
        });
        query.push_bind(limit);
        let mut rows = query.build().fetch(self.pool);
        while let Some(row) = rows.try_next().await? {
            if visit(event_of(&row)).is_break() {
                break;
            }
        }
        Ok(())
    }

    /// Hands events of several streams to `visit`, interleaved by time, until it breaks.
    pub async fn read_group(
        &self,
        group: &GroupRow,
        selection: Selection<'_>,
        range: EventRange,
        mut visit: impl FnMut(&str, EventRow) -> ControlFlow<()> + Send,
    ) -> Result<(), StoreError> {
        let mut query = match selection {
            Selection::All => all_streams(group, range),
            Selection::Streams([]) => return Ok(()),
            Selection::Streams(streams) => merged_streams(streams, range),
        };
        let mut rows = query.build().persistent(false).fetch(self.pool);
        while let Some(row) = rows.try_next().await? {
            if visit(row.get("stream"), event_of(&row)).is_break() {
                break;
            }
        }
        Ok(())
    }

    /// Frees the space of some events that nobody can read any more or whose retention has ended.
    /// Returns how many; zero means that there is nothing left to do.
    pub async fn sweep_step(&self, now: UnixMillis) -> Result<u64, StoreError> {
        let mut transaction = self.pool.begin_with("BEGIN IMMEDIATE").await?;
        let removed: Option<i64> = sqlx::query_scalar("SELECT stream_id FROM log_removed LIMIT 1")
            .fetch_optional(&mut *transaction)
            .await?;
        let deleted = match removed {
            Some(stream) => sweep_removed(&mut transaction, stream).await?,
            None => sweep_expired(&mut transaction, now).await?,
        };
        transaction.commit().await?;
        Ok(deleted)
    }
}

async fn find_or_create(
    connection: &mut SqliteConnection,
    name: &StreamName<'_>,
    now: UnixMillis,
) -> Result<(i64, i64), StoreError> {
    if let Some(found) = find(connection, name).await? {
        return Ok(found);
    }
    let (account, region) = (name.scope.account.as_str(), name.scope.region.as_str());
    sqlx::query(
        "INSERT INTO log_group (account, region, name, created) VALUES (?,?,?,?) ON CONFLICT DO NOTHING",
    )
    .bind(account)
    .bind(region)
    .bind(name.group)
    .bind(now.0)
    .execute(&mut *connection)
    .await?;
    let group: i64 =
        sqlx::query_scalar("SELECT id FROM log_group WHERE account = ? AND region = ? AND name = ?")
            .bind(account)
            .bind(region)
            .bind(name.group)
            .fetch_one(&mut *connection)
            .await?;
    let stream =
        sqlx::query_scalar("INSERT INTO log_stream (group_id, name, created) VALUES (?,?,?) RETURNING id")
            .bind(group)
            .bind(name.stream)
            .bind(now.0)
            .fetch_one(&mut *connection)
            .await?;
    Ok((group, stream))
}

async fn find(
    connection: &mut SqliteConnection,
    name: &StreamName<'_>,
) -> Result<Option<(i64, i64)>, StoreError> {
    let sql = "SELECT g.id, s.id FROM log_group g JOIN log_stream s ON s.group_id = g.id \
               WHERE g.account = ? AND g.region = ? AND g.name = ? AND s.name = ?";
    let found = sqlx::query_as(sql)
        .bind(name.scope.account.as_str())
        .bind(name.scope.region.as_str())
        .bind(name.group)
        .bind(name.stream)
        .fetch_optional(connection)
        .await?;
    Ok(found)
}

async fn insert(
    connection: &mut SqliteConnection,
    group: i64,
    stream: i64,
    events: &[LogEvent],
    ingested: UnixMillis,
) -> Result<(), StoreError> {
    let mut query = QueryBuilder::<Sqlite>::new(
        "INSERT INTO log_event (stream_id, group_id, timestamp, ingested, message) ",
    );
    query.push_values(events, |mut row, event| {
        row.push_bind(stream).push_bind(group).push_bind(event.timestamp.0).push_bind(ingested.0);
        row.push_bind(event.message.as_str());
    });
    query.build().persistent(events.len() <= CACHED_ROWS).execute(connection).await?;
    Ok(())
}

async fn note_activity(
    connection: &mut SqliteConnection,
    group: i64,
    stream: i64,
    events: &[LogEvent],
    ingested: UnixMillis,
) -> Result<(), StoreError> {
    let times = || events.iter().map(|e| e.timestamp.0);
    let (first, last) = (times().min().unwrap_or_default(), times().max().unwrap_or_default());
    let bytes: i64 = events.iter().map(|e| e.message.len() as i64 + EVENT_OVERHEAD).sum();
    let sql = "UPDATE log_stream SET last_event = MAX(last_event, ?), last_ingestion = ?, \
               first_event = CASE WHEN first_event < 0 THEN ? ELSE MIN(first_event, ?) END WHERE id = ?";
    sqlx::query(sql)
        .bind(last)
        .bind(ingested.0)
        .bind(first)
        .bind(first)
        .bind(stream)
        .execute(&mut *connection)
        .await?;
    let sql = "UPDATE log_group SET stored_bytes = stored_bytes + ? WHERE id = ?";
    sqlx::query(sql).bind(bytes).bind(group).execute(connection).await?;
    Ok(())
}

fn all_streams(group: &GroupRow, range: EventRange) -> QueryBuilder<Sqlite> {
    let mut query = QueryBuilder::new(
        "SELECT e.id, e.timestamp, e.ingested, e.message, s.name AS stream \
         FROM log_event e JOIN log_stream s ON s.id = e.stream_id WHERE e.group_id = ",
    );
    query.push_bind(group.id);
    push_range_of(&mut query, range, "e.");
    query.push(" ORDER BY e.timestamp, e.id");
    query
}

/// One ordered read of the index for each stream. The database merges them as it goes, so that the
/// cost is that of the events read, not of all events of these streams.
fn merged_streams(streams: &[StreamRow], range: EventRange) -> QueryBuilder<Sqlite> {
    let mut query = QueryBuilder::new("");
    for (index, stream) in streams.iter().enumerate() {
        if index > 0 {
            query.push(" UNION ALL ");
        }
        query.push("SELECT id, timestamp, ingested, message, ").push_bind(&stream.name);
        query.push(" AS stream FROM log_event WHERE stream_id = ").push_bind(stream.id);
        push_range(&mut query, range);
    }
    query.push(" ORDER BY timestamp, id");
    query
}

fn push_range(query: &mut QueryBuilder<Sqlite>, range: EventRange) {
    push_range_of(query, range, "");
}

fn push_range_of(query: &mut QueryBuilder<Sqlite>, range: EventRange, table: &str) {
    for (beyond, end) in [(">", range.after), ("<", range.before)] {
        // The first comparison is implied by the second; it is the one that the index understands.
        query.push(format_args!(" AND {table}timestamp {beyond}= ")).push_bind(end.timestamp);
        query.push(format_args!(" AND ({table}timestamp, {table}id) {beyond} (")).push_bind(end.timestamp);
        query.push(", ").push_bind(end.id).push(")");
    }
}

fn event_of(row: &SqliteRow) -> EventRow {
    EventRow {
        position: EventPosition { timestamp: row.get("timestamp"), id: row.get("id") },
        ingested: UnixMillis(row.get("ingested")),
        message: row.get("message"),
    }
}

async fn sweep_removed(connection: &mut SqliteConnection, stream: i64) -> Result<u64, StoreError> {
    let sql = "DELETE FROM log_event WHERE id IN (SELECT id FROM log_event WHERE stream_id = ? LIMIT ?) \
               RETURNING group_id, octet_length(message) AS bytes";
    let rows = sqlx::query(sql).bind(stream).bind(SWEEP_ROWS).fetch_all(&mut *connection).await?;
    subtract(connection, &rows).await?;
    if (rows.len() as i64) < SWEEP_ROWS {
        sqlx::query("DELETE FROM log_removed WHERE stream_id = ?").bind(stream).execute(connection).await?;
        // Counts as a deletion, so that the sweep goes on with the next stream.
        return Ok(rows.len() as u64 + 1);
    }
    Ok(rows.len() as u64)
}

async fn sweep_expired(connection: &mut SqliteConnection, now: UnixMillis) -> Result<u64, StoreError> {
    let sql = "SELECT id, retention_days FROM log_group g WHERE retention_days IS NOT NULL AND EXISTS \
               (SELECT 1 FROM log_event e WHERE e.group_id = g.id AND e.timestamp < ? - g.retention_days * ?) LIMIT 1";
    let due: Option<(i64, i64)> =
        sqlx::query_as(sql).bind(now.0).bind(DAY).fetch_optional(&mut *connection).await?;
    let Some((group, days)) = due else { return Ok(0) };
    let sql = "DELETE FROM log_event WHERE id IN \
               (SELECT id FROM log_event WHERE group_id = ? AND timestamp < ? ORDER BY timestamp LIMIT ?) \
               RETURNING group_id, octet_length(message) AS bytes";
    let rows = sqlx::query(sql)
        .bind(group)
        .bind(now.0 - days * DAY)
        .bind(SWEEP_ROWS)
        .fetch_all(&mut *connection)
        .await?;
    subtract(connection, &rows).await?;
    Ok(rows.len() as u64)
}

/// Takes deleted events, which are all of one group, off its byte count.
async fn subtract(connection: &mut SqliteConnection, rows: &[SqliteRow]) -> Result<(), StoreError> {
    let Some(group) = rows.first().map(|row| row.get::<i64, _>("group_id")) else { return Ok(()) };
    let bytes: i64 = rows.iter().map(|row| row.get::<i64, _>("bytes") + EVENT_OVERHEAD).sum();
    let sql = "UPDATE log_group SET stored_bytes = MAX(0, stored_bytes - ?) WHERE id = ?";
    sqlx::query(sql).bind(bytes).bind(group).execute(connection).await?;
    Ok(())
}
