//! Functions: the row of `$LATEST`, those of published versions, tags.

mod condition;
mod layers;
mod lists;
mod tags;
mod usage;
mod versions;

use std::collections::BTreeMap;

use lambd_types::{
    Condition, FunctionKey, FunctionName, RevisionId, Scope, Sha256Digest, UnixMillis, Version,
};
use serde::{Deserialize, Serialize};
use sqlx::sqlite::SqliteRow;
use sqlx::{Row as _, Sqlite, Transaction};

pub use layers::UsedLayer;
pub use lists::ListPosition;
pub use versions::VersionDeleted;

use crate::attached::{self, Attached as _, CodeSigning, Holder, ReservedConcurrency};
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
    /// The levels of a log in JSON; `None` when it is text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub json_log: Option<JsonLog>,
    /// Processor architecture, as the API names it.
    #[serde(default = "machine_architecture")]
    pub architecture: String,
    /// Whether published versions have SnapStart.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub snap_start: bool,
    /// Layers, in the order in which they are laid over each other.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub layers: Vec<UsedLayer>,
    /// ARN of the queue or topic for asynchronous events that failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dead_letter: Option<String>,
}

/// The least important levels that a log in JSON keeps, as the API names them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JsonLog {
    /// Of what the function writes.
    pub application: String,
    /// Of what the platform writes.
    pub system: String,
}

/// The architecture of this machine in the words of the API; that of all versions that say nothing else.
pub fn machine_architecture() -> String {
    match std::env::consts::ARCH {
        "aarch64" => "arm64",
        other => other,
    }
    .to_owned()
}

/// One version of a function.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FunctionRow {
    /// Which one.
    pub key: FunctionKey,
    /// Changes with everything that a client can see.
    pub revision: RevisionId,
    /// Changes with code and configuration alone; what runs is told apart by it.
    pub build: RevisionId,
    /// Digest of its package.
    pub code: Sha256Digest,
    /// Bytes of its package.
    pub code_size: u64,
    /// Last change.
    pub last_modified: UnixMillis,
    /// Settings. Those of a published version are `$LATEST`'s of that time, to the letter.
    pub configuration: Configuration,
    /// The description that a version was published with, instead of the configuration's.
    pub published_description: Option<String>,
    /// Its state.
    pub condition: Condition,
    /// What runs while an update is in progress.
    pub in_force: Option<InForce>,
    /// The highest number that was published so far; counted on the row of `$LATEST`.
    pub last_version: u64,
}

/// A version, and what belongs to its function as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DescribedFunction {
    /// The version.
    pub row: FunctionRow,
    /// The function's tags.
    pub tags: BTreeMap<String, String>,
    /// What it has reserved.
    pub reserved: Option<ReservedConcurrency>,
}

/// The code and configuration that an update is to replace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InForce {
    /// See [`FunctionRow::build`].
    pub build: RevisionId,
    /// Digest of the package.
    pub code: Sha256Digest,
    /// Bytes of the package.
    pub code_size: u64,
    /// Settings.
    pub configuration: Configuration,
}

/// [`InForce`] as stored.
#[derive(Serialize, Deserialize)]
struct StoredInForce {
    build: String,
    code: String,
    code_size: u64,
    configuration: Configuration,
}

/// One row of a change.
#[derive(Debug, Clone, Copy)]
pub enum RowChange<'a> {
    /// A version that must not exist.
    Insert(&'a FunctionRow),
    /// A version that must still have this revision.
    Update(&'a FunctionRow, &'a RevisionId),
}

/// What an update by revision did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Updated {
    /// The row was replaced.
    Yes,
    /// The row has another revision by now, or is gone.
    Stale,
}

const COLUMNS: &str = "account, region, name, version, revision, code_sha256, code_size, last_modified, \
     configuration, build, published_description, condition, in_force, last_version";

impl Store {
    /// Adds a function: its `$LATEST`, what is published with it, and its tags. `false` when the name is taken.
    pub async fn insert_function(
        &self,
        rows: &[FunctionRow],
        tags: &BTreeMap<String, String>,
    ) -> Result<bool, StoreError> {
        self.insert_signed_function(rows, tags, None).await
    }

