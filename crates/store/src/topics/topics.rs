//! Topics.

use lambd_types::{AccountId, Region, Scope};
use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;

use super::{Texts, Topics, of_json, to_json};
use crate::StoreError;

/// A topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicRow {
    /// Its key in the database; never used again after it is deleted.
    pub id: i64,
    /// Whose it is, and where.
    pub scope: Scope,
    /// Its name.
    pub name: String,
    /// Its settings as they were made.
    pub attributes: Texts,
    /// Its tags.
    pub tags: Texts,
}

impl Topics<'_> {
    /// Makes a topic. `None` when the name is taken.
    pub async fn insert_topic(
        &self,
        scope: &Scope,
        name: &str,
        attributes: &Texts,
        tags: &Texts,
    ) -> Result<Option<TopicRow>, StoreError> {
        let sql = "INSERT INTO topic (account, region, name, attributes, tags) VALUES (?,?,?,?,?) \
                   ON CONFLICT DO NOTHING RETURNING *";
        let row = sqlx::query(sql)
            .bind(scope.account.as_str())
            .bind(scope.region.as_str())
            .bind(name)
            .bind(to_json(attributes)?)
            .bind(to_json(tags)?)
            .fetch_optional(self.pool)
            .await?;
        row.map(|row| decode(&row)).transpose()
    }

    /// A topic.
    pub async fn topic(&self, scope: &Scope, name: &str) -> Result<Option<TopicRow>, StoreError> {
        let row = sqlx::query("SELECT * FROM topic WHERE account = ? AND region = ? AND name = ?")
            .bind(scope.account.as_str())
            .bind(scope.region.as_str())
            .bind(name)
            .fetch_optional(self.pool)
            .await?;
        row.map(|row| decode(&row)).transpose()
    }

    /// Names of up to `limit` topics after `after`, in their order.
    pub async fn topic_names(
        &self,
        scope: &Scope,
        after: &str,
        limit: usize,
    ) -> Result<Vec<String>, StoreError> {
        let sql =
            "SELECT name FROM topic WHERE account = ? AND region = ? AND name > ? ORDER BY name LIMIT ?";
        Ok(sqlx::query_scalar(sql)
            .bind(scope.account.as_str())
            .bind(scope.region.as_str())
            .bind(after)
            .bind(limit as i64)
            .fetch_all(self.pool)
            .await?)
    }

    /// Replaces settings and tags. `false` when the topic is gone.
    pub async fn update_topic(&self, topic: &TopicRow) -> Result<bool, StoreError> {
        let done = sqlx::query("UPDATE topic SET attributes = ?, tags = ? WHERE id = ?")
            .bind(to_json(&topic.attributes)?)
            .bind(to_json(&topic.tags)?)
            .bind(topic.id)
            .execute(self.pool)
            .await?;
        Ok(done.rows_affected() == 1)
    }

    /// Deletes a topic with its subscriptions and what is on its way to them.
    pub async fn delete_topic(&self, id: i64) -> Result<(), StoreError> {
        sqlx::query("DELETE FROM topic WHERE id = ?").bind(id).execute(self.pool).await?;
        Ok(())
    }
}

fn decode(row: &SqliteRow) -> Result<TopicRow, StoreError> {
    let damaged = |detail: String| StoreError::Damaged { what: "topic", detail };
    let text = |column: &str| row.get::<String, _>(column);
    Ok(TopicRow {
        id: row.get("id"),
        scope: Scope {
            account: AccountId::parse(&text("account")).ok_or_else(|| damaged(text("account")))?,
            region: Region::parse(&text("region")).ok_or_else(|| damaged(text("region")))?,
        },
        name: text("name"),
        attributes: of_json(&text("attributes"), "topic")?,
        tags: of_json(&text("tags"), "topic")?,
    })
}
