//! Roles, their inline policies and what is attached to them.

use std::collections::BTreeMap;

use lambd_types::{AccountId, UnixMillis};
use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;

use super::{Identity, Page, tags_of_json, tags_to_json};
use crate::StoreError;

/// A role.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoleRow {
    /// Name, unique in the account.
    pub name: String,
    /// Path; begins and ends with a slash.
    pub path: String,
    /// Unique id, `AROA` and 17 characters.
    pub id: String,
    /// When it was made.
    pub created: UnixMillis,
    /// Who may assume it, as JSON text.
    pub trust_policy: String,
    /// Free text.
    pub description: Option<String>,
    /// Longest session in seconds.
    pub max_session: i64,
    /// ARN of the policy that bounds its permissions.
    pub permissions_boundary: Option<String>,
    /// Tags.
    pub tags: BTreeMap<String, String>,
}

/// A policy that is part of a role.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InlinePolicyRow {
    /// Name within the role.
    pub name: String,
    /// JSON text.
    pub document: String,
}

/// What became of the deletion of a role.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RoleDeletion {
    /// It is gone.
    Deleted,
    /// There was none.
    Missing,
    /// It stays: it has managed policies.
    HasAttachments,
    /// It stays: it has inline policies.
    HasInlinePolicies,
}

impl Identity<'_> {
    /// Adds a role. `false` when the name is taken.
    pub async fn insert_role(&self, account: &AccountId, role: &RoleRow) -> Result<bool, StoreError> {
        let sql = "INSERT INTO iam_role (account, name, path, id, created, trust_policy, description, max_session, \
                   permissions_boundary, tags) VALUES (?,?,?,?,?,?,?,?,?,?) ON CONFLICT DO NOTHING";
        let done = sqlx::query(sql)
            .bind(account.as_str())
            .bind(&role.name)
            .bind(&role.path)
            .bind(&role.id)
            .bind(role.created.0)
            .bind(&role.trust_policy)
            .bind(&role.description)
            .bind(role.max_session)
            .bind(&role.permissions_boundary)
            .bind(tags_to_json(&role.tags)?)
            .execute(self.pool)
            .await?;
        Ok(done.rows_affected() == 1)
    }

    /// A role.
    pub async fn role(&self, account: &AccountId, name: &str) -> Result<Option<RoleRow>, StoreError> {
        let row = sqlx::query("SELECT * FROM iam_role WHERE account = ? AND name = ?")
            .bind(account.as_str())
            .bind(name)
            .fetch_optional(self.pool)
            .await?;
        row.map(|row| role_of(&row)).transpose()
    }

    /// Roles whose path begins with `path_prefix`.
    pub async fn roles(
        &self,
        account: &AccountId,
        path_prefix: &str,
        page: Page<'_>,
    ) -> Result<Vec<RoleRow>, StoreError> {
        let sql = "SELECT * FROM iam_role WHERE account = ? AND name > ? AND substr(path, 1, length(?)) = ? \
                   ORDER BY name LIMIT ?";
        let rows = sqlx::query(sql)
            .bind(account.as_str())
            .bind(page.after)
            .bind(path_prefix)
            .bind(path_prefix)
            .bind(page.limit)
            .fetch_all(self.pool)
            .await?;
        rows.iter().map(role_of).collect()
    }

    /// Replaces what can change of a role: all but name, path, id and creation. `false` when it is gone.
    pub async fn update_role(&self, account: &AccountId, role: &RoleRow) -> Result<bool, StoreError> {
        let sql = "UPDATE iam_role SET trust_policy = ?, description = ?, max_session = ?, \
                   permissions_boundary = ?, tags = ? WHERE account = ? AND name = ?";
        let done = sqlx::query(sql)
            .bind(&role.trust_policy)
            .bind(&role.description)
            .bind(role.max_session)
            .bind(&role.permissions_boundary)
            .bind(tags_to_json(&role.tags)?)
            .bind(account.as_str())
            .bind(&role.name)
            .execute(self.pool)
            .await?;
        Ok(done.rows_affected() == 1)
    }

    /// Deletes a role that has no policies.
    pub async fn delete_role(&self, account: &AccountId, name: &str) -> Result<RoleDeletion, StoreError> {
        let mut transaction = self.pool.begin_with("BEGIN IMMEDIATE").await?;
        for (sql, refusal) in [
            (
                "SELECT 1 FROM iam_role_attachment WHERE account = ? AND role = ? LIMIT 1",
                RoleDeletion::HasAttachments,
            ),
            (
                "SELECT 1 FROM iam_role_policy WHERE account = ? AND role = ? LIMIT 1",
                RoleDeletion::HasInlinePolicies,
            ),
        ] {
            let found: Option<i64> = sqlx::query_scalar(sql)
                .bind(account.as_str())
                .bind(name)
                .fetch_optional(&mut *transaction)
                .await?;
            if found.is_some() {
                return Ok(refusal);
            }
        }
        let done = sqlx::query("DELETE FROM iam_role WHERE account = ? AND name = ?")
            .bind(account.as_str())
            .bind(name)
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok(if done.rows_affected() == 1 { RoleDeletion::Deleted } else { RoleDeletion::Missing })
    }

    /// Adds or replaces an inline policy. `false` when the role is gone.
    pub async fn put_role_policy(
        &self,
        account: &AccountId,
        role: &str,
        policy: &InlinePolicyRow,
    ) -> Result<bool, StoreError> {
        let sql = "INSERT INTO iam_role_policy (account, role, name, document) \
                   SELECT account, name, ?, ? FROM iam_role WHERE account = ? AND name = ? \
                   ON CONFLICT (account, role, name) DO UPDATE SET document = excluded.document";
        let done = sqlx::query(sql)
            .bind(&policy.name)
            .bind(&policy.document)
            .bind(account.as_str())
            .bind(role)
            .execute(self.pool)
            .await?;
        Ok(done.rows_affected() == 1)
    }

    /// An inline policy.
    pub async fn role_policy(
        &self,
        account: &AccountId,
        role: &str,
        name: &str,
    ) -> Result<Option<InlinePolicyRow>, StoreError> {
        let sql = "SELECT name, document FROM iam_role_policy WHERE account = ? AND role = ? AND name = ?";
        let row =
            sqlx::query(sql).bind(account.as_str()).bind(role).bind(name).fetch_optional(self.pool).await?;
        Ok(row.map(|row| InlinePolicyRow { name: row.get("name"), document: row.get("document") }))
    }

    /// Names of a role's inline policies.
    pub async fn role_policy_names(
        &self,
        account: &AccountId,
        role: &str,
        page: Page<'_>,
    ) -> Result<Vec<String>, StoreError> {
        let sql = "SELECT name FROM iam_role_policy WHERE account = ? AND role = ? AND name > ? ORDER BY name LIMIT ?";
        Ok(sqlx::query_scalar(sql)
            .bind(account.as_str())
            .bind(role)
            .bind(page.after)
            .bind(page.limit)
            .fetch_all(self.pool)
            .await?)
    }

    /// Deletes an inline policy. `false` when there is none.
    pub async fn delete_role_policy(
        &self,
        account: &AccountId,
        role: &str,
        name: &str,
    ) -> Result<bool, StoreError> {
        let sql = "DELETE FROM iam_role_policy WHERE account = ? AND role = ? AND name = ?";
        let done = sqlx::query(sql).bind(account.as_str()).bind(role).bind(name).execute(self.pool).await?;
        Ok(done.rows_affected() == 1)
    }

    /// Attaches a managed policy; again is no change. `false` when the role is gone.
    pub async fn attach_role_policy(
        &self,
        account: &AccountId,
        role: &str,
        arn: &str,
    ) -> Result<bool, StoreError> {
        let sql = "INSERT INTO iam_role_attachment (account, role, arn) \
                   SELECT account, name, ? FROM iam_role WHERE account = ? AND name = ? \
                   ON CONFLICT (account, role, arn) DO UPDATE SET arn = excluded.arn";
        let done = sqlx::query(sql).bind(arn).bind(account.as_str()).bind(role).execute(self.pool).await?;
        Ok(done.rows_affected() == 1)
    }

    /// Detaches a managed policy. `false` when it is not attached.
    pub async fn detach_role_policy(
        &self,
        account: &AccountId,
        role: &str,
        arn: &str,
    ) -> Result<bool, StoreError> {
        let sql = "DELETE FROM iam_role_attachment WHERE account = ? AND role = ? AND arn = ?";
        let done = sqlx::query(sql).bind(account.as_str()).bind(role).bind(arn).execute(self.pool).await?;
        Ok(done.rows_affected() == 1)
    }

    /// ARNs of a role's managed policies, in their order; [`Page::after`] is an ARN here.
    pub async fn attached_policies(
        &self,
        account: &AccountId,
        role: &str,
        page: Page<'_>,
    ) -> Result<Vec<String>, StoreError> {
        let sql = "SELECT arn FROM iam_role_attachment WHERE account = ? AND role = ? AND arn > ? ORDER BY arn LIMIT ?";
        Ok(sqlx::query_scalar(sql)
            .bind(account.as_str())
            .bind(role)
            .bind(page.after)
            .bind(page.limit)
            .fetch_all(self.pool)
            .await?)
    }

    /// How many roles a managed policy is attached to.
    pub async fn attachment_count(&self, account: &AccountId, arn: &str) -> Result<i64, StoreError> {
        let sql = "SELECT COUNT(*) FROM iam_role_attachment WHERE account = ? AND arn = ?";
        Ok(sqlx::query_scalar(sql).bind(account.as_str()).bind(arn).fetch_one(self.pool).await?)
    }
}

fn role_of(row: &SqliteRow) -> Result<RoleRow, StoreError> {
    Ok(RoleRow {
        name: row.get("name"),
        path: row.get("path"),
        id: row.get("id"),
        created: UnixMillis(row.get("created")),
        trust_policy: row.get("trust_policy"),
        description: row.get("description"),
        max_session: row.get("max_session"),
        permissions_boundary: row.get("permissions_boundary"),
        tags: tags_of_json(row.get("tags"), "role")?,
    })
}
