//! Function versions and their tags.

use std::collections::BTreeMap;

use lambd_types::{FunctionKey, FunctionName, RevisionId, Scope, Sha256Digest, UnixMillis, Version};
use serde::{Deserialize, Serialize};
use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;

use crate::{Store, StoreError};

/// The settings of a version, as stored. A field added later needs a default, for rows of earlier
/// versions lack it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Configuration {
    /// Runtime identifier.
    pub runtime: String,
    /// Handler.
    pub handler: String,
    /// ARN of the execution role.
    pub role: String,
    /// Free text.
    pub description: String,
    /// MB.
    pub memory_size: u32,
    /// Seconds.
    pub timeout: u32,
    /// MB of `/tmp`.
    pub ephemeral_storage: u32,
    /// Environment variables; `None` when there are none.
    pub environment: Option<BTreeMap<String, String>>,
    /// Log group.
    pub log_group: String,
}

/// One version of a function.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FunctionRow {
    /// Which one.
    pub key: FunctionKey,
    /// Changes on every update.
    pub revision: RevisionId,
    /// Digest of its package.
    pub code: Sha256Digest,
    /// Bytes of its package.
    pub code_size: u64,
    /// Last change.
    pub last_modified: UnixMillis,
    /// Settings.
    pub configuration: Configuration,
}

/// What an update by revision did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Updated {
    /// The row was replaced.
    Yes,
    /// The row has another revision by now, or is gone.
    Stale,
}

/// Where a listing goes on: after this name and version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListPosition {
    /// Last name of the page before.
    pub name: String,
    /// Its version.
    pub version: String,
}

const COLUMNS: &str =
    "account, region, name, version, revision, code_sha256, code_size, last_modified, configuration";

impl Store {
    /// Adds a function's `$LATEST` with its tags. `false` when the name is taken.
    pub async fn insert_function(
        &self,
        row: &FunctionRow,
        tags: &BTreeMap<String, String>,
    ) -> Result<bool, StoreError> {
        let mut transaction = self.main.begin_with("BEGIN IMMEDIATE").await?;
        let inserted = sqlx::query("INSERT INTO function VALUES (?,?,?,?,?,?,?,?,?) ON CONFLICT DO NOTHING")
            .bind(row.key.scope.account.as_str())
            .bind(row.key.scope.region.as_str())
            .bind(row.key.name.as_str())
            .bind(row.key.version.to_string())
            .bind(row.revision.as_str())
            .bind(row.code.to_base64())
            .bind(row.code_size as i64)
            .bind(row.last_modified.0)
            .bind(encode(&row.configuration)?)
            .execute(&mut *transaction)
            .await?;
        if inserted.rows_affected() == 0 {
            return Ok(false);
        }
        for (key, value) in tags {
            sqlx::query("INSERT INTO function_tag VALUES (?,?,?,?,?)")
                .bind(row.key.scope.account.as_str())
                .bind(row.key.scope.region.as_str())
                .bind(row.key.name.as_str())
                .bind(key)
                .bind(value)
                .execute(&mut *transaction)
                .await?;
        }
        transaction.commit().await?;
        Ok(true)
    }

    /// One version.
    pub async fn function(&self, key: &FunctionKey) -> Result<Option<FunctionRow>, StoreError> {
        let sql = format!(
            "SELECT {COLUMNS} FROM function WHERE account = ? AND region = ? AND name = ? AND version = ?"
        );
        let row = sqlx::query(sqlx::AssertSqlSafe(sql))
            .bind(key.scope.account.as_str())
            .bind(key.scope.region.as_str())
            .bind(key.name.as_str())
            .bind(key.version.to_string())
            .fetch_optional(&self.main)
            .await?;
        row.as_ref().map(decode).transpose()
    }

    /// Replaces a version's row if its revision is still `expected`.
    pub async fn update_function(
        &self,
        row: &FunctionRow,
        expected: &RevisionId,
    ) -> Result<Updated, StoreError> {
        let done = sqlx::query(
            "UPDATE function SET revision = ?, code_sha256 = ?, code_size = ?, last_modified = ?, configuration = ?
             WHERE account = ? AND region = ? AND name = ? AND version = ? AND revision = ?",
        )
        .bind(row.revision.as_str())
        .bind(row.code.to_base64())
        .bind(row.code_size as i64)
        .bind(row.last_modified.0)
        .bind(encode(&row.configuration)?)
        .bind(row.key.scope.account.as_str())
        .bind(row.key.scope.region.as_str())
        .bind(row.key.name.as_str())
        .bind(row.key.version.to_string())
        .bind(expected.as_str())
        .execute(&self.main)
        .await?;
        Ok(if done.rows_affected() == 1 { Updated::Yes } else { Updated::Stale })
    }

