//! The one call of the CloudWatch Logs API that the command line makes.

use bytes::Bytes;
use http::Method;
use serde::{Deserialize, Serialize};

use super::{Client, ClientError, decoded, encoded};

/// What to look for.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct FilterQuery<'a> {
    pub(crate) log_group_name: &'a str,
    /// First millisecond since the epoch that counts.
    pub(crate) start_time: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) next_token: Option<&'a str>,
}

/// One answer.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct LogPage {
    pub(crate) events: Vec<LoggedEvent>,
    pub(crate) next_token: Option<String>,
}

/// One event as the API shows it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct LoggedEvent {
    pub(crate) event_id: String,
    pub(crate) log_stream_name: String,
    pub(crate) timestamp: i64,
    pub(crate) message: String,
}

impl Client {
    /// `FilterLogEvents`: one page.
    pub(crate) async fn filter_log_events(&self, query: &FilterQuery<'_>) -> Result<LogPage, ClientError> {
        let headers = &[
            ("content-type", "application/x-amz-json-1.1"),
            ("x-amz-target", "Logs_20140328.FilterLogEvents"),
        ];
        let body: Bytes = encoded(query)?;
        decoded(self.send("logs", Method::POST, "/", headers, body).await?)
    }
}
