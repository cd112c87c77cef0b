//! Event source mappings.

use std::collections::BTreeMap;

use lambd_types::{AccountId, FunctionName, Qualifier, Region, Scope, UnixMillis};
use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;

use crate::{Store, StoreError};

/// An event source mapping.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MappingRow {
    /// Account and region.
    pub scope: Scope,
    /// Its UUID, its name.
    pub uuid: String,
    /// What it invokes. The function may have been deleted since.
    pub function: FunctionName,
    /// Version or alias of the function, when the mapping is for one.
    pub qualifier: Option<Qualifier>,
    /// ARN of the event source; empty for a source that has none.
    pub source: String,
    /// What no two mappings of an account and region share.
    pub identity: String,
    /// Whether its user wants it to be active.
    pub enabled: bool,
    /// Last change.
    pub last_modified: UnixMillis,
    /// What never changes, as JSON in the words of the API.
    pub origin: String,
    /// What can be changed, as JSON in the words of the API.
    pub settings: String,
    /// Tags.
    pub tags: BTreeMap<String, String>,
}

/// Which mappings a list is of. An absent member is no restriction.
#[derive(Debug, Clone, Copy, Default)]
pub struct MappingFilter<'a> {
    /// Of this source.
    pub source: Option<&'a str>,
    /// Of this function, with exactly this qualifier or none.
    pub function: Option<(&'a FunctionName, Option<&'a Qualifier>)>,
}

const COLUMNS: &str = "account, region, uuid, function, qualifier, source, identity, enabled, last_modified, \
     origin, settings, tags";

impl Store {
    /// Adds a mapping. `false` when another has its identity.
    pub async fn insert_mapping(&self, row: &MappingRow) -> Result<bool, StoreError> {
        let sql = format!(
            "INSERT INTO event_source_mapping ({COLUMNS}) VALUES (?,?,?,?,?,?,?,?,?,?,?,?) ON CONFLICT DO NOTHING"
        );
        let done = sqlx::query(sqlx::AssertSqlSafe(sql))
            .bind(row.scope.account.as_str())
            .bind(row.scope.region.as_str())
            .bind(&row.uuid)
            .bind(row.function.as_str())
            .bind(qualifier_text(row.qualifier.as_ref()))
            .bind(&row.source)
            .bind(&row.identity)
            .bind(row.enabled)
            .bind(row.last_modified.0)
            .bind(&row.origin)
            .bind(&row.settings)
            .bind(encode_tags(&row.tags)?)
            .execute(&self.main)
            .await?;
        Ok(done.rows_affected() == 1)
    }

    /// Replaces what can be changed of a mapping. `false` when it is gone, or another has its new identity.
    pub async fn update_mapping(&self, row: &MappingRow) -> Result<bool, StoreError> {
        let done = sqlx::query(
            "UPDATE OR IGNORE event_source_mapping SET function = ?, qualifier = ?, identity = ?, enabled = ?,
             last_modified = ?, settings = ?, tags = ? WHERE account = ? AND region = ? AND uuid = ?",
        )
        .bind(row.function.as_str())
        .bind(qualifier_text(row.qualifier.as_ref()))
        .bind(&row.identity)
        .bind(row.enabled)
        .bind(row.last_modified.0)
        .bind(&row.settings)
        .bind(encode_tags(&row.tags)?)
        .bind(row.scope.account.as_str())
        .bind(row.scope.region.as_str())
        .bind(&row.uuid)
        .execute(&self.main)
        .await?;
        Ok(done.rows_affected() == 1)
    }

    /// One mapping.
    pub async fn mapping(&self, scope: &Scope, uuid: &str) -> Result<Option<MappingRow>, StoreError> {
        self.mapping_where("uuid", scope, uuid).await
    }

    /// The mapping that has an identity.
    pub async fn mapping_of(&self, scope: &Scope, identity: &str) -> Result<Option<MappingRow>, StoreError> {
        self.mapping_where("identity", scope, identity).await
    }

    async fn mapping_where(
        &self,
        column: &'static str,
        scope: &Scope,
        value: &str,
    ) -> Result<Option<MappingRow>, StoreError> {
        let sql = format!(
            "SELECT {COLUMNS} FROM event_source_mapping WHERE account = ? AND region = ? AND {column} = ?"
        );
        let row = sqlx::query(sqlx::AssertSqlSafe(sql))
            .bind(scope.account.as_str())
            .bind(scope.region.as_str())
            .bind(value)
            .fetch_optional(&self.main)
            .await?;
        row.as_ref().map(decode).transpose()
    }

    /// Deletes a mapping. `false` when there is none.
    pub async fn delete_mapping(&self, scope: &Scope, uuid: &str) -> Result<bool, StoreError> {
        let sql = "DELETE FROM event_source_mapping WHERE account = ? AND region = ? AND uuid = ?";
        let done = sqlx::query(sql)
            .bind(scope.account.as_str())
            .bind(scope.region.as_str())
            .bind(uuid)
            .execute(&self.main)
            .await?;
        Ok(done.rows_affected() == 1)
    }

