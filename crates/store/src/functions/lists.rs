//! Pages of functions and of versions. Each is a range of an index: its cost does not depend on what is beside it.

use lambd_types::{FunctionName, Scope, Version};

use super::{COLUMNS, FunctionRow, decode};
use crate::{Store, StoreError};

/// Where a listing goes on: after this name and version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListPosition {
    /// Last name of the page before.
    pub name: String,
    /// Its version.
    pub version: String,
}

/// The column `number` of a version.
fn number(version: Version) -> i64 {
    match version {
        Version::Latest => 0,
        Version::Published(number) => i64::try_from(number).unwrap_or(i64::MAX),
    }
}

impl Store {
    /// Up to `limit` functions in order of name after `after`: `$LATEST` of each, or all versions, `$LATEST` first and
    /// then by number. A position at a version that was never there is one before all numbers.
    pub async fn list_functions(
        &self,
        scope: &Scope,
        all_versions: bool,
        after: Option<&ListPosition>,
        limit: usize,
    ) -> Result<Vec<FunctionRow>, StoreError> {
        // By itself SQLite would go through all versions to find those that are '$LATEST'.
        let sql = if all_versions {
            format!(
                "SELECT {COLUMNS} FROM function WHERE account = ?1 AND region = ?2 AND (name, number) > (?3, ?5)
                 ORDER BY name, number LIMIT ?4"
            )
        } else {
            format!(
                "SELECT {COLUMNS} FROM function INDEXED BY function_latest
                 WHERE account = ?1 AND region = ?2 AND version = '$LATEST' AND name > ?3
                 ORDER BY name LIMIT ?4"
            )
        };
        let (name, version) = after.map_or(("", None), |p| (p.name.as_str(), Version::parse(&p.version)));
        let rows = sqlx::query(sqlx::AssertSqlSafe(sql))
            .bind(scope.account.as_str())
            .bind(scope.region.as_str())
            .bind(name)
            .bind(limit as i64)
            .bind(version.map_or(0, number))
            .fetch_all(&self.main)
            .await?;
        rows.iter().map(decode).collect()
    }

    /// Up to `limit` versions of a function, `$LATEST` first and then by number, after `after`.
    pub async fn list_versions(
        &self,
        scope: &Scope,
        name: &FunctionName,
        after: Option<Version>,
        limit: usize,
    ) -> Result<Vec<FunctionRow>, StoreError> {
        let sql = format!(
            "SELECT {COLUMNS} FROM function WHERE account = ?1 AND region = ?2 AND name = ?3 AND number > ?4
             ORDER BY number LIMIT ?5"
        );
        let rows = sqlx::query(sqlx::AssertSqlSafe(sql))
            .bind(scope.account.as_str())
            .bind(scope.region.as_str())
            .bind(name.as_str())
            .bind(after.map_or(-1, number))
            .bind(limit as i64)
            .fetch_all(&self.main)
            .await?;
        rows.iter().map(decode).collect()
    }
}
