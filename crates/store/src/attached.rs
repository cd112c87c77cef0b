//! What hangs on a function, a version or an alias beside its code and configuration: at most one document of each
//! kind. It goes when its holder goes.

mod concurrency;
mod documents;

use lambd_types::{FunctionName, Qualifier, RevisionId, Scope, Version};
use serde::Serialize;
use serde::de::DeserializeOwned;
use sqlx::{Sqlite, Transaction};

pub use documents::{
    CodeSigning, Cors, EventInvoke, Policy, ProvisionedConcurrency, Recursion, ReservedConcurrency,
    RuntimeManagement, UrlConfig,
};

use crate::{Store, StoreError};

/// A kind of document.
pub trait Attached: Serialize + DeserializeOwned {
    /// Its name in the database.
    const KIND: &'static str;
}

/// What a document hangs on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// Account and region.
    pub scope: Scope,
    /// The function.
    pub name: FunctionName,
    /// Its version or alias; `None` for the function as a whole.
    pub qualifier: Option<Qualifier>,
}

impl Holder {
    fn qualifier(&self) -> String {
        self.qualifier.as_ref().map(ToString::to_string).unwrap_or_default()
    }
}

impl Store {
    /// The document of one kind that hangs here.
    pub async fn attached<T: Attached>(&self, holder: &Holder) -> Result<Option<T>, StoreError> {
        let text: Option<String> = sqlx::query_scalar(
            "SELECT document FROM function_attached
             WHERE account = ? AND region = ? AND name = ? AND kind = ? AND qualifier = ?",
        )
        .bind(holder.scope.account.as_str())
        .bind(holder.scope.region.as_str())
        .bind(holder.name.as_str())
        .bind(T::KIND)
        .bind(holder.qualifier())
        .fetch_optional(&self.main)
        .await?;
        text.as_deref().map(decode).transpose()
    }

    /// Hangs a document here, instead of the one of its kind that there may be.
    pub async fn attach<T: Attached>(&self, holder: &Holder, document: &T) -> Result<(), StoreError> {
        let mut transaction = self.main.begin_with("BEGIN IMMEDIATE").await?;
        put(&mut transaction, holder, document).await?;
        transaction.commit().await?;
        Ok(())
    }

    /// Takes a document away. `false` when there is none.
    pub async fn detach<T: Attached>(&self, holder: &Holder) -> Result<bool, StoreError> {
        let mut transaction = self.main.begin_with("BEGIN IMMEDIATE").await?;
        let removed = take::<T>(&mut transaction, holder).await?;
        transaction.commit().await?;
        Ok(removed)
    }

    /// Up to `limit` documents of one kind that hang on a function, its versions and aliases, in order of
    /// qualifier, after `after`.
    pub async fn list_attached<T: Attached>(
        &self,
        scope: &Scope,
        name: &FunctionName,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<(Option<Qualifier>, T)>, StoreError> {
        let rows: Vec<(String, String)> = sqlx::query_as(
            "SELECT qualifier, document FROM function_attached
             WHERE account = ?1 AND region = ?2 AND name = ?3 AND kind = ?4 AND (?5 IS NULL OR qualifier > ?5)
             ORDER BY qualifier LIMIT ?6",
        )
        .bind(scope.account.as_str())
        .bind(scope.region.as_str())
        .bind(name.as_str())
        .bind(T::KIND)
        .bind(after)
        .bind(limit as i64)
        .fetch_all(&self.main)
        .await?;
        let item = |(qualifier, text): &(String, String)| {
            let qualifier = match qualifier.as_str() {
                "" => None,
                some => Some(Qualifier::parse(some).map_err(|e| damaged(e.to_string()))?),
            };
            Ok((qualifier, decode(text)?))
        };
        rows.iter().map(item).collect()
    }

    /// Replaces the policy of a function, a version or an alias (none takes it away), and gives its holder a new
    /// revision with it.
    pub async fn replace_policy(
        &self,
        holder: &Holder,
        policy: Option<&Policy>,
        revision: &RevisionId,
    ) -> Result<(), StoreError> {
        let mut transaction = self.main.begin_with("BEGIN IMMEDIATE").await?;
        match policy {
            Some(policy) => put(&mut transaction, holder, policy).await?,
            None => {
                take::<Policy>(&mut transaction, holder).await?;
            }
        }
        let (sql, key) = match &holder.qualifier {
            Some(Qualifier::Alias(alias)) => (
                "UPDATE function_alias SET revision = ? WHERE account = ? AND region = ? AND name = ? AND alias = ?",
                alias.to_string(),
            ),
            other => {
                let version = match other {
                    Some(Qualifier::Version(version)) => *version,
                    _ => Version::Latest,
                };
                (
                    "UPDATE function SET revision = ? WHERE account = ? AND region = ? AND name = ? AND version = ?",
                    version.to_string(),
                )
            }
        };
        sqlx::query(sql)
            .bind(revision.as_str())
            .bind(holder.scope.account.as_str())
            .bind(holder.scope.region.as_str())
            .bind(holder.name.as_str())
            .bind(key)
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok(())
    }
}

/// Hangs a document here as part of a transaction.
pub(crate) async fn put<T: Attached>(
    transaction: &mut Transaction<'_, Sqlite>,
    holder: &Holder,
    document: &T,
) -> Result<(), StoreError> {
    sqlx::query("INSERT OR REPLACE INTO function_attached VALUES (?,?,?,?,?,?)")
        .bind(holder.scope.account.as_str())
        .bind(holder.scope.region.as_str())
        .bind(holder.name.as_str())
        .bind(holder.qualifier())
        .bind(T::KIND)
        .bind(serde_json::to_string(document).map_err(|e| damaged(e.to_string()))?)
        .execute(&mut **transaction)
        .await?;
    Ok(())
}

async fn take<T: Attached>(
    transaction: &mut Transaction<'_, Sqlite>,
    holder: &Holder,
) -> Result<bool, StoreError> {
    let done = sqlx::query(
        "DELETE FROM function_attached WHERE account = ? AND region = ? AND name = ? AND kind = ? AND qualifier = ?",
    )
    .bind(holder.scope.account.as_str())
    .bind(holder.scope.region.as_str())
    .bind(holder.name.as_str())
    .bind(T::KIND)
    .bind(holder.qualifier())
    .execute(&mut **transaction)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Takes away everything that hangs on a version or an alias.
pub(crate) async fn clear(
    transaction: &mut Transaction<'_, Sqlite>,
    scope: &Scope,
    name: &FunctionName,
    qualifier: &str,
) -> Result<(), StoreError> {
    sqlx::query(
        "DELETE FROM function_attached WHERE account = ? AND region = ? AND name = ? AND qualifier = ?",
    )
    .bind(scope.account.as_str())
    .bind(scope.region.as_str())
    .bind(name.as_str())
    .bind(qualifier)
    .execute(&mut **transaction)
    .await?;
    Ok(())
}

pub(crate) fn decode<T: DeserializeOwned>(text: &str) -> Result<T, StoreError> {
    serde_json::from_str(text).map_err(|e| damaged(e.to_string()))
}

fn damaged(detail: String) -> StoreError {
    StoreError::Damaged { what: "document of a function", detail }
}

#[cfg(test)]
mod tests;
