//! Tags: they belong to a function as a whole, not to its versions (CORE-234).

use std::collections::BTreeMap;

use lambd_types::{FunctionName, Scope};
use sqlx::{Sqlite, Transaction};

use crate::{Store, StoreError};

impl Store {
    /// The tags of a function.
    pub async fn function_tags(
        &self,
        scope: &Scope,
        name: &FunctionName,
    ) -> Result<BTreeMap<String, String>, StoreError> {
        let rows: Vec<(String, String)> = sqlx::query_as(
            "SELECT key, value FROM function_tag WHERE account = ? AND region = ? AND name = ?",
        )
        .bind(scope.account.as_str())
        .bind(scope.region.as_str())
        .bind(name.as_str())
        .fetch_all(&self.main)
        .await?;
        Ok(rows.into_iter().collect())
    }

    /// Replaces the tags of a function; afterwards it has these and no others.
    pub async fn replace_function_tags(
        &self,
        scope: &Scope,
        name: &FunctionName,
        tags: &BTreeMap<String, String>,
    ) -> Result<(), StoreError> {
        let mut transaction = self.main.begin_with("BEGIN IMMEDIATE").await?;
        sqlx::query("DELETE FROM function_tag WHERE account = ? AND region = ? AND name = ?")
            .bind(scope.account.as_str())
            .bind(scope.region.as_str())
            .bind(name.as_str())
            .execute(&mut *transaction)
            .await?;
        insert(&mut transaction, scope, name, tags).await?;
        transaction.commit().await?;
        Ok(())
    }
}

pub(super) async fn insert(
    transaction: &mut Transaction<'_, Sqlite>,
    scope: &Scope,
    name: &FunctionName,
    tags: &BTreeMap<String, String>,
) -> Result<(), StoreError> {
    for (key, value) in tags {
        sqlx::query("INSERT INTO function_tag VALUES (?,?,?,?,?)")
            .bind(scope.account.as_str())
            .bind(scope.region.as_str())
            .bind(name.as_str())
            .bind(key)
            .bind(value)
            .execute(&mut **transaction)
            .await?;
    }
    Ok(())
}
