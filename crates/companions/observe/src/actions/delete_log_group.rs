//! `DeleteLogGroup`

use lambd_http::protocol::validation::Checks;
use serde::Deserialize;

use crate::error::LogsError;
use crate::names::required_group;
use crate::service::{Context, finish};

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Input {
    log_group_name: Option<String>,
}

pub(crate) async fn run(cx: &Context<'_>, input: Input) -> Result<(), LogsError> {
    let mut checks = Checks::new();
    let name = required_group(&mut checks, input.log_group_name);
    finish(checks)?;
    // What was logged before the request must not bring the group back.
    cx.writer.flush().await;
    let group = cx.group(&name).await?;
    if !cx.store.logs().delete_group(&group).await? {
        return Err(LogsError::GroupNotFound);
    }
    cx.sweep.soon();
    Ok(())
}
