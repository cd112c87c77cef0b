//! What scaling did.

use lambd_types::{Scope, UnixMillis};
use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;

use super::scope;
use crate::{Store, StoreError};

/// One activity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ActivityRow {
    /// Its place in the order of all; given by the store.
    pub number: i64,
    /// Account and region.
    pub scope: Scope,
    /// What is scaled.
    pub resource: String,
    /// When it began.
    pub started: UnixMillis,
    /// Whether it goes on.
    pub open: bool,
    /// Whether there was something to be changed.
    pub scaled: bool,
    /// The rest, as JSON that its owner reads.
    pub document: String,
}

/// Which activities a list is to have.
#[derive(Debug, Clone, Copy, Default)]
pub struct ActivityFilter<'a> {
    /// Those of this resource.
    pub resource: Option<&'a str>,
    /// Also those that changed nothing.
    pub unscaled: bool,
}

impl Store {
    /// Adds an activity and returns its number.
    pub async fn add_scaling_activity(&self, activity: &ActivityRow) -> Result<i64, StoreError> {
        let done = sqlx::query(
            "INSERT INTO scaling_activity (account, region, resource, started, open, scaled, document)
             VALUES (?,?,?,?,?,?,?)",
        )
        .bind(activity.scope.account.as_str())
        .bind(activity.scope.region.as_str())
        .bind(&activity.resource)
        .bind(activity.started.0)
        .bind(activity.open)
        .bind(activity.scaled)
        .bind(&activity.document)
        .execute(&self.main)
        .await?;
        Ok(done.last_insert_rowid())
    }

    /// Ends an activity: `document` is what there is to be said of it now.
    pub async fn end_scaling_activity(&self, number: i64, document: &str) -> Result<(), StoreError> {
        sqlx::query("UPDATE scaling_activity SET open = 0, document = ? WHERE number = ?")
            .bind(document)
            .bind(number)
            .execute(&self.main)
            .await?;
        Ok(())
    }

    /// Up to `limit` activities, the latest first, before the number `before`.
    pub async fn list_scaling_activities(
        &self,
        scope: &Scope,
        filter: ActivityFilter<'_>,
        before: Option<i64>,
        limit: usize,
    ) -> Result<Vec<ActivityRow>, StoreError> {
        let rows = sqlx::query(
            "SELECT * FROM scaling_activity WHERE account = ?1 AND region = ?2 AND number < ?3
             AND (?4 IS NULL OR resource = ?4) AND (scaled = 1 OR ?5) ORDER BY number DESC LIMIT ?6",
        )
        .bind(scope.account.as_str())
        .bind(scope.region.as_str())
        .bind(before.unwrap_or(i64::MAX))
        .bind(filter.resource)
        .bind(filter.unscaled)
        .bind(limit as i64)
        .fetch_all(&self.main)
        .await?;
        rows.iter().map(decode).collect()
    }

    /// The activities of all accounts that go on, the first first.
    pub async fn open_scaling_activities(&self) -> Result<Vec<ActivityRow>, StoreError> {
        let rows = sqlx::query("SELECT * FROM scaling_activity WHERE open = 1 ORDER BY number")
            .fetch_all(&self.main)
            .await?;
        rows.iter().map(decode).collect()
    }

    /// Removes what began before `at` and is over.
    pub async fn prune_scaling_activities(&self, at: UnixMillis) -> Result<u64, StoreError> {
        let done = sqlx::query("DELETE FROM scaling_activity WHERE started < ? AND open = 0")
            .bind(at.0)
            .execute(&self.main)
            .await?;
        Ok(done.rows_affected())
    }
}

fn decode(row: &SqliteRow) -> Result<ActivityRow, StoreError> {
    Ok(ActivityRow {
        number: row.get("number"),
        scope: scope(row)?,
        resource: row.get("resource"),
        started: UnixMillis(row.get("started")),
        open: row.get("open"),
        scaled: row.get("scaled"),
        document: row.get("document"),
    })
}
