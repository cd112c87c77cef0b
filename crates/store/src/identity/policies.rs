//! Managed policies of an account, with their versions.

use std::collections::BTreeMap;

use lambd_types::{AccountId, UnixMillis};
use sqlx::sqlite::SqliteRow;
use sqlx::{Row as _, SqliteConnection};

use super::{Identity, Page, tags_of_json, tags_to_json};
use crate::StoreError;

/// A managed policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyRow {
    /// Name, unique in the account.
    pub name: String,
    /// Path; begins and ends with a slash.
    pub path: String,
    /// Unique id, `ANPA` and 17 characters.
    pub id: String,
    /// When it was made.
    pub created: UnixMillis,
    /// When its versions changed last.
    pub updated: UnixMillis,
    /// Free text.
    pub description: Option<String>,
    /// The version in force.
    pub default_version: i64,
    /// Tags.
    pub tags: BTreeMap<String, String>,
}

/// A version of a managed policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyVersionRow {
    /// From 1.
    pub version: i64,
    /// When it was made.
    pub created: UnixMillis,
    /// JSON text.
    pub document: String,
}

/// What became of the deletion of a policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PolicyDeletion {
    /// It is gone.
    Deleted,
    /// There was none.
    Missing,
    /// It stays: a role has it.
    Attached,
    /// It stays: it has versions besides the default one.
    HasVersions,
}

/// What became of the deletion of a policy's version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VersionDeletion {
    /// It is gone.
    Deleted,
    /// There was none.
    Missing,
    /// It stays: it is the default version.
    Default,
}