    /// The same with the code signing configuration that the function is to have.
    pub async fn insert_signed_function(
        &self,
        rows: &[FunctionRow],
        tags: &BTreeMap<String, String>,
        signing: Option<&CodeSigning>,
    ) -> Result<bool, StoreError> {
        let mut transaction = self.main.begin_with("BEGIN IMMEDIATE").await?;
        for row in rows {
            if !insert(&mut transaction, row).await? {
                return Ok(false);
            }
        }
        if let Some(row) = rows.first() {
            tags::insert(&mut transaction, &row.key.scope, &row.key.name, tags).await?;
            if let Some(signing) = signing {
                let FunctionKey { scope, name, .. } = row.key.clone();
                attached::put(&mut transaction, &Holder { scope, name, qualifier: None }, signing).await?;
            }
        }
        transaction.commit().await?;
        Ok(true)
    }

    /// Changes several versions: all of them, or none.
    pub async fn change_functions(&self, changes: &[RowChange<'_>]) -> Result<Updated, StoreError> {
        let mut transaction = self.main.begin_with("BEGIN IMMEDIATE").await?;
        for change in changes {
            let applied = match change {
                RowChange::Insert(row) => insert(&mut transaction, row).await?,
                RowChange::Update(row, expected) => update(&mut transaction, row, expected).await?,
            };
            if !applied {
                return Ok(Updated::Stale);
            }
        }
        transaction.commit().await?;
        Ok(Updated::Yes)
    }

    /// The versions that have work left to do, of all functions.
    pub async fn unsettled_functions(&self) -> Result<Vec<FunctionRow>, StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM function WHERE unsettled = 1");
        let rows = sqlx::query(sqlx::AssertSqlSafe(sql)).fetch_all(&self.main).await?;
        rows.iter().map(decode).collect()
    }

