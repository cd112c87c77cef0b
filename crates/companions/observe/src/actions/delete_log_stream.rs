//! `DeleteLogStream`

use lambd_http::protocol::validation::Checks;
use serde::Deserialize;

use crate::error::LogsError;
use crate::names::{required_group, required_stream};
use crate::service::{Context, finish};

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Input {
    log_group_name: Option<String>,
    log_stream_name: Option<String>,
}

pub(crate) async fn run(cx: &Context<'_>, input: Input) -> Result<(), LogsError> {
    let mut checks = Checks::new();
    let group = required_group(&mut checks, input.log_group_name);
    let stream = required_stream(&mut checks, input.log_stream_name);
    finish(checks)?;
    // What was logged before the request must not bring the stream back.
    cx.writer.flush().await;
    let group = cx.group(&group).await?;
    let logs = cx.store.logs();
    let stream = logs.stream(&group, &stream).await?.ok_or(LogsError::StreamNotFound)?;
    if !logs.delete_stream(&stream).await? {
        return Err(LogsError::StreamNotFound);
    }
    cx.sweep.soon();
    Ok(())
}
