//! The daemon's own endpoint for asynchronous events.

use bytes::Bytes;
use http::Method;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

use super::{Client, ClientError, JSON, decoded, encoded};

const PATH: &str = "/_lambd/events";

impl Client {
    /// The functions that have a queue.
    pub(crate) async fn event_queues(&self) -> Result<Value, ClientError> {
        decoded(self.send("lambda", Method::GET, PATH, &[], Bytes::new()).await?)
    }

    /// What is in the queue of a function.
    pub(crate) async fn events(&self, name: &str, limit: usize) -> Result<Value, ClientError> {
        let path = format!("{}?limit={limit}", path(name));
        decoded(self.send("lambda", Method::GET, &path, &[], Bytes::new()).await?)
    }

    /// Does something with the queue of a function; returns how many events it concerned.
    pub(crate) async fn act_on_events(&self, name: &str, action: &Value) -> Result<u64, ClientError> {
        let done: Value =
            decoded(self.send("lambda", Method::POST, &path(name), JSON, encoded(action)?).await?)?;
        Ok(done["events"].as_u64().unwrap_or_default())
    }
}

fn path(name: &str) -> String {
    format!("{PATH}/{}", utf8_percent_encode(name, NON_ALPHANUMERIC))
}
