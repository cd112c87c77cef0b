//! Messages on their way: what a publication leaves behind, one row for each pending delivery.

use lambd_types::UnixMillis;
use sqlx::Row as _;
use sqlx::sqlite::{SqliteConnection, SqliteRow};

use super::Topics;
use crate::StoreError;
use crate::group_commit::Write;

/// Deduplication ids that one publication may clear away.
const FORGOTTEN: i64 = 16;

/// A message and whom it goes to.
#[derive(Debug, Clone)]
pub struct NewMessage {
    /// The key of its topic.
    pub topic: i64,
    /// Its id.
    pub uuid: String,
    /// All that is known of it, as JSON.
    pub document: String,
    /// How a FIFO topic knows it again; `None` in others.
    pub once: Option<Once>,
    /// Its deliveries.
    pub deliveries: Vec<NewDelivery>,
    /// When they are due.
    pub due: UnixMillis,
}

/// How a FIFO topic knows a message again.
#[derive(Debug, Clone)]
pub struct Once {
    /// The group within which `token` is unique; empty for the whole topic.
    pub lane: String,
    /// The deduplication id.
    pub token: String,
    /// Now: ids that expired before count no more.
    pub now: UnixMillis,
    /// Until when it is remembered.
    pub until: UnixMillis,
}

/// A delivery to be made.
#[derive(Debug, Clone)]
pub struct NewDelivery {
    /// The key of the subscription.
    pub subscription: i64,
    /// The group whose order is kept; `None` where there is no order.
    pub lane: Option<String>,
}

/// What a publication came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Published {
    /// The id of the message, or that of the one it repeats.
    pub uuid: String,
    /// Its place in the topic, in a FIFO topic.
    pub sequence: Option<i64>,
}

/// A delivery and its message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeliveryRow {
    /// Its key.
    pub id: i64,
    /// The key of the message.
    pub message: i64,
    /// The message's id.
    pub uuid: String,
    /// All that is known of the message, as JSON.
    pub document: String,
    /// The message's place in its topic, in a FIFO topic.
    pub sequence: Option<i64>,
    /// The group whose order is kept.
    pub lane: Option<String>,
    /// When it is to be tried (again).
    pub due: UnixMillis,
    /// Attempts that failed: to the endpoint, or to the dead letter queue once there is a `failure`.
    pub attempts: u32,
    /// Why the endpoint will never have it.
    pub failure: Option<String>,
}

const SELECT: &str = "SELECT d.id, d.message, d.lane, d.due, d.attempts, d.failure, m.uuid, m.document, m.sequence \
                      FROM delivery d JOIN message m ON m.id = d.message";

impl Topics<'_> {
    /// Stores a message with its deliveries; all is on disk when this resolves. What repeats a message of a FIFO topic
    /// is not stored again. Deliveries to subscriptions that are gone are left out; a message without
    /// deliveries is not kept.
    pub async fn publish(&self, message: NewMessage) -> Result<Published, StoreError> {
        let done = self.outbox.write(OutboxWrite::Publish(Box::new(message))).await?;
        Ok(done.unwrap_or(Published { uuid: String::new(), sequence: None }))
    }

    /// A delivery is over.
    pub async fn delivered(&self, id: i64) -> Result<(), StoreError> {
        self.outbox.write(OutboxWrite::Delivered(id)).await.map(drop)
    }

    /// A delivery is to be tried again, with these counts.
    pub async fn postpone_delivery(
        &self,
        id: i64,
        due: UnixMillis,
        attempts: u32,
        failure: Option<String>,
    ) -> Result<(), StoreError> {
        self.outbox.write(OutboxWrite::Postpone { id, due, attempts, failure }).await.map(drop)
    }

    /// Keys of the subscriptions that something is on its way to.
    pub async fn subscriptions_with_deliveries(&self) -> Result<Vec<i64>, StoreError> {
        Ok(sqlx::query_scalar("SELECT DISTINCT subscription FROM delivery").fetch_all(self.pool).await?)
    }

    /// Up to `limit` deliveries of a subscription that are due at `now`, longest due first.
    pub async fn due_deliveries(
        &self,
        subscription: i64,
        now: UnixMillis,
        limit: usize,
    ) -> Result<Vec<DeliveryRow>, StoreError> {
        let filter = "WHERE d.subscription = ? AND d.due <= ? ORDER BY d.due, d.id LIMIT ?";
        self.due(filter, subscription, now, limit).await
    }

    /// The same of a subscription to a FIFO topic, in the order of publication. Of a group there are none while one of
    /// them waits.
    pub async fn due_deliveries_in_order(
        &self,
        subscription: i64,
        now: UnixMillis,
        limit: usize,
    ) -> Result<Vec<DeliveryRow>, StoreError> {
        let filter = "WHERE d.subscription = ? AND d.lane IS NOT NULL AND NOT EXISTS (\
                      SELECT 1 FROM delivery o WHERE o.subscription = d.subscription AND o.lane = d.lane AND o.due > ?) \
                      ORDER BY d.id LIMIT ?";
        self.due(filter, subscription, now, limit).await
    }

    /// `filter` takes a subscription, the time and the limit, in that order.
    async fn due(
        &self,
        filter: &'static str,
        subscription: i64,
        now: UnixMillis,
        limit: usize,
    ) -> Result<Vec<DeliveryRow>, StoreError> {
        let rows = sqlx::query(sqlx::AssertSqlSafe(format!("{SELECT} {filter}")))
            .bind(subscription)
            .bind(now.0)
            .bind(limit as i64)
            .fetch_all(self.pool)
            .await?;
        Ok(rows.iter().map(decode).collect())
    }

    /// What is left for a subscription to which nothing (more) can be delivered at `now`.
    pub async fn deliveries_left(
        &self,
        subscription: i64,
        now: UnixMillis,
    ) -> Result<DeliveriesLeft, StoreError> {
        let sql = "SELECT EXISTS (SELECT 1 FROM delivery WHERE subscription = ?) AS some, \
                   (SELECT MIN(due) FROM delivery WHERE subscription = ? AND due > ?) AS next";
        let row =
            sqlx::query(sql).bind(subscription).bind(subscription).bind(now.0).fetch_one(self.pool).await?;
        Ok(match (row.get::<bool, _>("some"), row.get::<Option<i64>, _>("next")) {
            (false, _) => DeliveriesLeft::None,
            (true, Some(next)) => DeliveriesLeft::DueAt(UnixMillis(next)),
            (true, None) => DeliveriesLeft::Due,
        })
    }
}

