//! `GetLogEvents` (CORE-060, LANG1-054)

use std::ops::ControlFlow;

use lambd_http::protocol::validation::Checks;
use lambd_store::logs::{Direction, EventPosition, EventRange, EventRow};
use serde::{Deserialize, Serialize};

use super::describe_log_groups::invalid_token;
use super::{PAGE_BYTES, PAGE_EVENTS};
use crate::error::LogsError;
use crate::names::{group_of, required_stream};
use crate::service::{Context, finish};
use crate::token;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Input {
    log_group_name: Option<String>,
    log_group_identifier: Option<String>,
    log_stream_name: Option<String>,
    start_time: Option<i64>,
    end_time: Option<i64>,
    next_token: Option<String>,
    limit: Option<i64>,
    start_from_head: Option<bool>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Output {
    events: Vec<OutputEvent>,
    next_forward_token: String,
    next_backward_token: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct OutputEvent {
    timestamp: i64,
    message: String,
    ingestion_time: i64,
}

pub(crate) async fn run(cx: &Context<'_>, input: Input) -> Result<Output, LogsError> {
    let mut checks = Checks::new();
    let group = group_of(&mut checks, cx.scope, input.log_group_name, input.log_group_identifier)?;
    let stream = required_stream(&mut checks, input.log_stream_name);
    let limit = input.limit.unwrap_or(PAGE_EVENTS);
    checks.range("limit", limit, 1, PAGE_EVENTS);
    let start = input.start_time.unwrap_or(0);
    checks.range("startTime", start, 0, i64::MAX);
    let end = input.end_time.unwrap_or(i64::MAX);
    checks.range("endTime", end, 0, i64::MAX);
    finish(checks)?;
    let page = Page::of(input.next_token.as_deref(), input.start_from_head == Some(true), start, end)?;
    cx.writer.flush().await;
    let group = cx.group(&group).await?;
    let stream = cx.store.logs().stream(&group, &stream).await?.ok_or(LogsError::StreamNotFound)?;
    let mut rows = Vec::new();
    let mut bytes = 0;
    let gather = |row: EventRow| {
        bytes += row.message.len();
        if bytes > PAGE_BYTES && !rows.is_empty() {
            return ControlFlow::Break(());
        }
        rows.push(row);
        ControlFlow::Continue(())
    };
    cx.store.logs().read_stream(&stream, page.range, page.direction, limit as u32, gather).await?;
    if page.direction == Direction::Descending {
        rows.reverse();
    }
    let (first, last) = match (rows.first(), rows.last()) {
        (Some(first), Some(last)) => (first.position, last.position),
        _ => page.ends_when_empty(),
    };
    Ok(Output {
        events: rows.into_iter().map(output_of).collect(),
        next_forward_token: token::page_token(Direction::Ascending, last),
        next_backward_token: token::page_token(Direction::Descending, first),
    })
}

fn output_of(row: EventRow) -> OutputEvent {
    OutputEvent { timestamp: row.position.timestamp, message: row.message, ingestion_time: row.ingested.0 }
}

/// Which part of the stream is asked for.
#[derive(Debug)]
struct Page {
    range: EventRange,
    direction: Direction,
    /// Where the page begins.
    rest: EventPosition,
}

impl Page {
    fn of(next_token: Option<&str>, from_head: bool, start: i64, end: i64) -> Result<Self, LogsError> {
        let (after, before) = (EventPosition::at(start), EventPosition::at(end));
        let mut range = EventRange { after, before };
        let (direction, rest) = match next_token {
            Some(text) => token::parse_page_token(text).ok_or_else(invalid_token)?,
            None if from_head => return Ok(Self { range, direction: Direction::Ascending, rest: after }),
            None => return Ok(Self { range, direction: Direction::Descending, rest: after }),
        };
        match direction {
            Direction::Ascending => range.after = after.max(rest),
            Direction::Descending => range.before = before.min(rest),
        }
        Ok(Self { range, direction, rest })
    }

    /// What the tokens of an empty page point to. The one of the page's own direction stays where it
    /// is, which tells clients to stop; the other leads back over the event that it came from.
    fn ends_when_empty(&self) -> (EventPosition, EventPosition) {
        let EventPosition { timestamp, id } = self.rest;
        match self.direction {
            Direction::Ascending => (EventPosition { timestamp, id: id.saturating_add(1) }, self.rest),
            Direction::Descending => (self.rest, EventPosition { timestamp, id: (id - 1).max(0) }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_narrow_the_range_on_their_side() {
        let at = EventPosition { timestamp: 50, id: 7 };
        let forward = Page::of(Some(&token::page_token(Direction::Ascending, at)), false, 10, 90).unwrap();
        assert_eq!((forward.range.after, forward.range.before), (at, EventPosition::at(90)));
        let back = Page::of(Some(&token::page_token(Direction::Descending, at)), true, 60, 90).unwrap();
        assert_eq!((back.range.after, back.range.before), (EventPosition::at(60), at));
        assert_eq!(back.direction, Direction::Descending);
        assert_eq!(Page::of(None, true, 0, 90).unwrap().direction, Direction::Ascending);
        assert!(Page::of(Some("f/1"), true, 0, 90).is_err());
    }
}
