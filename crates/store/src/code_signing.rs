//! Code signing configurations.

use std::collections::BTreeMap;

use lambd_types::{FunctionName, Scope};
use serde::{Deserialize, Serialize};

use crate::attached::{Attached as _, CodeSigning};
use crate::{Store, StoreError};

/// A code signing configuration, as stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CodeSigningConfig {
    /// Free text; `None` when there is none.
    pub description: Option<String>,
    /// ARNs of the signing profiles that may sign.
    pub publishers: Vec<String>,
    /// What becomes of code that nobody signed: `Warn` or `Enforce`.
    pub untrusted: String,
    /// Last change, in milliseconds since 1970.
    pub last_modified: i64,
    /// Tags, by key.
    #[serde(default)]
    pub tags: BTreeMap<String, String>,
}

/// What became of a deletion.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConfigDeleted {
    /// It is gone.
    Yes,
    /// There is none.
    Absent,
    /// Functions use it; it stays.
    InUse,
}

impl Store {
    /// Adds a configuration, or replaces the one with this id.
    pub async fn put_code_signing_config(
        &self,
        scope: &Scope,
        id: &str,
        config: &CodeSigningConfig,
    ) -> Result<(), StoreError> {
        sqlx::query("INSERT OR REPLACE INTO code_signing_config VALUES (?,?,?,?)")
            .bind(scope.account.as_str())
            .bind(scope.region.as_str())
            .bind(id)
            .bind(serde_json::to_string(config).map_err(|e| damaged(e.to_string()))?)
            .execute(&self.main)
            .await?;
        Ok(())
    }

    /// One configuration.
    pub async fn code_signing_config(
        &self,
        scope: &Scope,
        id: &str,
    ) -> Result<Option<CodeSigningConfig>, StoreError> {
        let text: Option<String> = sqlx::query_scalar(
            "SELECT document FROM code_signing_config WHERE account = ? AND region = ? AND id = ?",
        )
        .bind(scope.account.as_str())
        .bind(scope.region.as_str())
        .bind(id)
        .fetch_optional(&self.main)
        .await?;
        text.as_deref().map(decode).transpose()
    }

    /// Deletes a configuration that no function uses. `arn` is its name as functions store it.
    pub async fn delete_code_signing_config(
        &self,
        scope: &Scope,
        id: &str,
        arn: &str,
    ) -> Result<ConfigDeleted, StoreError> {
        let mut transaction = self.main.begin_with("BEGIN IMMEDIATE").await?;
        let users: i64 = sqlx::query_scalar(
            "SELECT COUNT(*) FROM function_attached
             WHERE account = ? AND region = ? AND kind = ? AND json_extract(document, '$') = ?",
        )
        .bind(scope.account.as_str())
        .bind(scope.region.as_str())
        .bind(CodeSigning::KIND)
        .bind(arn)
        .fetch_one(&mut *transaction)
        .await?;
        if users > 0 {
            return Ok(ConfigDeleted::InUse);
        }
        let done = sqlx::query("DELETE FROM code_signing_config WHERE account = ? AND region = ? AND id = ?")
            .bind(scope.account.as_str())
            .bind(scope.region.as_str())
            .bind(id)
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok(if done.rows_affected() == 1 { ConfigDeleted::Yes } else { ConfigDeleted::Absent })
    }

    /// Up to `limit` configurations in order of id, after `after`.
    pub async fn list_code_signing_configs(
        &self,
        scope: &Scope,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<(String, CodeSigningConfig)>, StoreError> {
        let rows: Vec<(String, String)> = sqlx::query_as(
            "SELECT id, document FROM code_signing_config WHERE account = ? AND region = ? AND id > ?
             ORDER BY id LIMIT ?",
        )
        .bind(scope.account.as_str())
        .bind(scope.region.as_str())
        .bind(after.unwrap_or_default())
        .bind(limit as i64)
        .fetch_all(&self.main)
        .await?;
        rows.into_iter().map(|(id, text)| Ok((id, decode(&text)?))).collect()
    }

    /// Up to `limit` functions that use a configuration, in order of name, after `after`.
    pub async fn functions_with_code_signing(
        &self,
        scope: &Scope,
        arn: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<FunctionName>, StoreError> {
        let names: Vec<String> = sqlx::query_scalar(
            "SELECT name FROM function_attached WHERE account = ? AND region = ? AND kind = ? AND name > ?
             AND json_extract(document, '$') = ? ORDER BY name LIMIT ?",
        )
        .bind(scope.account.as_str())
        .bind(scope.region.as_str())
        .bind(CodeSigning::KIND)
        .bind(after.unwrap_or_default())
        .bind(arn)
        .bind(limit as i64)
        .fetch_all(&self.main)
        .await?;
        names.iter().map(|name| FunctionName::parse(name).map_err(|e| damaged(e.to_string()))).collect()
    }
}

fn decode(text: &str) -> Result<CodeSigningConfig, StoreError> {
    serde_json::from_str(text).map_err(|e| damaged(e.to_string()))
}

fn damaged(detail: String) -> StoreError {
    StoreError::Damaged { what: "code signing configuration", detail }
}