    /// Up to `limit` mappings in order of their UUIDs, after `after`.
    pub async fn list_mappings(
        &self,
        scope: &Scope,
        filter: MappingFilter<'_>,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<MappingRow>, StoreError> {
        // Only what restricts is said, so that the index for it is used.
        let source = if filter.source.is_some() { "AND source = ?5" } else { "" };
        let function = if filter.function.is_some() { "AND function = ?6 AND qualifier = ?7" } else { "" };
        let sql = format!(
            "SELECT {COLUMNS} FROM event_source_mapping WHERE account = ?1 AND region = ?2 AND uuid > ?3 {source}
             {function} ORDER BY uuid LIMIT ?4"
        );
        let (name, qualifier) = filter.function.unzip();
        let rows = sqlx::query(sqlx::AssertSqlSafe(sql))
            .bind(scope.account.as_str())
            .bind(scope.region.as_str())
            .bind(after.unwrap_or_default())
            .bind(limit as i64)
            .bind(filter.source.unwrap_or_default())
            .bind(name.map(FunctionName::as_str).unwrap_or_default())
            .bind(qualifier_text(qualifier.flatten()))
            .fetch_all(&self.main)
            .await?;
        rows.iter().map(decode).collect()
    }
}

fn qualifier_text(qualifier: Option<&Qualifier>) -> String {
    qualifier.map(Qualifier::to_string).unwrap_or_default()
}

fn encode_tags(tags: &BTreeMap<String, String>) -> Result<String, StoreError> {
    serde_json::to_string(tags).map_err(|e| damaged(e.to_string()))
}

fn damaged(detail: String) -> StoreError {
    StoreError::Damaged { what: "event source mapping", detail }
}

fn decode(row: &SqliteRow) -> Result<MappingRow, StoreError> {
    let text = |column: &str| row.get::<String, _>(column);
    let (account, region, qualifier) = (text("account"), text("region"), text("qualifier"));
    Ok(MappingRow {
        scope: Scope {
            account: AccountId::parse(&account).ok_or_else(|| damaged(account))?,
            region: Region::parse(&region).ok_or_else(|| damaged(region))?,
        },
        uuid: text("uuid"),
        function: FunctionName::parse(&text("function")).map_err(|e| damaged(e.to_string()))?,
        qualifier: match qualifier.as_str() {
            "" => None,
            some => Some(Qualifier::parse(some).map_err(|e| damaged(e.to_string()))?),
        },
        source: text("source"),
        identity: text("identity"),
        enabled: row.get("enabled"),
        last_modified: UnixMillis(row.get("last_modified")),
        origin: text("origin"),
        settings: text("settings"),
        tags: serde_json::from_str(&text("tags")).map_err(|e| damaged(e.to_string()))?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::DataDir;

    fn row(uuid: &str, function: &str, qualifier: Option<&str>, source: &str) -> MappingRow {
        MappingRow {
            scope: Scope { account: AccountId::default_local(), region: Region::default_local() },
            uuid: uuid.into(),
            function: FunctionName::parse(function).unwrap(),
            qualifier: qualifier.map(|q| Qualifier::parse(q).unwrap()),
            source: source.into(),
            identity: format!("{source} {function} {qualifier:?}"),
            enabled: true,
            last_modified: UnixMillis(7),
            origin: "{}".into(),
            settings: r#"{"BatchSize":1}"#.into(),
            tags: BTreeMap::from([("k".into(), "v".into())]),
        }
    }

    #[tokio::test]
    async fn mappings_survive_reopening_and_share_no_identity() {
        let dir = tempfile::tempdir().unwrap();
        let open = || async { Store::open(DataDir::open(dir.path()).unwrap()).await.unwrap() };
        let first = row("a", "f", Some("live"), "s");
        let other = row("b", "g", None, "s");
        let store = open().await;
        assert!(store.insert_mapping(&first).await.unwrap());
        assert!(store.insert_mapping(&other).await.unwrap());
        assert!(!store.insert_mapping(&row("c", "f", Some("live"), "s")).await.unwrap());
        drop(store);

        let store = open().await;
        let scope = &first.scope;
        assert_eq!(store.mapping(scope, "a").await.unwrap(), Some(first.clone()));
        assert_eq!(store.mapping_of(scope, &other.identity).await.unwrap(), Some(other.clone()));
        let clash = MappingRow { identity: other.identity.clone(), ..first.clone() };
        assert!(!store.update_mapping(&clash).await.unwrap(), "another has this identity");
        let changed = MappingRow { enabled: false, settings: "{}".into(), ..first.clone() };
        assert!(store.update_mapping(&changed).await.unwrap());
        assert_eq!(store.mapping(scope, "a").await.unwrap(), Some(changed));
        assert!(store.delete_mapping(scope, "a").await.unwrap());
        assert!(!store.delete_mapping(scope, "a").await.unwrap());
        assert!(!store.update_mapping(&first).await.unwrap(), "it is gone");
    }

    #[tokio::test]
    async fn lists_filter_by_source_and_by_the_exact_function() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(DataDir::open(dir.path()).unwrap()).await.unwrap();
        let rows = [row("c", "f", None, "s"), row("a", "f", Some("live"), "s"), row("b", "f", None, "t")];
        for row in &rows {
            assert!(store.insert_mapping(row).await.unwrap());
        }
        let (name, live) = (&rows[0].function, Qualifier::parse("live").unwrap());
        let list = async |source, function, after: Option<&str>, limit| {
            let filter = MappingFilter { source, function };
            let found = store.list_mappings(&rows[0].scope, filter, after, limit).await.unwrap();
            found.into_iter().map(|row| row.uuid).collect::<Vec<_>>()
        };
        assert_eq!(list(None, None, None, 2).await, ["a", "b"]);
        assert_eq!(list(None, None, Some("b"), 2).await, ["c"]);
        assert_eq!(list(Some("s"), None, None, 9).await, ["a", "c"]);
        assert_eq!(list(None, Some((name, None)), None, 9).await, ["b", "c"]);
        assert_eq!(list(None, Some((name, Some(&live))), None, 9).await, ["a"]);
        assert_eq!(list(Some("t"), Some((name, None)), None, 9).await, ["b"]);
    }
}