    /// The versions of one function that have work left to do.
    pub async fn unsettled_versions(
        &self,
        scope: &Scope,
        name: &FunctionName,
    ) -> Result<Vec<FunctionRow>, StoreError> {
        // By itself SQLite would go through all versions of the function.
        let sql = format!(
            "SELECT {COLUMNS} FROM function INDEXED BY function_unsettled
             WHERE account = ? AND region = ? AND name = ? AND unsettled = 1"
        );
        let rows = sqlx::query(sqlx::AssertSqlSafe(sql))
            .bind(scope.account.as_str())
            .bind(scope.region.as_str())
            .bind(name.as_str())
            .fetch_all(&self.main)
            .await?;
        rows.iter().map(decode).collect()
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

    /// One version with what `GetFunction` shows of the function beside it, all of one moment.
    pub async fn described_function(
        &self,
        key: &FunctionKey,
    ) -> Result<Option<DescribedFunction>, StoreError> {
        // One statement: each costs two changes of threads, which is more than the statement itself.
        let sql = format!(
            "SELECT {COLUMNS},
             (SELECT json_group_object(key, value) FROM function_tag AS tag
              WHERE tag.account = function.account AND tag.region = function.region AND tag.name = function.name)
              AS tags,
             (SELECT document FROM function_attached AS attached
              WHERE attached.account = function.account AND attached.region = function.region
              AND attached.name = function.name AND kind = ? AND qualifier = '') AS reserved
             FROM function WHERE account = ? AND region = ? AND name = ? AND version = ?"
        );
        let row = sqlx::query(sqlx::AssertSqlSafe(sql))
            .bind(ReservedConcurrency::KIND)
            .bind(key.scope.account.as_str())
            .bind(key.scope.region.as_str())
            .bind(key.name.as_str())
            .bind(key.version.to_string())
            .fetch_optional(&self.main)
            .await?;
        let Some(row) = row else { return Ok(None) };
        let reserved: Option<String> = row.get("reserved");
        Ok(Some(DescribedFunction {
            tags: serde_json::from_str(row.get("tags")).map_err(|e| damaged(e.to_string()))?,
            reserved: reserved.as_deref().map(attached::decode).transpose()?,
            row: decode(&row)?,
        }))
    }

    /// Deletes all versions, aliases and tags of a function, and what hangs on them. `false` when there is none.
    pub async fn delete_function(&self, scope: &Scope, name: &FunctionName) -> Result<bool, StoreError> {
        let mut transaction = self.main.begin_with("BEGIN IMMEDIATE").await?;
        let mut deleted = 0;
        for sql in [
            "DELETE FROM function_tag WHERE account = ? AND region = ? AND name = ?",
            "DELETE FROM function_attached WHERE account = ? AND region = ? AND name = ?",
            "DELETE FROM function_alias WHERE account = ? AND region = ? AND name = ?",
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

    /// Deletes the packages that no version of a function or of a layer refers to. Only to be called before anything is served.
    pub async fn collect_packages(&self) -> Result<usize, StoreError> {
        let sql = "SELECT code_sha256 FROM function
                   UNION SELECT json_extract(in_force, '$.code') FROM function WHERE in_force IS NOT NULL
                   UNION SELECT code_sha256 FROM layer_version";
        let used: Vec<String> = sqlx::query_scalar(sql).fetch_all(&self.main).await?;
        let used = used.iter().filter_map(|text| Sha256Digest::from_base64(text)).collect();
        self.packages()
            .retain(used, self.layer_lists().await?)
            .await
            .map_err(|source| StoreError::Io { path: self.path().join("code"), source })
    }
}

async fn insert(transaction: &mut Transaction<'_, Sqlite>, row: &FunctionRow) -> Result<bool, StoreError> {
    let sql = format!(
        "INSERT INTO function ({COLUMNS}, unsettled) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?) ON CONFLICT DO NOTHING"
    );
    let done = sqlx::query(sqlx::AssertSqlSafe(sql))
        .bind(row.key.scope.account.as_str())
        .bind(row.key.scope.region.as_str())
        .bind(row.key.name.as_str())
        .bind(row.key.version.to_string())
        .bind(row.revision.as_str())
        .bind(row.code.to_base64())
        .bind(row.code_size as i64)
        .bind(row.last_modified.0)
        .bind(encode(&row.configuration)?)
        .bind(row.build.as_str())
        .bind(&row.published_description)
        .bind(condition::encode(&row.condition).map_err(|e| damaged(e.to_string()))?)
        .bind(encode_in_force(row)?)
        .bind(row.last_version as i64)
        .bind(row.condition.is_unsettled())
        .execute(&mut **transaction)
        .await?;
    Ok(done.rows_affected() == 1)
}

async fn update(
    transaction: &mut Transaction<'_, Sqlite>,
    row: &FunctionRow,
    expected: &RevisionId,
) -> Result<bool, StoreError> {
    let done = sqlx::query(
        "UPDATE function SET revision = ?, code_sha256 = ?, code_size = ?, last_modified = ?, configuration = ?,
         build = ?, published_description = ?, condition = ?, in_force = ?, last_version = ?, unsettled = ?
         WHERE account = ? AND region = ? AND name = ? AND version = ? AND revision = ?",
    )
    .bind(row.revision.as_str())
    .bind(row.code.to_base64())
    .bind(row.code_size as i64)
    .bind(row.last_modified.0)
    .bind(encode(&row.configuration)?)
    .bind(row.build.as_str())
    .bind(&row.published_description)
    .bind(condition::encode(&row.condition).map_err(|e| damaged(e.to_string()))?)
    .bind(encode_in_force(row)?)
    .bind(row.last_version as i64)
    .bind(row.condition.is_unsettled())
    .bind(row.key.scope.account.as_str())
    .bind(row.key.scope.region.as_str())
    .bind(row.key.name.as_str())
    .bind(row.key.version.to_string())
    .bind(expected.as_str())
    .execute(&mut **transaction)
    .await?;
    Ok(done.rows_affected() == 1)
}

fn encode(configuration: &Configuration) -> Result<String, StoreError> {
    serde_json::to_string(configuration).map_err(|e| damaged(e.to_string()))
}

fn encode_in_force(row: &FunctionRow) -> Result<Option<String>, StoreError> {
    let Some(in_force) = &row.in_force else { return Ok(None) };
    let stored = StoredInForce {
        build: in_force.build.to_string(),
        code: in_force.code.to_base64(),
        code_size: in_force.code_size,
        configuration: in_force.configuration.clone(),
    };
    serde_json::to_string(&stored).map(Some).map_err(|e| damaged(e.to_string()))
}

fn decode_in_force(text: &str) -> Result<InForce, StoreError> {
    let stored: StoredInForce = serde_json::from_str(text).map_err(|e| damaged(e.to_string()))?;
    Ok(InForce {
        build: RevisionId::from_stored(stored.build),
        code: Sha256Digest::from_base64(&stored.code).ok_or_else(|| damaged(stored.code))?,
        code_size: stored.code_size,
        configuration: stored.configuration,
    })
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
        build: RevisionId::from_stored(text("build")),
        published_description: row.get("published_description"),
        condition: condition::decode(&text("condition")).ok_or_else(|| damaged(text("condition")))?,
        in_force: row.get::<Option<String>, _>("in_force").as_deref().map(decode_in_force).transpose()?,
        last_version: row.get::<i64, _>("last_version") as u64,
    })
}

fn damaged(detail: String) -> StoreError {
    StoreError::Damaged { what: "function", detail }
}

#[cfg(test)]
mod tests;