/// What is left for a subscription.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeliveriesLeft {
    /// Nothing.
    None,
    /// Something that is due now.
    Due,
    /// Something that is due then.
    DueAt(UnixMillis),
}

/// A change of the outbox.
#[derive(Debug)]
pub(crate) enum OutboxWrite {
    Publish(Box<NewMessage>),
    Delivered(i64),
    Postpone { id: i64, due: UnixMillis, attempts: u32, failure: Option<String> },
}

impl Write for OutboxWrite {
    type Output = Option<Published>;

    async fn apply(
        batch: Vec<Self>,
        connection: &mut SqliteConnection,
    ) -> Result<Vec<Option<Published>>, StoreError> {
        let mut outputs = Vec::with_capacity(batch.len());
        for write in batch {
            outputs.push(match write {
                Self::Publish(message) => Some(publish(*message, connection).await?),
                Self::Delivered(id) => {
                    let sql = "DELETE FROM delivery WHERE id = ?";
                    sqlx::query(sql).bind(id).execute(&mut *connection).await?;
                    None
                }
                Self::Postpone { id, due, attempts, failure } => {
                    sqlx::query("UPDATE delivery SET due = ?, attempts = ?, failure = ? WHERE id = ?")
                        .bind(due.0)
                        .bind(attempts)
                        .bind(failure)
                        .bind(id)
                        .execute(&mut *connection)
                        .await?;
                    None
                }
            });
        }
        Ok(outputs)
    }
}

async fn publish(message: NewMessage, connection: &mut SqliteConnection) -> Result<Published, StoreError> {
    let sequence = match &message.once {
        Some(once) => match once_only(&message, once, connection).await? {
            Ok(sequence) => sequence,
            Err(repeated) => return Ok(repeated),
        },
        None => None,
    };
    let published = Published { uuid: message.uuid.clone(), sequence };
    if message.deliveries.is_empty() {
        return Ok(published);
    }
    let key = sqlx::query("INSERT INTO message (uuid, document, sequence) VALUES (?,?,?)")
        .bind(&message.uuid)
        .bind(&message.document)
        .bind(sequence)
        .execute(&mut *connection)
        .await?
        .last_insert_rowid();
    let mut kept = 0;
    for delivery in message.deliveries {
        let sql = "INSERT INTO delivery (message, subscription, lane, due) \
                   SELECT ?, id, ?, ? FROM subscription WHERE id = ?";
        let done = sqlx::query(sql)
            .bind(key)
            .bind(delivery.lane)
            .bind(message.due.0)
            .bind(delivery.subscription)
            .execute(&mut *connection)
            .await?;
        kept += done.rows_affected();
    }
    if kept == 0 {
        sqlx::query("DELETE FROM message WHERE id = ?").bind(key).execute(&mut *connection).await?;
    }
    Ok(published)
}

/// The place of a message in its FIFO topic, `None` when the topic is gone; or the message that it repeats.
async fn once_only(
    message: &NewMessage,
    once: &Once,
    connection: &mut SqliteConnection,
) -> Result<Result<Option<i64>, Published>, StoreError> {
    let sql = "DELETE FROM deduplication WHERE (topic, lane, token) IN \
               (SELECT topic, lane, token FROM deduplication WHERE expires <= ? LIMIT ?)";
    sqlx::query(sql).bind(once.now.0).bind(FORGOTTEN).execute(&mut *connection).await?;
    let sql =
        "SELECT uuid, sequence FROM deduplication WHERE topic = ? AND lane = ? AND token = ? AND expires > ?";
    let seen = sqlx::query(sql)
        .bind(message.topic)
        .bind(&once.lane)
        .bind(&once.token)
        .bind(once.now.0)
        .fetch_optional(&mut *connection)
        .await?;
    if let Some(row) = seen {
        return Ok(Err(Published { uuid: row.get("uuid"), sequence: Some(row.get("sequence")) }));
    }
    let sequence: Option<i64> =
        sqlx::query_scalar("UPDATE topic SET sequence = sequence + 1 WHERE id = ? RETURNING sequence")
            .bind(message.topic)
            .fetch_optional(&mut *connection)
            .await?;
    let Some(sequence) = sequence else { return Ok(Ok(None)) };
    sqlx::query("INSERT OR REPLACE INTO deduplication VALUES (?,?,?,?,?,?)")
        .bind(message.topic)
        .bind(&once.lane)
        .bind(&once.token)
        .bind(&message.uuid)
        .bind(sequence)
        .bind(once.until.0)
        .execute(&mut *connection)
        .await?;
    Ok(Ok(Some(sequence)))
}

fn decode(row: &SqliteRow) -> DeliveryRow {
    DeliveryRow {
        id: row.get("id"),
        message: row.get("message"),
        uuid: row.get("uuid"),
        document: row.get("document"),
        sequence: row.get("sequence"),
        lane: row.get("lane"),
        due: UnixMillis(row.get("due")),
        attempts: row.get("attempts"),
        failure: row.get("failure"),
    }
}
