//! Layers: their versions and the policies of these.

use lambd_types::{
    AccountId, LayerKey, LayerName, LayerVersionKey, Region, RevisionId, Scope, Sha256Digest, UnixMillis,
};
use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;

use crate::functions::Updated;
use crate::{Store, StoreError};

/// One version of a layer. But for its policy it never changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LayerVersionRow {
    /// Which one.
    pub key: LayerVersionKey,
    /// What it is.
    pub content: LayerContent,
    /// Who else may use it.
    pub policy: Option<StoredPolicy>,
}

/// What a version was published with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LayerContent {
    /// Digest of its package.
    pub code: Sha256Digest,
    /// Bytes of its package.
    pub code_size: u64,
    /// Bytes of all its files.
    pub unpacked_size: u64,
    /// When it was published.
    pub created: UnixMillis,
    /// Free text.
    pub description: String,
    /// An identifier, an address or the text itself.
    pub license_info: Option<String>,
    /// Runtime identifiers that lists may be narrowed to.
    pub runtimes: Vec<String>,
    /// Architectures, in the same way.
    pub architectures: Vec<String>,
}

/// The policy of a version; there is none without statements.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredPolicy {
    /// Changes with every statement that comes or goes.
    pub revision: RevisionId,
    /// The statements in their order, each a JSON document.
    pub statements: Vec<String>,
}

/// What a listing of versions is narrowed to.
#[derive(Debug, Clone, Copy, Default)]
pub struct LayerFilter<'a> {
    /// A runtime that the version was published for.
    pub runtime: Option<&'a str>,
    /// An architecture, in the same way.
    pub architecture: Option<&'a str>,
}

const COLUMNS: &str = "account, region, name, version, code_sha256, code_size, unpacked_size, created, \
     description, license_info, runtimes, architectures, statements, policy_revision";

/// With the runtime as ?4 and the architecture as ?5.
const FILTER: &str = "(?4 IS NULL OR EXISTS (SELECT 1 FROM json_each(runtimes) WHERE value = ?4))
     AND (?5 IS NULL OR EXISTS (SELECT 1 FROM json_each(architectures) WHERE value = ?5))";

