//! The daemon's own endpoint for its clock.

use std::time::Duration;

use bytes::Bytes;
use http::Method;

use super::{Client, ClientError, JSON, decoded, encoded};
use crate::commands::clock::ClockShown;

const PATH: &str = "/_lambd/clock";

impl Client {
    /// What the clock shows.
    pub(crate) async fn clock(&self) -> Result<ClockShown, ClientError> {
        decoded(self.send("lambda", Method::GET, PATH, &[], Bytes::new()).await?)
    }

    /// Moves the clock forward.
    pub(crate) async fn advance_clock(&self, by: Duration) -> Result<ClockShown, ClientError> {
        let body = encoded(&serde_json::json!({ "advanceSeconds": by.as_secs_f64() }))?;
        decoded(self.send("lambda", Method::POST, PATH, JSON, body).await?)
    }
}
