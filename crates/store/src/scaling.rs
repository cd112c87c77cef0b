//! What scales provisioned concurrency: targets, their policies and scheduled actions, and what was done.

mod activities;
mod rules;

use std::collections::BTreeMap;

use lambd_types::{AccountId, Region, Scope, UnixMillis};
use serde::{Deserialize, Serialize};
use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;

pub use activities::{ActivityFilter, ActivityRow};
pub use rules::{RuleFilter, RuleKind, RuleRow};

use crate::{Store, StoreError};

/// A scalable target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetRow {
    /// Account and region.
    pub scope: Scope,
    /// What is scaled: `function:NAME:QUALIFIER`.
    pub resource: String,
    /// The end of its ARN.
    pub id: String,
    /// What the ARNs of its policies and scheduled actions have in common.
    pub family: String,
    /// Lowest capacity.
    pub min: u32,
    /// Highest capacity.
    pub max: u32,
    /// What is not to be done now.
    pub suspended: Suspended,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
    /// When it was scaled last.
    pub progress: Progress,
    /// When it was registered.
    pub created: UnixMillis,
}

/// Kinds of scaling that are suspended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Suspended {
    /// Policies do not lower the capacity.
    pub scale_in: bool,
    /// Policies do not raise it.
    pub scale_out: bool,
    /// Scheduled actions do nothing.
    pub scheduled: bool,
}

/// What policies did last.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// When the capacity was last raised, in milliseconds since the epoch.
    pub scaled_out: Option<i64>,
    /// By how much.
    pub step_out: u32,
    /// When it was last lowered.
    pub scaled_in: Option<i64>,
}

const COLUMNS: &str = "account, region, resource, id, family, min, max, suspended, tags, progress, created";

impl Store {
    /// The target of a resource.
    pub async fn scaling_target(
        &self,
        scope: &Scope,
        resource: &str,
    ) -> Result<Option<TargetRow>, StoreError> {
        self.one_scaling_target(scope, "resource", resource).await
    }

    /// The target whose ARN ends in `id`.
    pub async fn scaling_target_of_id(
        &self,
        scope: &Scope,
        id: &str,
    ) -> Result<Option<TargetRow>, StoreError> {
        self.one_scaling_target(scope, "id", id).await
    }

    async fn one_scaling_target(
        &self,
        scope: &Scope,
        column: &'static str,
        value: &str,
    ) -> Result<Option<TargetRow>, StoreError> {
        let sql =
            format!("SELECT {COLUMNS} FROM scaling_target WHERE account = ? AND region = ? AND {column} = ?");
        let row = sqlx::query(sqlx::AssertSqlSafe(sql))
            .bind(scope.account.as_str())
            .bind(scope.region.as_str())
            .bind(value)
            .fetch_optional(&self.main)
            .await?;
        row.as_ref().map(decode).transpose()
    }

    /// Up to `limit` targets in order of resource, after `after`; those of `resources` if any are named.
    pub async fn list_scaling_targets(
        &self,
        scope: &Scope,
        resources: &[String],
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<TargetRow>, StoreError> {
        let sql = format!(
            "SELECT {COLUMNS} FROM scaling_target WHERE account = ?1 AND region = ?2 AND resource > ?3
             AND (?4 = '[]' OR resource IN (SELECT value FROM json_each(?4))) ORDER BY resource LIMIT ?5"
        );
        let rows = sqlx::query(sqlx::AssertSqlSafe(sql))
            .bind(scope.account.as_str())
            .bind(scope.region.as_str())
            .bind(after.unwrap_or_default())
            .bind(encode(&resources)?)
            .bind(limit as i64)
            .fetch_all(&self.main)
            .await?;
        rows.iter().map(decode).collect()
    }

    /// How many targets an account has in a region.
    pub async fn count_scaling_targets(&self, scope: &Scope) -> Result<u64, StoreError> {
        let count: i64 =
            sqlx::query_scalar("SELECT COUNT(*) FROM scaling_target WHERE account = ? AND region = ?")
                .bind(scope.account.as_str())
                .bind(scope.region.as_str())
                .fetch_one(&self.main)
                .await?;
        Ok(count as u64)
    }

    /// Stores a target, instead of the one of its resource that there may be.
    pub async fn put_scaling_target(&self, target: &TargetRow) -> Result<(), StoreError> {
        let sql = format!(
            "INSERT INTO scaling_target ({COLUMNS}) VALUES (?,?,?,?,?,?,?,?,?,?,?)
             ON CONFLICT (account, region, resource) DO UPDATE SET min = excluded.min, max = excluded.max,
                suspended = excluded.suspended, tags = excluded.tags, progress = excluded.progress"
        );
        sqlx::query(sqlx::AssertSqlSafe(sql))
            .bind(target.scope.account.as_str())
            .bind(target.scope.region.as_str())
            .bind(&target.resource)
            .bind(&target.id)
            .bind(&target.family)
            .bind(target.min)
            .bind(target.max)
            .bind(encode(&target.suspended)?)
            .bind(encode(&target.tags)?)
            .bind(encode(&target.progress)?)
            .bind(target.created.0)
            .execute(&self.main)
            .await?;
        Ok(())
    }

    /// Removes a target with its policies and scheduled actions. `false` when there is none.
    pub async fn delete_scaling_target(&self, scope: &Scope, resource: &str) -> Result<bool, StoreError> {
        let done =
            sqlx::query("DELETE FROM scaling_target WHERE account = ? AND region = ? AND resource = ?")
                .bind(scope.account.as_str())
                .bind(scope.region.as_str())
                .bind(resource)
                .execute(&self.main)
                .await?;
        Ok(done.rows_affected() == 1)
    }
}

fn encode(value: &impl Serialize) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|e| damaged(e.to_string()))
}

fn damaged(detail: String) -> StoreError {
    StoreError::Damaged { what: "scalable target", detail }
}

fn scope(row: &SqliteRow) -> Result<Scope, StoreError> {
    let (account, region) = (row.get::<String, _>("account"), row.get::<String, _>("region"));
    Ok(Scope {
        account: AccountId::parse(&account).ok_or_else(|| damaged(account))?,
        region: Region::parse(&region).ok_or_else(|| damaged(region))?,
    })
}

fn json<T: serde::de::DeserializeOwned>(row: &SqliteRow, column: &str) -> Result<T, StoreError> {
    serde_json::from_str(&row.get::<String, _>(column)).map_err(|e| damaged(e.to_string()))
}

fn decode(row: &SqliteRow) -> Result<TargetRow, StoreError> {
    Ok(TargetRow {
        scope: scope(row)?,
        resource: row.get("resource"),
        id: row.get("id"),
        family: row.get("family"),
        min: row.get("min"),
        max: row.get("max"),
        suspended: json(row, "suspended")?,
        tags: json(row, "tags")?,
        progress: json(row, "progress")?,
        created: UnixMillis(row.get("created")),
    })
}

#[cfg(test)]
mod tests;
