//! Aliases of functions.

use lambd_types::{AliasName, FunctionName, RevisionId, Scope, Version};
use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;

use crate::functions::Updated;
use crate::{Store, StoreError, attached};

/// What names an alias in the whole system.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct AliasKey {
    /// Account and region.
    pub scope: Scope,
    /// The function.
    pub name: FunctionName,
    /// The alias.
    pub alias: AliasName,
}

/// An alias.
#[derive(Debug, Clone, PartialEq)]
pub struct AliasRow {
    /// Which one.
    pub key: AliasKey,
    /// Changes on every update.
    pub revision: RevisionId,
    /// Free text.
    pub description: String,
    /// Where it leads.
    pub version: Version,
    /// A second version, and the share of events that go there, from 0 to 1.
    pub additional: Option<(Version, f64)>,
}

const COLUMNS: &str =
    "account, region, name, alias, revision, description, version, additional_version, additional_weight";

impl Store {
    /// Adds an alias. `false` when the name is taken.
    pub async fn insert_alias(&self, row: &AliasRow) -> Result<bool, StoreError> {
        let done =
            sqlx::query("INSERT INTO function_alias VALUES (?,?,?,?,?,?,?,?,?) ON CONFLICT DO NOTHING")
                .bind(row.key.scope.account.as_str())
                .bind(row.key.scope.region.as_str())
                .bind(row.key.name.as_str())
                .bind(row.key.alias.as_str())
                .bind(row.revision.as_str())
                .bind(&row.description)
                .bind(row.version.to_string())
                .bind(row.additional.map(|(version, _)| version.to_string()))
                .bind(row.additional.map(|(_, weight)| weight))
                .execute(&self.main)
                .await?;
        Ok(done.rows_affected() == 1)
    }

    /// One alias.
    pub async fn alias(&self, key: &AliasKey) -> Result<Option<AliasRow>, StoreError> {
        let sql = format!(
            "SELECT {COLUMNS} FROM function_alias WHERE account = ? AND region = ? AND name = ? AND alias = ?"
        );
        let row = sqlx::query(sqlx::AssertSqlSafe(sql))
            .bind(key.scope.account.as_str())
            .bind(key.scope.region.as_str())
            .bind(key.name.as_str())
            .bind(key.alias.as_str())
            .fetch_optional(&self.main)
            .await?;
        row.as_ref().map(decode).transpose()
    }

    /// Replaces an alias if its revision is still `expected`.
    pub async fn update_alias(&self, row: &AliasRow, expected: &RevisionId) -> Result<Updated, StoreError> {
        let done = sqlx::query(
            "UPDATE function_alias SET revision = ?, description = ?, version = ?, additional_version = ?,
             additional_weight = ?
             WHERE account = ? AND region = ? AND name = ? AND alias = ? AND revision = ?",
        )
        .bind(row.revision.as_str())
        .bind(&row.description)
        .bind(row.version.to_string())
        .bind(row.additional.map(|(version, _)| version.to_string()))
        .bind(row.additional.map(|(_, weight)| weight))
        .bind(row.key.scope.account.as_str())
        .bind(row.key.scope.region.as_str())
        .bind(row.key.name.as_str())
        .bind(row.key.alias.as_str())
        .bind(expected.as_str())
        .execute(&self.main)
        .await?;
        Ok(if done.rows_affected() == 1 { Updated::Yes } else { Updated::Stale })
    }

    /// Deletes an alias and what hangs on it. `false` when there is none.
    pub async fn delete_alias(&self, key: &AliasKey) -> Result<bool, StoreError> {
        let mut transaction = self.main.begin_with("BEGIN IMMEDIATE").await?;
        let sql = "DELETE FROM function_alias WHERE account = ? AND region = ? AND name = ? AND alias = ?";
        let done = sqlx::query(sql)
            .bind(key.scope.account.as_str())
            .bind(key.scope.region.as_str())
            .bind(key.name.as_str())
            .bind(key.alias.as_str())
            .execute(&mut *transaction)
            .await?;
        attached::clear(&mut transaction, &key.scope, &key.name, key.alias.as_str()).await?;
        transaction.commit().await?;
        Ok(done.rows_affected() == 1)
    }

