//! `DescribeLogStreams`

use lambd_http::protocol::validation::Checks;
use lambd_store::logs::{Direction, EventPosition, StreamOrder, StreamRow};
use serde::{Deserialize, Serialize};

use super::LISTING;
use super::describe_log_groups::invalid_token;
use crate::error::LogsError;
use crate::names::{check_stream, group_arn, group_of};
use crate::service::{Context, finish};
use crate::token;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Input {
    log_group_name: Option<String>,
    log_group_identifier: Option<String>,
    log_stream_name_prefix: Option<String>,
    order_by: Option<String>,
    descending: Option<bool>,
    next_token: Option<String>,
    limit: Option<i64>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Output {
    log_streams: Vec<LogStream>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_token: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct LogStream {
    log_stream_name: String,
    creation_time: i64,
    #[serde(flatten)]
    activity: Option<Activity>,
    arn: String,
    stored_bytes: i64,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Activity {
    first_event_timestamp: i64,
    last_event_timestamp: i64,
    last_ingestion_time: i64,
    upload_sequence_token: String,
}

impl LogStream {
    fn of(group_arn: &str, row: StreamRow) -> Self {
        let activity = row.activity.map(|a| Activity {
            first_event_timestamp: a.first_event.0,
            last_event_timestamp: a.last_event.0,
            last_ingestion_time: a.last_ingestion.0,
            upload_sequence_token: token::event_id(EventPosition {
                timestamp: a.last_ingestion.0,
                id: row.id,
            }),
        });
        Self {
            arn: format!("{group_arn}:log-stream:{}", row.name),
            log_stream_name: row.name,
            creation_time: row.created.0,
            activity,
            // As the service reports it since 2019.
            stored_bytes: 0,
        }
    }
}

pub(crate) async fn run(cx: &Context<'_>, input: Input) -> Result<Output, LogsError> {
    let mut checks = Checks::new();
    let group = group_of(&mut checks, cx.scope, input.log_group_name, input.log_group_identifier)?;
    if let Some(prefix) = &input.log_stream_name_prefix {
        check_stream(&mut checks, "logStreamNamePrefix", prefix);
    }
    let order_by = input.order_by.as_deref().unwrap_or("LogStreamName");
    checks.one_of("orderBy", order_by, &["LogStreamName", "LastEventTime"]);
    let limit = input.limit.unwrap_or(LISTING);
    checks.range("limit", limit, 1, LISTING);
    finish(checks)?;
    let by_time = order_by == "LastEventTime";
    if by_time && input.log_stream_name_prefix.is_some() {
        return Err(LogsError::invalid("Cannot order by LastEventTime with a logStreamNamePrefix."));
    }
    let order = order_of(by_time, input.next_token.as_deref())?;
    let direction = if input.descending == Some(true) { Direction::Descending } else { Direction::Ascending };
    cx.writer.flush().await;
    let group = cx.group(&group).await?;
    let prefix = input.log_stream_name_prefix.as_deref();
    // One more than asked for tells whether there is a next page.
    let mut rows = cx.store.logs().streams(&group, prefix, &order, direction, limit as u32 + 1).await?;
    let more = rows.len() as i64 > limit;
    rows.truncate(limit as usize);
    let next_token = rows.last().filter(|_| more).map(|row| token::opaque(&position_of(by_time, row)));
    let arn = group_arn(cx.scope, &group.name);
    Ok(Output { log_streams: rows.into_iter().map(|row| LogStream::of(&arn, row)).collect(), next_token })
}

/// The position after `row` as text; no stream name contains a colon.
fn position_of(by_time: bool, row: &StreamRow) -> String {
    if by_time {
        let last = row.activity.map_or(-1, |a| a.last_event.0);
        format!("{last}:{}", row.name)
    } else {
        format!(":{}", row.name)
    }
}

fn order_of(by_time: bool, next_token: Option<&str>) -> Result<StreamOrder, LogsError> {
    let position = match next_token {
        Some(text) => Some(token::parse_opaque(text).ok_or_else(invalid_token)?),
        None => None,
    };
    let position = match &position {
        Some(text) => Some(text.split_once(':').ok_or_else(invalid_token)?),
        None => None,
    };
    match (by_time, position) {
        (false, None) => Ok(StreamOrder::Name { after: None }),
        (false, Some(("", name))) => Ok(StreamOrder::Name { after: Some(name.to_owned()) }),
        (true, None) => Ok(StreamOrder::LastEvent { after: None }),
        (true, Some((time, name))) => {
            let time = time.parse().map_err(|_| invalid_token())?;
            Ok(StreamOrder::LastEvent { after: Some((time, name.to_owned())) })
        }
        // A token of the other order.
        (false, Some(_)) => Err(invalid_token()),
    }
}

#[cfg(test)]
mod tests {
    use lambd_types::UnixMillis;

    use super::*;

    #[test]
    fn a_token_belongs_to_its_order() {
        let row = StreamRow { id: 1, name: "s/[1]".into(), created: UnixMillis(0), activity: None };
        let by_time = token::opaque(&position_of(true, &row));
        let by_name = token::opaque(&position_of(false, &row));
        let StreamOrder::LastEvent { after: Some((-1, name)) } = order_of(true, Some(&by_time)).unwrap()
        else {
            panic!("not by time")
        };
        assert_eq!(name, "s/[1]");
        assert!(
            matches!(order_of(false, Some(&by_name)), Ok(StreamOrder::Name { after: Some(n) }) if n == "s/[1]")
        );
        for (order, text) in [(false, &*by_time), (true, &*by_name), (true, "x"), (false, "")] {
            assert!(order_of(order, Some(text)).is_err(), "{text}");
        }
    }
}
