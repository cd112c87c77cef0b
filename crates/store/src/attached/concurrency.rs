//! Executions that functions have for themselves.

use lambd_types::{AccountId, FunctionName, Region, Scope};

use super::{Attached, ProvisionedConcurrency, ReservedConcurrency, damaged, decode};
use crate::{Store, StoreError};

impl Store {
    /// All reservations of concurrency, of all accounts.
    pub async fn reservations(&self) -> Result<Vec<(Scope, FunctionName, ReservedConcurrency)>, StoreError> {
        let rows: Vec<(String, String, String, String)> =
            sqlx::query_as("SELECT account, region, name, document FROM function_attached WHERE kind = ?")
                .bind(ReservedConcurrency::KIND)
                .fetch_all(&self.main)
                .await?;
        let item = |(account, region, name, text): &(String, String, String, String)| {
            let (scope, name) = function(account, region, name)?;
            Ok((scope, name, decode(text)?))
        };
        rows.iter().map(item).collect()
    }

    /// The functions with provisioned concurrency, of all accounts.
    pub async fn provisioned_functions(&self) -> Result<Vec<(Scope, FunctionName)>, StoreError> {
        let rows: Vec<(String, String, String)> =
            sqlx::query_as("SELECT DISTINCT account, region, name FROM function_attached WHERE kind = ?")
                .bind(ProvisionedConcurrency::KIND)
                .fetch_all(&self.main)
                .await?;
        rows.iter().map(|(account, region, name)| function(account, region, name)).collect()
    }

    /// Executions that functions of an account and region other than `except` have for themselves: what they have
    /// reserved, or what is provisioned for those that have reserved nothing.
    pub async fn claimed_concurrency(
        &self,
        scope: &Scope,
        except: Option<&FunctionName>,
    ) -> Result<u64, StoreError> {
        let sum: i64 = sqlx::query_scalar(
            "SELECT COALESCE(SUM(claimed), 0) FROM (
                 SELECT COALESCE(
                     MAX(CASE kind WHEN ?4 THEN CAST(document AS INTEGER) END),
                     SUM(CASE kind WHEN ?5 THEN json_extract(document, '$.executions') END)
                 ) AS claimed
                 FROM function_attached
                 WHERE account = ?1 AND region = ?2 AND kind IN (?4, ?5) AND name <> ?3
                 GROUP BY name
             )",
        )
        .bind(scope.account.as_str())
        .bind(scope.region.as_str())
        .bind(except.map(FunctionName::as_str).unwrap_or_default())
        .bind(ReservedConcurrency::KIND)
        .bind(ProvisionedConcurrency::KIND)
        .fetch_one(&self.main)
        .await?;
        Ok(sum as u64)
    }
}

fn function(account: &str, region: &str, name: &str) -> Result<(Scope, FunctionName), StoreError> {
    let scope = Scope {
        account: AccountId::parse(account).ok_or_else(|| damaged(account.to_owned()))?,
        region: Region::parse(region).ok_or_else(|| damaged(region.to_owned()))?,
    };
    Ok((scope, FunctionName::parse(name).map_err(|e| damaged(e.to_string()))?))
}
