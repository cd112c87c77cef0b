//! Topics of SNS, their subscriptions, and messages on their way.

mod outbox;
mod subscriptions;
#[cfg(test)]
#[path = "topics/tests.rs"]
mod tests;
#[path = "topics/topics.rs"]
mod topics_table;

use std::collections::BTreeMap;

use sqlx::sqlite::SqlitePool;

pub(crate) use outbox::OutboxWrite;
pub use outbox::{DeliveriesLeft, DeliveryRow, NewDelivery, NewMessage, Once, Published};
pub use subscriptions::{NewSubscription, SubscriptionCounts, SubscriptionRow, SubscriptionState};
pub use topics_table::TopicRow;

use crate::group_commit::GroupCommit;
use crate::{Store, StoreError};

/// Settings and tags: texts by their names.
pub type Texts = BTreeMap<String, String>;

/// The tables of topics.
#[derive(Debug, Clone, Copy)]
pub struct Topics<'a> {
    pool: &'a SqlitePool,
    outbox: &'a GroupCommit<OutboxWrite>,
}

/// The key and the certificate that messages are signed with, both as PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignerRow {
    /// The key, PKCS #8.
    pub private_key: String,
    /// The certificate of its public half.
    pub certificate: String,
}

impl Store {
    /// The tables of topics.
    pub fn topics(&self) -> Topics<'_> {
        Topics { pool: &self.topics, outbox: &self.outbox }
    }
}

impl Topics<'_> {
    /// What messages are signed with; `None` before the first was.
    pub async fn signer(&self) -> Result<Option<SignerRow>, StoreError> {
        use sqlx::Row as _;
        let row = sqlx::query("SELECT * FROM signer").fetch_optional(self.pool).await?;
        Ok(row.map(|row| SignerRow {
            private_key: row.get("private_key"),
            certificate: row.get("certificate"),
        }))
    }

    /// Keeps what messages are signed with, unless there is something already.
    pub async fn keep_signer(&self, signer: &SignerRow) -> Result<(), StoreError> {
        sqlx::query("INSERT INTO signer VALUES (1, ?, ?) ON CONFLICT DO NOTHING")
            .bind(&signer.private_key)
            .bind(&signer.certificate)
            .execute(self.pool)
            .await?;
        Ok(())
    }
}

fn to_json(texts: &Texts) -> Result<String, StoreError> {
    serde_json::to_string(texts)
        .map_err(|error| StoreError::Damaged { what: "topic", detail: error.to_string() })
}

fn of_json(text: &str, what: &'static str) -> Result<Texts, StoreError> {
    serde_json::from_str(text).map_err(|error| StoreError::Damaged { what, detail: error.to_string() })
}