    /// Deletes all versions and tags of a function. `false` when there is none.
    pub async fn delete_function(&self, scope: &Scope, name: &FunctionName) -> Result<bool, StoreError> {
        let mut transaction = self.main.begin_with("BEGIN IMMEDIATE").await?;
        let mut deleted = 0;
        for sql in [
            "DELETE FROM function_tag WHERE account = ? AND region = ? AND name = ?",
            "DELETE FROM function WHERE account = ? AND region = ? AND name = ?",
        ] {
            deleted = sqlx::query(sql)
                .bind(scope.account.as_str())
                .bind(scope.region.as_str())
                .bind(name.as_str())
                .execute(&mut *transaction)
                .await?
                .rows_affected();
        }
        transaction.commit().await?;
        Ok(deleted > 0)
    }

    /// Up to `limit` functions in order of name, `$LATEST` first within one, after `after`.
    pub async fn list_functions(
        &self,
        scope: &Scope,
        all_versions: bool,
        after: Option<&ListPosition>,
        limit: usize,
    ) -> Result<Vec<FunctionRow>, StoreError> {
        let filter = if all_versions { "" } else { "AND version = '$LATEST'" };
        // '$' sorts before digits; published versions sort by number through their length.
        let sql = format!(
            "SELECT {COLUMNS} FROM function WHERE account = ?1 AND region = ?2 {filter}
             AND (name > ?3 OR (name = ?3 AND (version <> '$LATEST' AND (?4 = '$LATEST'
                  OR length(version) > length(?4) OR (length(version) = length(?4) AND version > ?4)))))
             ORDER BY name, version <> '$LATEST', length(version), version LIMIT ?5"
        );
        let (name, version) = after.map_or(("", ""), |p| (p.name.as_str(), p.version.as_str()));
        let rows = sqlx::query(sqlx::AssertSqlSafe(sql))
            .bind(scope.account.as_str())
            .bind(scope.region.as_str())
            .bind(name)
            .bind(version)
            .bind(limit as i64)
            .fetch_all(&self.main)
            .await?;
        rows.iter().map(decode).collect()
    }

    /// The tags of a function.
    pub async fn function_tags(
        &self,
        scope: &Scope,
        name: &FunctionName,
    ) -> Result<BTreeMap<String, String>, StoreError> {
        let rows =
            sqlx::query("SELECT key, value FROM function_tag WHERE account = ? AND region = ? AND name = ?")
                .bind(scope.account.as_str())
                .bind(scope.region.as_str())
                .bind(name.as_str())
                .fetch_all(&self.main)
                .await?;
        Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
    }

    /// Bytes of all packages of an account and region, versions counted.
    pub async fn code_size(&self, scope: &Scope) -> Result<u64, StoreError> {
        let sql = "SELECT COALESCE(SUM(code_size), 0) FROM function WHERE account = ? AND region = ?";
        let size: i64 = sqlx::query_scalar(sql)
            .bind(scope.account.as_str())
            .bind(scope.region.as_str())
            .fetch_one(&self.main)
            .await?;
        Ok(size as u64)
    }

    /// Deletes the packages that no version refers to. Only to be called before anything is served.
    pub async fn collect_packages(&self) -> Result<usize, StoreError> {
        let used: Vec<String> =
            sqlx::query_scalar("SELECT DISTINCT code_sha256 FROM function").fetch_all(&self.main).await?;
        let used = used.iter().filter_map(|text| Sha256Digest::from_base64(text)).collect();
        self.packages()
            .retain(used)
            .await
            .map_err(|source| StoreError::Io { path: self.path().join("code"), source })
    }
}

fn encode(configuration: &Configuration) -> Result<String, StoreError> {
    serde_json::to_string(configuration).map_err(|e| damaged(e.to_string()))
}

fn decode(row: &SqliteRow) -> Result<FunctionRow, StoreError> {
    let text = |column: &str| row.get::<String, _>(column);
    let (account, region) = (text("account"), text("region"));
    Ok(FunctionRow {
        key: FunctionKey {
            scope: Scope {
                account: lambd_types::AccountId::parse(&account).ok_or_else(|| damaged(account))?,
                region: lambd_types::Region::parse(&region).ok_or_else(|| damaged(region))?,
            },
            name: FunctionName::parse(&text("name")).map_err(|e| damaged(e.to_string()))?,
            version: Version::parse(&text("version")).ok_or_else(|| damaged(text("version")))?,
        },
        revision: RevisionId::from_stored(text("revision")),
        code: Sha256Digest::from_base64(&text("code_sha256")).ok_or_else(|| damaged(text("code_sha256")))?,
        code_size: row.get::<i64, _>("code_size") as u64,
        last_modified: UnixMillis(row.get("last_modified")),
        configuration: serde_json::from_str(&text("configuration")).map_err(|e| damaged(e.to_string()))?,
    })
}

fn damaged(detail: String) -> StoreError {
    StoreError::Damaged { what: "function", detail }
}

#[cfg(test)]
#[path = "functions_tests.rs"]
mod tests;
