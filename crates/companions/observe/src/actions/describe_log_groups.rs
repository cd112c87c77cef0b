//! `DescribeLogGroups`

use lambd_http::protocol::validation::Checks;
use lambd_store::logs::{GroupFilter, GroupRow};
use lambd_types::Scope;
use serde::{Deserialize, Serialize};

use super::LISTING;
use crate::error::LogsError;
use crate::names::{check_group, group_arn, group_of_arn};
use crate::service::{Context, finish};
use crate::token;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Input {
    log_group_name_prefix: Option<String>,
    log_group_name_pattern: Option<String>,
    log_group_identifiers: Option<Vec<String>>,
    next_token: Option<String>,
    limit: Option<i64>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Output {
    log_groups: Vec<LogGroup>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_token: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct LogGroup {
    log_group_name: String,
    creation_time: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    retention_in_days: Option<i64>,
    metric_filter_count: i64,
    arn: String,
    stored_bytes: i64,
    log_group_class: &'static str,
    log_group_arn: String,
}

impl LogGroup {
    fn of(scope: &Scope, row: GroupRow) -> Self {
        let arn = group_arn(scope, &row.name);
        Self {
            log_group_name: row.name,
            creation_time: row.created.0,
            retention_in_days: row.retention_days,
            metric_filter_count: 0,
            arn: format!("{arn}:*"),
            stored_bytes: row.stored_bytes,
            log_group_class: "STANDARD",
            log_group_arn: arn,
        }
    }
}

pub(crate) async fn run(cx: &Context<'_>, input: Input) -> Result<Output, LogsError> {
    let mut checks = Checks::new();
    if let Some(prefix) = &input.log_group_name_prefix {
        check_group(&mut checks, "logGroupNamePrefix", prefix);
    }
    let limit = input.limit.unwrap_or(LISTING);
    checks.range("limit", limit, 1, LISTING);
    finish(checks)?;
    if input.log_group_name_prefix.is_some() && input.log_group_name_pattern.is_some() {
        let message = "LogGroup name prefix and LogGroup name pattern are mutually exclusive parameters.";
        return Err(LogsError::invalid(message));
    }
    let after = match &input.next_token {
        Some(text) => Some(token::parse_opaque(text).ok_or_else(invalid_token)?),
        None => None,
    };
    let filter = GroupFilter {
        prefix: input.log_group_name_prefix,
        contains: input.log_group_name_pattern,
        names: names_of(cx.scope, input.log_group_identifiers.unwrap_or_default())?,
    };
    cx.writer.flush().await;
    // One more than asked for tells whether there is a next page.
    let mut rows = cx.store.logs().groups(cx.scope, &filter, after.as_deref(), limit as u32 + 1).await?;
    let more = rows.len() as i64 > limit;
    rows.truncate(limit as usize);
    let next_token = rows.last().filter(|_| more).map(|row| token::opaque(&row.name));
    Ok(Output { log_groups: rows.into_iter().map(|row| LogGroup::of(cx.scope, row)).collect(), next_token })
}

fn names_of(scope: &Scope, identifiers: Vec<String>) -> Result<Vec<String>, LogsError> {
    let name = |i: String| if i.starts_with("arn:") { group_of_arn(scope, &i) } else { Ok(i) };
    identifiers.into_iter().map(name).collect()
}

/// The error for a token that lambd did not make.
pub(crate) fn invalid_token() -> LogsError {
    LogsError::invalid("The specified nextToken is invalid.")
}