impl Store {
    /// Adds a version to a layer, which need not exist, under the next number.
    pub async fn insert_layer_version(
        &self,
        layer: &LayerKey,
        content: LayerContent,
    ) -> Result<LayerVersionRow, StoreError> {
        let mut transaction = self.main.begin_with("BEGIN IMMEDIATE").await?;
        let version: i64 = sqlx::query_scalar(
            "INSERT INTO layer (account, region, name, last_version) VALUES (?,?,?,1)
             ON CONFLICT DO UPDATE SET last_version = last_version + 1 RETURNING last_version",
        )
        .bind(layer.scope.account.as_str())
        .bind(layer.scope.region.as_str())
        .bind(layer.name.as_str())
        .fetch_one(&mut *transaction)
        .await?;
        sqlx::query(
            "INSERT INTO layer_version (account, region, name, version, code_sha256, code_size, unpacked_size,
             created, description, license_info, runtimes, architectures) VALUES (?,?,?,?,?,?,?,?,?,?,?,?)",
        )
        .bind(layer.scope.account.as_str())
        .bind(layer.scope.region.as_str())
        .bind(layer.name.as_str())
        .bind(version)
        .bind(content.code.to_base64())
        .bind(content.code_size as i64)
        .bind(content.unpacked_size as i64)
        .bind(content.created.0)
        .bind(&content.description)
        .bind(&content.license_info)
        .bind(encode(&content.runtimes)?)
        .bind(encode(&content.architectures)?)
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await?;
        let key = LayerVersionKey { layer: layer.clone(), version: version as u64 };
        Ok(LayerVersionRow { key, content, policy: None })
    }

    /// One version.
    pub async fn layer_version(&self, key: &LayerVersionKey) -> Result<Option<LayerVersionRow>, StoreError> {
        let sql = format!(
            "SELECT {COLUMNS} FROM layer_version WHERE account = ? AND region = ? AND name = ? AND version = ?"
        );
        let row = sqlx::query(sqlx::AssertSqlSafe(sql))
            .bind(key.layer.scope.account.as_str())
            .bind(key.layer.scope.region.as_str())
            .bind(key.layer.name.as_str())
            .bind(stored_number(key.version))
            .fetch_optional(&self.main)
            .await?;
        row.as_ref().map(decode).transpose()
    }

    /// Deletes one version; its package stays while a function refers to it. `false` when there is none.
    pub async fn delete_layer_version(&self, key: &LayerVersionKey) -> Result<bool, StoreError> {
        let sql = "DELETE FROM layer_version WHERE account = ? AND region = ? AND name = ? AND version = ?";
        let done = sqlx::query(sql)
            .bind(key.layer.scope.account.as_str())
            .bind(key.layer.scope.region.as_str())
            .bind(key.layer.name.as_str())
            .bind(stored_number(key.version))
            .execute(&self.main)
            .await?;
        Ok(done.rows_affected() == 1)
    }

    /// Replaces the policy of a version, if it is still the one with the revision `expected`.
    pub async fn update_layer_policy(
        &self,
        key: &LayerVersionKey,
        expected: Option<&RevisionId>,
        policy: Option<&StoredPolicy>,
    ) -> Result<Updated, StoreError> {
        let statements = policy.map_or(&[] as &[String], |policy| &policy.statements);
        let done = sqlx::query(
            "UPDATE layer_version SET statements = ?, policy_revision = ?
             WHERE account = ? AND region = ? AND name = ? AND version = ? AND policy_revision IS ?",
        )
        .bind(encode(statements)?)
        .bind(policy.map(|policy| policy.revision.as_str()))
        .bind(key.layer.scope.account.as_str())
        .bind(key.layer.scope.region.as_str())
        .bind(key.layer.name.as_str())
        .bind(stored_number(key.version))
        .bind(expected.map(RevisionId::as_str))
        .execute(&self.main)
        .await?;
        Ok(if done.rows_affected() == 1 { Updated::Yes } else { Updated::Stale })
    }

    /// Up to `limit` layers in order of name, after `after`: of each the newest version that passes the filter.
    pub async fn list_layers(
        &self,
        scope: &Scope,
        filter: LayerFilter<'_>,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<LayerVersionRow>, StoreError> {
        // The other columns are those of the row with the maximum (SQLite, "bare columns").
        let sql = format!(
            "SELECT {COLUMNS}, MAX(version) FROM layer_version
             WHERE account = ?1 AND region = ?2 AND name > ?3 AND {FILTER} GROUP BY name ORDER BY name LIMIT ?6"
        );
        let rows = sqlx::query(sqlx::AssertSqlSafe(sql))
            .bind(scope.account.as_str())
            .bind(scope.region.as_str())
            .bind(after.unwrap_or_default())
            .bind(filter.runtime)
            .bind(filter.architecture)
            .bind(limit as i64)
            .fetch_all(&self.main)
            .await?;
        rows.iter().map(decode).collect()
    }

    /// Up to `limit` versions of a layer that pass the filter, the newest first, only those below `before`.
    pub async fn list_layer_versions(
        &self,
        layer: &LayerKey,
        filter: LayerFilter<'_>,
        before: Option<u64>,
        limit: usize,
    ) -> Result<Vec<LayerVersionRow>, StoreError> {
        let sql = format!(
            "SELECT {COLUMNS} FROM layer_version WHERE account = ?1 AND region = ?2 AND name = ?3 AND {FILTER}
             AND version < ?6 ORDER BY version DESC LIMIT ?7"
        );
        let rows = sqlx::query(sqlx::AssertSqlSafe(sql))
            .bind(layer.scope.account.as_str())
            .bind(layer.scope.region.as_str())
            .bind(layer.name.as_str())
            .bind(filter.runtime)
            .bind(filter.architecture)
            .bind(before.map_or(i64::MAX, stored_number))
            .bind(limit as i64)
            .fetch_all(&self.main)
            .await?;
        rows.iter().map(decode).collect()
    }
}

/// A number as SQLite has it; those that it cannot have were never given out.
fn stored_number(version: u64) -> i64 {
    i64::try_from(version).unwrap_or(i64::MAX)
}

fn encode(list: &[String]) -> Result<String, StoreError> {
    serde_json::to_string(list).map_err(|e| damaged(e.to_string()))
}

fn decode(row: &SqliteRow) -> Result<LayerVersionRow, StoreError> {
    let text = |column: &str| row.get::<String, _>(column);
    let list = |column: &str| -> Result<Vec<String>, StoreError> {
        serde_json::from_str(&text(column)).map_err(|e| damaged(e.to_string()))
    };
    let (account, region) = (text("account"), text("region"));
    let scope = Scope {
        account: AccountId::parse(&account).ok_or_else(|| damaged(account))?,
        region: Region::parse(&region).ok_or_else(|| damaged(region))?,
    };
    let name = LayerName::parse(&text("name")).map_err(|e| damaged(e.to_string()))?;
    let version = row.get::<i64, _>("version") as u64;
    let revision = row.get::<Option<String>, _>("policy_revision").map(RevisionId::from_stored);
    let statements = list("statements")?;
    Ok(LayerVersionRow {
        key: LayerVersionKey { layer: LayerKey { scope, name }, version },
        content: LayerContent {
            code: Sha256Digest::from_base64(&text("code_sha256"))
                .ok_or_else(|| damaged(text("code_sha256")))?,
            code_size: row.get::<i64, _>("code_size") as u64,
            unpacked_size: row.get::<i64, _>("unpacked_size") as u64,
            created: UnixMillis(row.get("created")),
            description: text("description"),
            license_info: row.get("license_info"),
            runtimes: list("runtimes")?,
            architectures: list("architectures")?,
        },
        policy: revision.map(|revision| StoredPolicy { revision, statements }),
    })
}

