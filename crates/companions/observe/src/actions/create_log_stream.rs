//! `CreateLogStream`

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
    let group = cx.group(&group).await?;
    let created = cx.store.logs().create_stream(&group, &stream, cx.clock.now()).await?;
    if created { Ok(()) } else { Err(LogsError::StreamExists) }
}
