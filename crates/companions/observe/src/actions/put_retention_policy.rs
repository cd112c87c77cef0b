//! `PutRetentionPolicy`

use lambd_http::protocol::validation::Checks;
use serde::Deserialize;

use crate::error::LogsError;
use crate::names::required_group;
use crate::service::{Context, finish};

const DAYS: [&str; 22] = [
    "1", "3", "5", "7", "14", "30", "60", "90", "120", "150", "180", "365", "400", "545", "731", "1096",
    "1827", "2192", "2557", "2922", "3288", "3653",
];

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Input {
    log_group_name: Option<String>,
    retention_in_days: Option<i64>,
}

pub(crate) async fn run(cx: &Context<'_>, input: Input) -> Result<(), LogsError> {
    let mut checks = Checks::new();
    let group = required_group(&mut checks, input.log_group_name);
    match input.retention_in_days {
        Some(days) => checks.one_of("retentionInDays", &days.to_string(), &DAYS),
        None => checks.required("retentionInDays", None),
    }
    finish(checks)?;
    let group = cx.group(&group).await?;
    cx.store.logs().set_retention(&group, input.retention_in_days).await?;
    cx.sweep.soon();
    Ok(())
}
