//! What accounts have stored. The database keeps the totals with every change (migration 7), so that they need not be
//! summed up.

use lambd_types::Scope;

use crate::{Store, StoreError};

impl Store {
    /// Functions of an account and region.
    pub async fn function_count(&self, scope: &Scope) -> Result<u64, StoreError> {
        self.usage(scope, "SELECT functions FROM account_usage WHERE account = ? AND region = ?").await
    }

    /// Bytes of all packages of an account and region, versions and layers counted.
    pub async fn code_size(&self, scope: &Scope) -> Result<u64, StoreError> {
        self.usage(scope, "SELECT code_size FROM account_usage WHERE account = ? AND region = ?").await
    }

    async fn usage(&self, scope: &Scope, sql: &'static str) -> Result<u64, StoreError> {
        let total: Option<i64> = sqlx::query_scalar(sql)
            .bind(scope.account.as_str())
            .bind(scope.region.as_str())
            .fetch_optional(&self.main)
            .await?;
        // Who never had anything has no row.
        Ok(total.unwrap_or_default() as u64)
    }
}
