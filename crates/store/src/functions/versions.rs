//! Published versions.

use lambd_types::FunctionKey;

use crate::{Store, StoreError, attached};

/// What became of the deletion of a version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VersionDeleted {
    /// It is gone.
    Yes,
    /// There was none.
    Absent,
    /// These aliases lead to it; it stays.
    Aliased(Vec<String>),
}

impl Store {
    /// Deletes one published version and what hangs on it, unless an alias leads to it.
    pub async fn delete_version(&self, key: &FunctionKey) -> Result<VersionDeleted, StoreError> {
        let mut transaction = self.main.begin_with("BEGIN IMMEDIATE").await?;
        let aliases: Vec<String> = sqlx::query_scalar(
            "SELECT alias FROM function_alias WHERE account = ?1 AND region = ?2 AND name = ?3
             AND (version = ?4 OR additional_version = ?4) ORDER BY alias",
        )
        .bind(key.scope.account.as_str())
        .bind(key.scope.region.as_str())
        .bind(key.name.as_str())
        .bind(key.version.to_string())
        .fetch_all(&mut *transaction)
        .await?;
        if !aliases.is_empty() {
            return Ok(VersionDeleted::Aliased(aliases));
        }
        let sql = "DELETE FROM function WHERE account = ? AND region = ? AND name = ? AND version = ?";
        let deleted = sqlx::query(sql)
            .bind(key.scope.account.as_str())
            .bind(key.scope.region.as_str())
            .bind(key.name.as_str())
            .bind(key.version.to_string())
            .execute(&mut *transaction)
            .await?;
        attached::clear(&mut transaction, &key.scope, &key.name, &key.version.to_string()).await?;
        transaction.commit().await?;
        Ok(if deleted.rows_affected() == 1 { VersionDeleted::Yes } else { VersionDeleted::Absent })
    }
}
