//! Log groups and streams, and (in `events`) what is logged to them.

mod events;
#[cfg(test)]
#[path = "logs/tests.rs"]
mod tests;

use std::collections::BTreeMap;

use lambd_types::{Scope, UnixMillis};
use sqlx::sqlite::{SqlitePool, SqliteRow};
use sqlx::{QueryBuilder, Row as _, Sqlite};

pub use events::{AppendBatch, Direction, EventPosition, EventRange, EventRow, Selection, StreamName};

use crate::{Store, StoreError};

/// Larger than any character that a name is known to hold: ends the range of a prefix.
const LAST_CHARACTER: char = '\u{10FFFF}';

/// The log tables.
#[derive(Debug, Clone, Copy)]
pub struct Logs<'a> {
    pool: &'a SqlitePool,
}

impl Store {
    /// The log tables.
    pub fn logs(&self) -> Logs<'_> {
        Logs { pool: &self.logs }
    }
}

/// A log group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupRow {
    /// Never reused.
    pub id: i64,
    /// Name within account and region.
    pub name: String,
    /// When it was made.
    pub created: UnixMillis,
    /// Days that events are kept; for ever when not set.
    pub retention_days: Option<i64>,
    /// Bytes of its events, counted as they are billed.
    pub stored_bytes: i64,
    /// Tags.
    pub tags: BTreeMap<String, String>,
}

/// A log stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamRow {
    /// Never reused.
    pub id: i64,
    /// Name within its group.
    pub name: String,
    /// When it was made.
    pub created: UnixMillis,
    /// Its events, when it has had one.
    pub activity: Option<StreamActivity>,
}

/// What is known about the events of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamActivity {
    /// Smallest timestamp.
    pub first_event: UnixMillis,
    /// Largest timestamp.
    pub last_event: UnixMillis,
    /// When an event arrived last.
    pub last_ingestion: UnixMillis,
}

/// Which groups a listing shows.
#[derive(Debug, Clone, Default)]
pub struct GroupFilter {
    /// Names that begin with this.
    pub prefix: Option<String>,
    /// Names that contain this.
    pub contains: Option<String>,
    /// These names only, when not empty.
    pub names: Vec<String>,
}

/// The order of a listing of streams, with the last entry of the page before.
#[derive(Debug, Clone)]
pub enum StreamOrder {
    /// By name.
    Name {
        /// Begin after this name.
        after: Option<String>,
    },
    /// By the largest timestamp, then by name.
    LastEvent {
        /// Begin after this time (-1 for a stream without events) and name.
        after: Option<(i64, String)>,
    },
}

const STREAM_COLUMNS: &str = "id, name, created, first_event, last_event, last_ingestion";
const GROUP_COLUMNS: &str = "id, name, created, retention_days, stored_bytes, tags";