impl Identity<'_> {
    /// Adds a policy with its first version. `false` when the name is taken.
    pub async fn insert_policy(
        &self,
        account: &AccountId,
        policy: &PolicyRow,
        document: &str,
    ) -> Result<bool, StoreError> {
        let mut transaction = self.pool.begin_with("BEGIN IMMEDIATE").await?;
        let sql = "INSERT INTO iam_policy (account, name, path, id, created, updated, description, default_version, \
                   last_version, tags) VALUES (?,?,?,?,?,?,?,1,1,?) ON CONFLICT DO NOTHING";
        let done = sqlx::query(sql)
            .bind(account.as_str())
            .bind(&policy.name)
            .bind(&policy.path)
            .bind(&policy.id)
            .bind(policy.created.0)
            .bind(policy.updated.0)
            .bind(&policy.description)
            .bind(tags_to_json(&policy.tags)?)
            .execute(&mut *transaction)
            .await?;
        if done.rows_affected() == 0 {
            return Ok(false);
        }
        let first = PolicyVersionRow { version: 1, created: policy.created, document: document.to_owned() };
        insert_version(&mut transaction, account, &policy.name, &first).await?;
        transaction.commit().await?;
        Ok(true)
    }

    /// A policy.
    pub async fn policy(&self, account: &AccountId, name: &str) -> Result<Option<PolicyRow>, StoreError> {
        let row = sqlx::query("SELECT * FROM iam_policy WHERE account = ? AND name = ?")
            .bind(account.as_str())
            .bind(name)
            .fetch_optional(self.pool)
            .await?;
        row.map(|row| policy_of(&row)).transpose()
    }

    /// Policies whose path begins with `path_prefix`.
    pub async fn policies(
        &self,
        account: &AccountId,
        path_prefix: &str,
        page: Page<'_>,
    ) -> Result<Vec<PolicyRow>, StoreError> {
        let sql = "SELECT * FROM iam_policy WHERE account = ? AND name > ? AND substr(path, 1, length(?)) = ? \
                   ORDER BY name LIMIT ?";
        let rows = sqlx::query(sql)
            .bind(account.as_str())
            .bind(page.after)
            .bind(path_prefix)
            .bind(path_prefix)
            .bind(page.limit)
            .fetch_all(self.pool)
            .await?;
        rows.iter().map(policy_of).collect()
    }

    /// Deletes a policy that is in use nowhere; `arn` is what roles know it by.
    pub async fn delete_policy(
        &self,
        account: &AccountId,
        name: &str,
        arn: &str,
    ) -> Result<PolicyDeletion, StoreError> {
        let mut transaction = self.pool.begin_with("BEGIN IMMEDIATE").await?;
        let count = "SELECT COUNT(*) FROM iam_role_attachment WHERE account = ? AND arn = ?";
        let attached: i64 =
            sqlx::query_scalar(count).bind(account.as_str()).bind(arn).fetch_one(&mut *transaction).await?;
        if attached > 0 {
            return Ok(PolicyDeletion::Attached);
        }
        let count = "SELECT COUNT(*) FROM iam_policy_version WHERE account = ? AND policy = ?";
        let versions: i64 =
            sqlx::query_scalar(count).bind(account.as_str()).bind(name).fetch_one(&mut *transaction).await?;
        if versions > 1 {
            return Ok(PolicyDeletion::HasVersions);
        }
        let done = sqlx::query("DELETE FROM iam_policy WHERE account = ? AND name = ?")
            .bind(account.as_str())
            .bind(name)
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok(if done.rows_affected() == 1 { PolicyDeletion::Deleted } else { PolicyDeletion::Missing })
    }

    /// Versions of a policy, oldest first.
    pub async fn policy_versions(
        &self,
        account: &AccountId,
        policy: &str,
    ) -> Result<Vec<PolicyVersionRow>, StoreError> {
        let sql = "SELECT * FROM iam_policy_version WHERE account = ? AND policy = ? ORDER BY version";
        let rows = sqlx::query(sql).bind(account.as_str()).bind(policy).fetch_all(self.pool).await?;
        Ok(rows.iter().map(version_of).collect())
    }

    /// Adds a version and returns it; `None` when the policy is gone.
    pub async fn add_policy_version(
        &self,
        account: &AccountId,
        policy: &str,
        document: &str,
        now: UnixMillis,
        set_default: bool,
    ) -> Result<Option<PolicyVersionRow>, StoreError> {
        let mut transaction = self.pool.begin_with("BEGIN IMMEDIATE").await?;
        let sql = "UPDATE iam_policy SET last_version = last_version + 1, updated = ?, \
                   default_version = CASE WHEN ? THEN last_version + 1 ELSE default_version END \
                   WHERE account = ? AND name = ? RETURNING last_version";
        let version: Option<i64> = sqlx::query_scalar(sql)
            .bind(now.0)
            .bind(set_default)
            .bind(account.as_str())
            .bind(policy)
            .fetch_optional(&mut *transaction)
            .await?;
        let Some(version) = version else { return Ok(None) };
        let row = PolicyVersionRow { version, created: now, document: document.to_owned() };
        insert_version(&mut transaction, account, policy, &row).await?;
        transaction.commit().await?;
        Ok(Some(row))
    }

    /// Puts another version in force. `false` when there is no such version.
    pub async fn set_default_policy_version(
        &self,
        account: &AccountId,
        policy: &str,
        version: i64,
        now: UnixMillis,
    ) -> Result<bool, StoreError> {
        let sql = "UPDATE iam_policy SET default_version = ?, updated = ? WHERE account = ? AND name = ? AND EXISTS \
                   (SELECT 1 FROM iam_policy_version v WHERE v.account = ? AND v.policy = ? AND v.version = ?)";
        let done = sqlx::query(sql)
            .bind(version)
            .bind(now.0)
            .bind(account.as_str())
            .bind(policy)
            .bind(account.as_str())
            .bind(policy)
            .bind(version)
            .execute(self.pool)
            .await?;
        Ok(done.rows_affected() == 1)
    }

    /// Deletes a version that is not in force.
    pub async fn delete_policy_version(
        &self,
        account: &AccountId,
        policy: &str,
        version: i64,
    ) -> Result<VersionDeletion, StoreError> {
        let mut transaction = self.pool.begin_with("BEGIN IMMEDIATE").await?;
        let sql = "SELECT 1 FROM iam_policy WHERE account = ? AND name = ? AND default_version = ?";
        let default: Option<i64> = sqlx::query_scalar(sql)
            .bind(account.as_str())
            .bind(policy)
            .bind(version)
            .fetch_optional(&mut *transaction)
            .await?;
        if default.is_some() {
            return Ok(VersionDeletion::Default);
        }
        let done =
            sqlx::query("DELETE FROM iam_policy_version WHERE account = ? AND policy = ? AND version = ?")
                .bind(account.as_str())
                .bind(policy)
                .bind(version)
                .execute(&mut *transaction)
                .await?;
        transaction.commit().await?;
        Ok(if done.rows_affected() == 1 { VersionDeletion::Deleted } else { VersionDeletion::Missing })
    }
}

async fn insert_version(
    connection: &mut SqliteConnection,
    account: &AccountId,
    policy: &str,
    row: &PolicyVersionRow,
) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO iam_policy_version (account, policy, version, created, document) VALUES (?,?,?,?,?)",
    )
    .bind(account.as_str())
    .bind(policy)
    .bind(row.version)
    .bind(row.created.0)
    .bind(&row.document)
    .execute(connection)
    .await?;
    Ok(())
}

fn version_of(row: &SqliteRow) -> PolicyVersionRow {
    PolicyVersionRow {
        version: row.get("version"),
        created: UnixMillis(row.get("created")),
        document: row.get("document"),
    }
}

fn policy_of(row: &SqliteRow) -> Result<PolicyRow, StoreError> {
    Ok(PolicyRow {
        name: row.get("name"),
        path: row.get("path"),
        id: row.get("id"),
        created: UnixMillis(row.get("created")),
        updated: UnixMillis(row.get("updated")),
        description: row.get("description"),
        default_version: row.get("default_version"),
        tags: tags_of_json(row.get("tags"), "policy")?,
    })
}