    /// Up to `limit` aliases of a function in order of name, after `after`; only those that lead to `version`,
    /// if one is given.
    pub async fn list_aliases(
        &self,
        scope: &Scope,
        name: &FunctionName,
        version: Option<Version>,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<AliasRow>, StoreError> {
        let sql = format!(
            "SELECT {COLUMNS} FROM function_alias WHERE account = ?1 AND region = ?2 AND name = ?3 AND alias > ?4
             AND (?5 IS NULL OR version = ?5 OR additional_version = ?5) ORDER BY alias LIMIT ?6"
        );
        let rows = sqlx::query(sqlx::AssertSqlSafe(sql))
            .bind(scope.account.as_str())
            .bind(scope.region.as_str())
            .bind(name.as_str())
            .bind(after.unwrap_or_default())
            .bind(version.map(|version| version.to_string()))
            .bind(limit as i64)
            .fetch_all(&self.main)
            .await?;
        rows.iter().map(decode).collect()
    }
}

fn decode(row: &SqliteRow) -> Result<AliasRow, StoreError> {
    let damaged = |detail: String| StoreError::Damaged { what: "alias", detail };
    let text = |column: &str| row.get::<String, _>(column);
    let version = |text: String| Version::parse(&text).ok_or_else(|| damaged(text));
    let (account, region) = (text("account"), text("region"));
    let additional = row.get::<Option<String>, _>("additional_version").map(version).transpose()?;
    Ok(AliasRow {
        key: AliasKey {
            scope: Scope {
                account: lambd_types::AccountId::parse(&account).ok_or_else(|| damaged(account))?,
                region: lambd_types::Region::parse(&region).ok_or_else(|| damaged(region))?,
            },
            name: FunctionName::parse(&text("name")).map_err(|e| damaged(e.to_string()))?,
            alias: AliasName::parse(&text("alias")).map_err(|e| damaged(e.to_string()))?,
        },
        revision: RevisionId::from_stored(text("revision")),
        description: text("description"),
        version: version(text("version"))?,
        additional: additional.map(|version| (version, row.get("additional_weight"))),
    })
}

#[cfg(test)]
mod tests {
    use lambd_types::{AccountId, Region};

    use super::*;
    use crate::DataDir;

    fn row(alias: &str, version: u64, additional: Option<(Version, f64)>) -> AliasRow {
        AliasRow {
            key: AliasKey {
                scope: Scope { account: AccountId::default_local(), region: Region::default_local() },
                name: FunctionName::parse("f").unwrap(),
                alias: AliasName::parse(alias).unwrap(),
            },
            revision: RevisionId::random(),
            description: "d".into(),
            version: Version::Published(version),
            additional,
        }
    }

    #[tokio::test]
    async fn aliases_survive_reopening_and_change_by_revision() {
        let dir = tempfile::tempdir().unwrap();
        let open = || async { Store::open(DataDir::open(dir.path()).unwrap()).await.unwrap() };
        let first = row("a", 1, Some((Version::Published(2), 0.25)));
        let store = open().await;
        assert!(store.insert_alias(&first).await.unwrap());
        assert!(!store.insert_alias(&row("a", 9, None)).await.unwrap(), "the name is taken");
        drop(store);

        let store = open().await;
        assert_eq!(store.alias(&first.key).await.unwrap(), Some(first.clone()));
        let second = AliasRow { additional: None, ..row("a", 3, None) };
        assert_eq!(store.update_alias(&second, &first.revision).await.unwrap(), Updated::Yes);
        assert_eq!(store.update_alias(&first, &first.revision).await.unwrap(), Updated::Stale);
        assert_eq!(store.alias(&first.key).await.unwrap(), Some(second));
        assert!(store.delete_alias(&first.key).await.unwrap());
        assert!(!store.delete_alias(&first.key).await.unwrap());
    }

    #[tokio::test]
    async fn listing_filters_by_either_version_and_pages_by_name() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(DataDir::open(dir.path()).unwrap()).await.unwrap();
        let rows = [row("c", 1, Some((Version::Published(2), 0.5))), row("a", 1, None), row("b", 3, None)];
        for row in &rows {
            store.insert_alias(row).await.unwrap();
        }
        let key = &rows[0].key;
        let list = async |version: Option<u64>, after: Option<&str>, limit| {
            let version = version.map(Version::Published);
            let found = store.list_aliases(&key.scope, &key.name, version, after, limit).await.unwrap();
            found.into_iter().map(|row| row.key.alias.to_string()).collect::<Vec<_>>()
        };
        assert_eq!(list(None, None, 2).await, ["a", "b"]);
        assert_eq!(list(None, Some("b"), 2).await, ["c"]);
        assert_eq!(list(Some(2), None, 9).await, ["c"]);
        assert_eq!(list(Some(1), None, 9).await, ["a", "c"]);
    }
}
