//! Subscriptions of topics.

use lambd_types::{AccountId, Scope, UnixMillis};
use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;

use super::{Texts, Topics, of_json, to_json};
use crate::StoreError;

/// Where a subscription is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SubscriptionState {
    /// Its endpoint has not said yes.
    Pending,
    /// It gets messages.
    Confirmed,
    /// It was ended; nobody sees it, but its endpoint may take that back for a while.
    Ended,
}

impl SubscriptionState {
    fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Confirmed => "confirmed",
            Self::Ended => "ended",
        }
    }

    fn parse(text: &str) -> Result<Self, StoreError> {
        match text {
            "pending" => Ok(Self::Pending),
            "confirmed" => Ok(Self::Confirmed),
            "ended" => Ok(Self::Ended),
            other => Err(StoreError::Damaged { what: "subscription", detail: other.to_owned() }),
        }
    }
}

/// A subscription.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubscriptionRow {
    /// Its key in the database; never used again after it is deleted.
    pub id: i64,
    /// The key of its topic.
    pub topic: i64,
    /// The topic's account and region.
    pub scope: Scope,
    /// The topic's name.
    pub topic_name: String,
    /// The last part of its ARN.
    pub uuid: String,
    /// Who made it.
    pub owner: AccountId,
    /// How it is delivered to.
    pub protocol: String,
    /// Where it is delivered to.
    pub endpoint: String,
    /// Its settings as they were made.
    pub attributes: Texts,
    /// Where it is in its life.
    pub state: SubscriptionState,
    /// What confirms it.
    pub token: String,
    /// Whether only its owner may end it.
    pub authenticated: bool,
    /// The host by which its subscriber reached us.
    pub host: String,
}

/// A subscription to be made.
#[derive(Debug, Clone)]
pub struct NewSubscription<'a> {
    /// The key of its topic.
    pub topic: i64,
    /// The last part of its ARN.
    pub uuid: &'a str,
    /// Who makes it.
    pub owner: &'a AccountId,
    /// How it is delivered to.
    pub protocol: &'a str,
    /// Where it is delivered to.
    pub endpoint: &'a str,
    /// Its settings.
    pub attributes: &'a Texts,
    /// Whether it still needs to be confirmed, until when.
    pub pending_until: Option<UnixMillis>,
    /// What confirms it.
    pub token: &'a str,
    /// The host by which its subscriber reached us.
    pub host: &'a str,
}

/// How many subscriptions a topic has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SubscriptionCounts {
    /// That get messages.
    pub confirmed: i64,
    /// That wait for their confirmation.
    pub pending: i64,
    /// That were ended of late.
    pub ended: i64,
}

const SELECT: &str =
    "SELECT s.*, t.account, t.region, t.name FROM subscription s JOIN topic t ON t.id = s.topic";