impl Logs<'_> {
    /// Adds a group. `false` when the name is taken.
    pub async fn create_group(
        &self,
        scope: &Scope,
        name: &str,
        created: UnixMillis,
        tags: &BTreeMap<String, String>,
    ) -> Result<bool, StoreError> {
        let sql = "INSERT INTO log_group (account, region, name, created, tags) VALUES (?,?,?,?,?) ON CONFLICT DO NOTHING";
        let done = sqlx::query(sql)
            .bind(scope.account.as_str())
            .bind(scope.region.as_str())
            .bind(name)
            .bind(created.0)
            .bind(tags_to_json(tags)?)
            .execute(self.pool)
            .await?;
        Ok(done.rows_affected() == 1)
    }

    /// A group.
    pub async fn group(&self, scope: &Scope, name: &str) -> Result<Option<GroupRow>, StoreError> {
        let mut query = select_groups(scope);
        query.push(" AND name = ").push_bind(name);
        query.build().fetch_optional(self.pool).await?.map(|row| group_of(&row)).transpose()
    }

    /// Groups in the order of their names, from the one after `after` on.
    pub async fn groups(
        &self,
        scope: &Scope,
        filter: &GroupFilter,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Vec<GroupRow>, StoreError> {
        let mut query = select_groups(scope);
        if let Some(after) = after {
            query.push(" AND name > ").push_bind(after);
        }
        push_prefix(&mut query, filter.prefix.as_deref());
        if let Some(part) = filter.contains.as_deref().filter(|p| !p.is_empty()) {
            query.push(" AND instr(name, ").push_bind(part).push(") > 0");
        }
        if !filter.names.is_empty() {
            let mut list = query.push(" AND name IN (").separated(",");
            for name in &filter.names {
                list.push_bind(name);
            }
            query.push(")");
        }
        query.push(" ORDER BY name LIMIT ").push_bind(limit);
        query.build().fetch_all(self.pool).await?.iter().map(group_of).collect()
    }

    /// Sets or removes the days that a group's events are kept.
    pub async fn set_retention(&self, group: &GroupRow, days: Option<i64>) -> Result<(), StoreError> {
        let sql = "UPDATE log_group SET retention_days = ? WHERE id = ?";
        sqlx::query(sql).bind(days).bind(group.id).execute(self.pool).await?;
        Ok(())
    }

    /// Replaces a group's tags.
    pub async fn set_group_tags(
        &self,
        group: &GroupRow,
        tags: &BTreeMap<String, String>,
    ) -> Result<(), StoreError> {
        let sql = "UPDATE log_group SET tags = ? WHERE id = ?";
        sqlx::query(sql).bind(tags_to_json(tags)?).bind(group.id).execute(self.pool).await?;
        Ok(())
    }

    /// Deletes a group with its streams. The space of its events is freed by [`Self::sweep_step`].
    pub async fn delete_group(&self, group: &GroupRow) -> Result<bool, StoreError> {
        let mut transaction = self.pool.begin_with("BEGIN IMMEDIATE").await?;
        sqlx::query("INSERT INTO log_removed SELECT id FROM log_stream WHERE group_id = ?")
            .bind(group.id)
            .execute(&mut *transaction)
            .await?;
        let done = sqlx::query("DELETE FROM log_group WHERE id = ?")
            .bind(group.id)
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok(done.rows_affected() == 1)
    }

    /// Adds a stream. `false` when the group has one of that name.
    pub async fn create_stream(
        &self,
        group: &GroupRow,
        name: &str,
        created: UnixMillis,
    ) -> Result<bool, StoreError> {
        let sql = "INSERT INTO log_stream (group_id, name, created) VALUES (?,?,?) ON CONFLICT DO NOTHING";
        let done = sqlx::query(sql).bind(group.id).bind(name).bind(created.0).execute(self.pool).await?;
        Ok(done.rows_affected() == 1)
    }

    /// A stream.
    pub async fn stream(&self, group: &GroupRow, name: &str) -> Result<Option<StreamRow>, StoreError> {
        let mut query = select_streams(group);
        query.push(" AND name = ").push_bind(name);
        Ok(query.build().fetch_optional(self.pool).await?.map(|row| stream_of(&row)))
    }

    /// Streams of a group in an order, from the one after `order`'s position on.
    pub async fn streams(
        &self,
        group: &GroupRow,
        prefix: Option<&str>,
        order: &StreamOrder,
        direction: Direction,
        limit: u32,
    ) -> Result<Vec<StreamRow>, StoreError> {
        let (beyond, by) = match direction {
            Direction::Ascending => (">", "ASC"),
            Direction::Descending => ("<", "DESC"),
        };
        let mut query = select_streams(group);
        push_prefix(&mut query, prefix);
        match order {
            StreamOrder::Name { after } => {
                if let Some(name) = after {
                    query.push(format_args!(" AND name {beyond} ")).push_bind(name);
                }
                query.push(format_args!(" ORDER BY name {by}"));
            }
            StreamOrder::LastEvent { after } => {
                if let Some((time, name)) = after {
                    query.push(format_args!(" AND (last_event, name) {beyond} (")).push_bind(time);
                    query.push(", ").push_bind(name).push(")");
                }
                query.push(format_args!(" ORDER BY last_event {by}, name {by}"));
            }
        }
        query.push(" LIMIT ").push_bind(limit);
        Ok(query.build().fetch_all(self.pool).await?.iter().map(stream_of).collect())
    }

    /// Deletes a stream. The space of its events is freed by [`Self::sweep_step`].
    pub async fn delete_stream(&self, stream: &StreamRow) -> Result<bool, StoreError> {
        let mut transaction = self.pool.begin_with("BEGIN IMMEDIATE").await?;
        let done = sqlx::query("DELETE FROM log_stream WHERE id = ?")
            .bind(stream.id)
            .execute(&mut *transaction)
            .await?;
        if done.rows_affected() == 1 {
            sqlx::query("INSERT INTO log_removed VALUES (?)")
                .bind(stream.id)
                .execute(&mut *transaction)
                .await?;
        }
        transaction.commit().await?;
        Ok(done.rows_affected() == 1)
    }
}

fn select_groups(scope: &Scope) -> QueryBuilder<Sqlite> {
    let mut query = QueryBuilder::new("SELECT ");
    query.push(GROUP_COLUMNS).push(" FROM log_group WHERE account = ").push_bind(scope.account.as_str());
    query.push(" AND region = ").push_bind(scope.region.as_str());
    query
}

fn select_streams(group: &GroupRow) -> QueryBuilder<Sqlite> {
    let mut query = QueryBuilder::new("SELECT ");
    query.push(STREAM_COLUMNS).push(" FROM log_stream WHERE group_id = ").push_bind(group.id);
    query
}

fn push_prefix(query: &mut QueryBuilder<Sqlite>, prefix: Option<&str>) {
    if let Some(prefix) = prefix.filter(|p| !p.is_empty()) {
        query.push(" AND name >= ").push_bind(prefix);
        query.push(" AND name < ").push_bind(format!("{prefix}{LAST_CHARACTER}"));
    }
}

fn group_of(row: &SqliteRow) -> Result<GroupRow, StoreError> {
    let tags: &str = row.get("tags");
    let damaged =
        |error: serde_json::Error| StoreError::Damaged { what: "log group", detail: error.to_string() };
    Ok(GroupRow {
        id: row.get("id"),
        name: row.get("name"),
        created: UnixMillis(row.get("created")),
        retention_days: row.get("retention_days"),
        stored_bytes: row.get("stored_bytes"),
        tags: serde_json::from_str(tags).map_err(damaged)?,
    })
}

fn stream_of(row: &SqliteRow) -> StreamRow {
    let last_event: i64 = row.get("last_event");
    let activity = (last_event >= 0).then(|| StreamActivity {
        first_event: UnixMillis(row.get("first_event")),
        last_event: UnixMillis(last_event),
        last_ingestion: UnixMillis(row.get("last_ingestion")),
    });
    StreamRow { id: row.get("id"), name: row.get("name"), created: UnixMillis(row.get("created")), activity }
}

fn tags_to_json(tags: &BTreeMap<String, String>) -> Result<String, StoreError> {
    serde_json::to_string(tags)
        .map_err(|error| StoreError::Damaged { what: "tag", detail: error.to_string() })
}