fn damaged(detail: String) -> StoreError {
    StoreError::Damaged { what: "layer", detail }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::DataDir;

    fn layer(name: &str) -> LayerKey {
        let scope = Scope { account: AccountId::default_local(), region: Region::default_local() };
        LayerKey { scope, name: LayerName::parse(name).unwrap() }
    }

    fn content(runtimes: &[&str], architectures: &[&str]) -> LayerContent {
        let owned = |list: &[&str]| list.iter().map(|&item| item.to_owned()).collect();
        LayerContent {
            code: Sha256Digest::of(b"layer"),
            code_size: 5,
            unpacked_size: 50,
            created: UnixMillis(7),
            description: "d".into(),
            license_info: Some("MIT".into()),
            runtimes: owned(runtimes),
            architectures: owned(architectures),
        }
    }

    async fn open(dir: &tempfile::TempDir) -> Store {
        Store::open(DataDir::open(dir.path()).unwrap()).await.unwrap()
    }

    /// CORE-215: numbers are never used again, not even after a restart without any version left.
    #[tokio::test]
    async fn numbers_are_never_used_again() {
        let dir = tempfile::tempdir().unwrap();
        let store = open(&dir).await;
        let first = store.insert_layer_version(&layer("l"), content(&["python3.12"], &[])).await.unwrap();
        assert_eq!(first.key.version, 1);
        assert_eq!(store.layer_version(&first.key).await.unwrap(), Some(first.clone()));
        assert!(store.delete_layer_version(&first.key).await.unwrap());
        assert!(!store.delete_layer_version(&first.key).await.unwrap());
        drop(store);
        let store = open(&dir).await;
        assert_eq!(store.layer_version(&first.key).await.unwrap(), None);
        let second = store.insert_layer_version(&layer("l"), content(&[], &[])).await.unwrap();
        assert_eq!(second.key.version, 2);
        let other = store.insert_layer_version(&layer("other"), content(&[], &[])).await.unwrap();
        assert_eq!(other.key.version, 1);
    }

    #[tokio::test]
    async fn listings_filter_and_page() {
        let dir = tempfile::tempdir().unwrap();
        let store = open(&dir).await;
        for (name, runtimes, architectures) in [
            ("b", &["python3.12"][..], &["arm64"][..]),
            ("b", &["python3.13", "python3.12"], &["x86_64"]),
            ("b", &[], &[]),
            ("a", &["python3.12"], &["x86_64"]),
            ("c", &[], &[]),
        ] {
            store.insert_layer_version(&layer(name), content(runtimes, architectures)).await.unwrap();
        }
        let layers = async |filter: LayerFilter<'_>, after: Option<&str>, limit| {
            let found = store.list_layers(&layer("x").scope, filter, after, limit).await.unwrap();
            found.iter().map(|row| format!("{}{}", row.key.layer.name, row.key.version)).collect::<Vec<_>>()
        };
        let all = LayerFilter::default();
        assert_eq!(layers(all, None, 9).await, ["a1", "b3", "c1"]);
        assert_eq!(layers(all, Some("a"), 1).await, ["b3"]);
        let python = LayerFilter { runtime: Some("python3.12"), architecture: None };
        assert_eq!(layers(python, None, 9).await, ["a1", "b2"]);
        let arm = LayerFilter { runtime: Some("python3.12"), architecture: Some("arm64") };
        assert_eq!(layers(arm, None, 9).await, ["b1"]);
        let versions = async |filter: LayerFilter<'_>, before: Option<u64>, limit| {
            let found = store.list_layer_versions(&layer("b"), filter, before, limit).await.unwrap();
            found.iter().map(|row| row.key.version).collect::<Vec<_>>()
        };
        assert_eq!(versions(all, None, 9).await, [3, 2, 1]);
        assert_eq!(versions(all, Some(3), 1).await, [2]);
        assert_eq!(versions(python, None, 9).await, [2, 1]);
    }

    #[tokio::test]
    async fn policies_change_by_revision() {
        let dir = tempfile::tempdir().unwrap();
        let store = open(&dir).await;
        let key = store.insert_layer_version(&layer("l"), content(&[], &[])).await.unwrap().key;
        let policy = StoredPolicy { revision: RevisionId::random(), statements: vec!["{}".into()] };
        let update = async |expected: Option<&RevisionId>, policy: Option<&StoredPolicy>| {
            store.update_layer_policy(&key, expected, policy).await.unwrap()
        };
        assert_eq!(update(Some(&policy.revision), Some(&policy)).await, Updated::Stale);
        assert_eq!(update(None, Some(&policy)).await, Updated::Yes);
        assert_eq!(store.layer_version(&key).await.unwrap().unwrap().policy, Some(policy.clone()));
        assert_eq!(update(None, None).await, Updated::Stale);
        assert_eq!(update(Some(&policy.revision), None).await, Updated::Yes);
        assert_eq!(store.layer_version(&key).await.unwrap().unwrap().policy, None);
    }
}
