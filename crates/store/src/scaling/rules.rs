//! Scaling policies and scheduled actions.

use lambd_types::{Scope, UnixMillis};
use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;

use super::{encode, scope};
use crate::{Store, StoreError};

/// What a rule is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RuleKind {
    /// A scaling policy.
    Policy,
    /// A scheduled action.
    Action,
}

impl RuleKind {
    fn as_str(self) -> &'static str {
        match self {
            Self::Policy => "policy",
            Self::Action => "action",
        }
    }
}

/// A scaling policy or a scheduled action.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleRow {
    /// Account and region.
    pub scope: Scope,
    /// Which of both.
    pub kind: RuleKind,
    /// What is scaled.
    pub resource: String,
    /// Its name, which no other of its kind has on this resource.
    pub name: String,
    /// What it is to do, as JSON that its owner reads.
    pub settings: String,
    /// When it was made.
    pub created: UnixMillis,
    /// When it is to act next.
    pub due: Option<UnixMillis>,
}

/// Which rules a list is to have.
#[derive(Debug, Clone, Copy, Default)]
pub struct RuleFilter<'a> {
    /// Those of this resource.
    pub resource: Option<&'a str>,
    /// Those with one of these names; all when there are none.
    pub names: &'a [String],
}

const COLUMNS: &str = "account, region, kind, resource, name, settings, created, due";

impl Store {
    /// A rule by name.
    pub async fn scaling_rule(
        &self,
        scope: &Scope,
        kind: RuleKind,
        resource: &str,
        name: &str,
    ) -> Result<Option<RuleRow>, StoreError> {
        let names = [name.to_owned()];
        let filter = RuleFilter { resource: Some(resource), names: &names };
        Ok(self.list_scaling_rules(scope, kind, filter, None, 1).await?.pop())
    }

    /// Up to `limit` rules of one kind in order of resource and name, after the resource and name `after`.
    pub async fn list_scaling_rules(
        &self,
        scope: &Scope,
        kind: RuleKind,
        filter: RuleFilter<'_>,
        after: Option<(&str, &str)>,
        limit: usize,
    ) -> Result<Vec<RuleRow>, StoreError> {
        let (resource, name) = after.unwrap_or_default();
        let sql = format!(
            "SELECT {COLUMNS} FROM scaling_rule WHERE account = ?1 AND region = ?2 AND kind = ?3
             AND (resource, name) > (?4, ?5) AND (?6 IS NULL OR resource = ?6)
             AND (?7 = '[]' OR name IN (SELECT value FROM json_each(?7))) ORDER BY resource, name LIMIT ?8"
        );
        let rows = sqlx::query(sqlx::AssertSqlSafe(sql))
            .bind(scope.account.as_str())
            .bind(scope.region.as_str())
            .bind(kind.as_str())
            .bind(resource)
            .bind(name)
            .bind(filter.resource)
            .bind(encode(&filter.names)?)
            .bind(limit as i64)
            .fetch_all(&self.main)
            .await?;
        rows.iter().map(|row| decode(row, kind)).collect()
    }

    /// How many rules of a kind a resource has.
    pub async fn count_scaling_rules(
        &self,
        scope: &Scope,
        kind: RuleKind,
        resource: &str,
    ) -> Result<u64, StoreError> {
        let count: i64 = sqlx::query_scalar(
            "SELECT COUNT(*) FROM scaling_rule WHERE account = ? AND region = ? AND kind = ? AND resource = ?",
        )
        .bind(scope.account.as_str())
        .bind(scope.region.as_str())
        .bind(kind.as_str())
        .bind(resource)
        .fetch_one(&self.main)
        .await?;
        Ok(count as u64)
    }

    /// The policies of all accounts.
    pub async fn all_scaling_policies(&self) -> Result<Vec<RuleRow>, StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM scaling_rule WHERE kind = 'policy'");
        let rows = sqlx::query(sqlx::AssertSqlSafe(sql)).fetch_all(&self.main).await?;
        rows.iter().map(|row| decode(row, RuleKind::Policy)).collect()
    }

    /// The scheduled actions of all accounts that are to act at `now` or were to before.
    pub async fn due_scaling_actions(&self, now: UnixMillis) -> Result<Vec<RuleRow>, StoreError> {
        let sql = format!(
            "SELECT {COLUMNS} FROM scaling_rule WHERE due IS NOT NULL AND due <= ? ORDER BY due, resource, name"
        );
        let rows = sqlx::query(sqlx::AssertSqlSafe(sql)).bind(now.0).fetch_all(&self.main).await?;
        rows.iter().map(|row| decode(row, RuleKind::Action)).collect()
    }

    /// When the next scheduled action is to act.
    pub async fn next_scaling_action(&self) -> Result<Option<UnixMillis>, StoreError> {
        let due: Option<i64> = sqlx::query_scalar("SELECT MIN(due) FROM scaling_rule WHERE due IS NOT NULL")
            .fetch_one(&self.main)
            .await?;
        Ok(due.map(UnixMillis))
    }

    /// Stores a rule, instead of the one of its name that there may be. Its target must exist.
    pub async fn put_scaling_rule(&self, rule: &RuleRow) -> Result<(), StoreError> {
        let sql = format!(
            "INSERT INTO scaling_rule ({COLUMNS}) VALUES (?,?,?,?,?,?,?,?)
             ON CONFLICT (account, region, kind, resource, name)
             DO UPDATE SET settings = excluded.settings, due = excluded.due"
        );
        sqlx::query(sqlx::AssertSqlSafe(sql))
            .bind(rule.scope.account.as_str())
            .bind(rule.scope.region.as_str())
            .bind(rule.kind.as_str())
            .bind(&rule.resource)
            .bind(&rule.name)
            .bind(&rule.settings)
            .bind(rule.created.0)
            .bind(rule.due.map(|due| due.0))
            .execute(&self.main)
            .await?;
        Ok(())
    }

    /// Removes a rule. `false` when there is none.
    pub async fn delete_scaling_rule(
        &self,
        scope: &Scope,
        kind: RuleKind,
        resource: &str,
        name: &str,
    ) -> Result<bool, StoreError> {
        let done = sqlx::query(
            "DELETE FROM scaling_rule WHERE account = ? AND region = ? AND kind = ? AND resource = ? AND name = ?",
        )
        .bind(scope.account.as_str())
        .bind(scope.region.as_str())
        .bind(kind.as_str())
        .bind(resource)
        .bind(name)
        .execute(&self.main)
        .await?;
        Ok(done.rows_affected() == 1)
    }
}

fn decode(row: &SqliteRow, kind: RuleKind) -> Result<RuleRow, StoreError> {
    Ok(RuleRow {
        scope: scope(row)?,
        kind,
        resource: row.get("resource"),
        name: row.get("name"),
        settings: row.get("settings"),
        created: UnixMillis(row.get("created")),
        due: row.get::<Option<i64>, _>("due").map(UnixMillis),
    })
}