impl Topics<'_> {
    /// Makes a subscription; one of the same endpoint that was ended makes room. `false` when there is one, or the
    /// topic is gone.
    pub async fn insert_subscription(&self, new: &NewSubscription<'_>) -> Result<bool, StoreError> {
        let mut transaction = self.pool.begin_with("BEGIN IMMEDIATE").await?;
        sqlx::query(
            "DELETE FROM subscription WHERE topic = ? AND protocol = ? AND endpoint = ? AND state = 'ended'",
        )
        .bind(new.topic)
        .bind(new.protocol)
        .bind(new.endpoint)
        .execute(&mut *transaction)
        .await?;
        let state = match new.pending_until {
            Some(_) => SubscriptionState::Pending,
            None => SubscriptionState::Confirmed,
        };
        let done = sqlx::query(
            "INSERT INTO subscription (topic, uuid, owner, protocol, endpoint, attributes, state, token, \
             authenticated, expires, host) SELECT id, ?,?,?,?,?,?,?,?,?,? FROM topic WHERE id = ? \
             ON CONFLICT DO NOTHING",
        )
        .bind(new.uuid)
        .bind(new.owner.as_str())
        .bind(new.protocol)
        .bind(new.endpoint)
        .bind(to_json(new.attributes)?)
        .bind(state.as_str())
        .bind(new.token)
        .bind(new.pending_until.is_none())
        .bind(new.pending_until.map(|until| until.0))
        .bind(new.host)
        .bind(new.topic)
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await?;
        Ok(done.rows_affected() == 1)
    }

    /// The subscription of an endpoint that was not ended.
    pub async fn subscription_to(
        &self,
        topic: i64,
        protocol: &str,
        endpoint: &str,
    ) -> Result<Option<SubscriptionRow>, StoreError> {
        let filter = "WHERE s.topic = ? AND s.protocol = ? AND s.endpoint = ? AND s.state <> 'ended'";
        let row = sqlx::query(sqlx::AssertSqlSafe(format!("{SELECT} {filter}")))
            .bind(topic)
            .bind(protocol)
            .bind(endpoint)
            .fetch_optional(self.pool)
            .await?;
        row.map(|row| decode(&row)).transpose()
    }

    /// A subscription by the last part of its ARN, in whatever state.
    pub async fn subscription(&self, uuid: &str) -> Result<Option<SubscriptionRow>, StoreError> {
        let row = sqlx::query(sqlx::AssertSqlSafe(format!("{SELECT} WHERE s.uuid = ?")))
            .bind(uuid)
            .fetch_optional(self.pool)
            .await?;
        row.map(|row| decode(&row)).transpose()
    }

    /// A subscription by its key.
    pub async fn subscription_of_id(&self, id: i64) -> Result<Option<SubscriptionRow>, StoreError> {
        let row = sqlx::query(sqlx::AssertSqlSafe(format!("{SELECT} WHERE s.id = ?")))
            .bind(id)
            .fetch_optional(self.pool)
            .await?;
        row.map(|row| decode(&row)).transpose()
    }

    /// The subscription of a topic that `token` confirms.
    pub async fn subscription_of_token(
        &self,
        topic: i64,
        token: &str,
    ) -> Result<Option<SubscriptionRow>, StoreError> {
        let row = sqlx::query(sqlx::AssertSqlSafe(format!("{SELECT} WHERE s.topic = ? AND s.token = ?")))
            .bind(topic)
            .bind(token)
            .fetch_optional(self.pool)
            .await?;
        row.map(|row| decode(&row)).transpose()
    }

    /// Up to `limit` subscriptions of a topic with keys above `after`, in their order, without those that were ended.
    pub async fn subscriptions_of(
        &self,
        topic: i64,
        after: i64,
        limit: usize,
    ) -> Result<Vec<SubscriptionRow>, StoreError> {
        let filter = "WHERE s.topic = ? AND s.id > ? AND s.state <> 'ended' ORDER BY s.id LIMIT ?";
        let rows = sqlx::query(sqlx::AssertSqlSafe(format!("{SELECT} {filter}")))
            .bind(topic)
            .bind(after)
            .bind(i64::try_from(limit).unwrap_or(i64::MAX))
            .fetch_all(self.pool)
            .await?;
        rows.iter().map(decode).collect()
    }

    /// The same of all topics of an account in a region.
    pub async fn subscriptions(
        &self,
        scope: &Scope,
        after: i64,
        limit: usize,
    ) -> Result<Vec<SubscriptionRow>, StoreError> {
        let filter = "WHERE t.account = ? AND t.region = ? AND s.id > ? AND s.state <> 'ended' \
                      ORDER BY s.id LIMIT ?";
        let rows = sqlx::query(sqlx::AssertSqlSafe(format!("{SELECT} {filter}")))
            .bind(scope.account.as_str())
            .bind(scope.region.as_str())
            .bind(after)
            .bind(limit as i64)
            .fetch_all(self.pool)
            .await?;
        rows.iter().map(decode).collect()
    }

    /// How many subscriptions a topic has.
    pub async fn subscription_counts(&self, topic: i64) -> Result<SubscriptionCounts, StoreError> {
        let sql = "SELECT state, COUNT(*) AS count FROM subscription WHERE topic = ? GROUP BY state";
        let mut counts = SubscriptionCounts::default();
        for row in sqlx::query(sql).bind(topic).fetch_all(self.pool).await? {
            let count = row.get("count");
            match SubscriptionState::parse(row.get("state"))? {
                SubscriptionState::Pending => counts.pending = count,
                SubscriptionState::Confirmed => counts.confirmed = count,
                SubscriptionState::Ended => counts.ended = count,
            }
        }
        Ok(counts)
    }

    /// Replaces the settings of a subscription. `false` when it is gone.
    pub async fn update_subscription(&self, id: i64, attributes: &Texts) -> Result<bool, StoreError> {
        let done = sqlx::query("UPDATE subscription SET attributes = ? WHERE id = ?")
            .bind(to_json(attributes)?)
            .bind(id)
            .execute(self.pool)
            .await?;
        Ok(done.rows_affected() == 1)
    }

    /// Confirms a subscription. `false` when it is gone.
    pub async fn confirm_subscription(&self, id: i64, authenticated: bool) -> Result<bool, StoreError> {
        let sql =
            "UPDATE subscription SET state = 'confirmed', authenticated = ?, expires = NULL WHERE id = ?";
        let done = sqlx::query(sql).bind(authenticated).bind(id).execute(self.pool).await?;
        Ok(done.rows_affected() == 1)
    }

    /// Ends a subscription; what is on its way to it is dropped. It can be confirmed again with `token` until `until`.
    pub async fn end_subscription(&self, id: i64, token: &str, until: UnixMillis) -> Result<(), StoreError> {
        let mut transaction = self.pool.begin_with("BEGIN IMMEDIATE").await?;
        sqlx::query("DELETE FROM delivery WHERE subscription = ?")
            .bind(id)
            .execute(&mut *transaction)
            .await?;
        sqlx::query("UPDATE subscription SET state = 'ended', token = ?, expires = ? WHERE id = ?")
            .bind(token)
            .bind(until.0)
            .bind(id)
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok(())
    }

    /// Deletes a subscription with what is on its way to it.
    pub async fn delete_subscription(&self, id: i64) -> Result<(), StoreError> {
        sqlx::query("DELETE FROM subscription WHERE id = ?").bind(id).execute(self.pool).await?;
        Ok(())
    }

    /// Forgets subscriptions that were not confirmed in time, or ended long enough ago.
    pub async fn forget_expired(&self, now: UnixMillis) -> Result<u64, StoreError> {
        let sql = "DELETE FROM subscription WHERE expires <= ?";
        Ok(sqlx::query(sql).bind(now.0).execute(self.pool).await?.rows_affected())
    }
}

fn decode(row: &SqliteRow) -> Result<SubscriptionRow, StoreError> {
    let damaged = |detail: String| StoreError::Damaged { what: "subscription", detail };
    let text = |column: &str| row.get::<String, _>(column);
    let account = |column: &str| AccountId::parse(&text(column)).ok_or_else(|| damaged(text(column)));
    Ok(SubscriptionRow {
        id: row.get("id"),
        topic: row.get("topic"),
        scope: Scope {
            account: account("account")?,
            region: lambd_types::Region::parse(&text("region")).ok_or_else(|| damaged(text("region")))?,
        },
        topic_name: text("name"),
        uuid: text("uuid"),
        owner: account("owner")?,
        protocol: text("protocol"),
        endpoint: text("endpoint"),
        attributes: of_json(&text("attributes"), "subscription")?,
        state: SubscriptionState::parse(&text("state"))?,
        token: text("token"),
        authenticated: row.get("authenticated"),
        host: text("host"),
    })
}
