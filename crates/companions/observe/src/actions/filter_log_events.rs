//! `FilterLogEvents`

use std::ops::ControlFlow;

use lambd_http::protocol::validation::Checks;
use lambd_store::logs::{
    Direction, EventPosition, EventRange, EventRow, GroupRow, Selection, StreamOrder, StreamRow,
};
use serde::{Deserialize, Serialize};

use super::describe_log_groups::invalid_token;
use super::{PAGE_BYTES, PAGE_EVENTS};
use crate::error::LogsError;
use crate::names::{check_stream, group_of};
use crate::pattern::Pattern;
use crate::service::{Context, finish};
use crate::token;

/// Events that one request looks at; what is left comes with the next token.
const SCAN: usize = 100_000;

/// Streams that can be named, and that a prefix may have before the whole group is read instead.
const MAX_STREAMS: usize = 100;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Input {
    log_group_name: Option<String>,
    log_group_identifier: Option<String>,
    log_stream_names: Option<Vec<String>>,
    log_stream_name_prefix: Option<String>,
    start_time: Option<i64>,
    end_time: Option<i64>,
    filter_pattern: Option<String>,
    next_token: Option<String>,
    limit: Option<i64>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Output {
    events: Vec<FilteredEvent>,
    /// Always empty, as the service leaves it today.
    searched_log_streams: [(); 0],
    #[serde(skip_serializing_if = "Option::is_none")]
    next_token: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct FilteredEvent {
    log_stream_name: String,
    timestamp: i64,
    message: String,
    ingestion_time: i64,
    event_id: String,
}

impl FilteredEvent {
    fn of(stream: &str, row: EventRow) -> Self {
        Self {
            log_stream_name: stream.to_owned(),
            timestamp: row.position.timestamp,
            message: row.message,
            ingestion_time: row.ingested.0,
            event_id: token::event_id(row.position),
        }
    }
}

pub(crate) async fn run(cx: &Context<'_>, input: Input) -> Result<Output, LogsError> {
    let mut checks = Checks::new();
    let group = group_of(&mut checks, cx.scope, input.log_group_name, input.log_group_identifier)?;
    let names = input.log_stream_names;
    if let Some(names) = &names {
        checks.members("logStreamNames", names.len(), 1, MAX_STREAMS);
        names.iter().for_each(|name| check_stream(&mut checks, "logStreamNames", name));
    }
    let prefix = input.log_stream_name_prefix;
    if let Some(prefix) = &prefix {
        check_stream(&mut checks, "logStreamNamePrefix", prefix);
    }
    let limit = input.limit.unwrap_or(PAGE_EVENTS);
    checks.range("limit", limit, 1, PAGE_EVENTS);
    let start = input.start_time.unwrap_or(0);
    checks.range("startTime", start, 0, i64::MAX);
    let end = input.end_time.unwrap_or(i64::MAX);
    checks.range("endTime", end, 0, i64::MAX);
    let pattern = input.filter_pattern.unwrap_or_default();
    checks.length("filterPattern", &pattern, 0, 1024);
    finish(checks)?;
    if names.is_some() && prefix.is_some() {
        let message = "logStreamNames and logStreamNamePrefix are mutually exclusive parameters.";
        return Err(LogsError::invalid(message));
    }
    let pattern = Pattern::parse(&pattern).map_err(|e| LogsError::InvalidParameter(e.to_string()))?;
    let range = range_of(start, end, input.next_token.as_deref())?;
    cx.writer.flush().await;
    let group = cx.group(&group).await?;
    let streams = streams_of(cx, &group, names, prefix.as_deref()).await?;
    let passed_over = match &streams {
        Streams::Prefix(prefix) => Some(prefix.clone()),
        Streams::All | Streams::Some(_) => None,
    };
    let mut page = Page::new(pattern, limit as usize, passed_over);
    cx.store
        .logs()
        .read_group(&group, streams.selection(), range, |stream, row| page.take(stream, row))
        .await?;
    Ok(Output { events: page.events, searched_log_streams: [], next_token: page.next.map(token_of) })
}

fn token_of(position: EventPosition) -> String {
    token::opaque(&token::event_id(position))
}

/// The end is part of the range here, other than in `GetLogEvents`.
fn range_of(start: i64, end: i64, next_token: Option<&str>) -> Result<EventRange, LogsError> {
    let after = match next_token {
        Some(text) => {
            let id = token::parse_opaque(text).ok_or_else(invalid_token)?;
            token::parse_event_id(&id).ok_or_else(invalid_token)?
        }
        None => EventPosition::at(start),
    };
    Ok(EventRange {
        after: after.max(EventPosition::at(start)),
        before: EventPosition { timestamp: end, id: i64::MAX },
    })
}

/// The streams that are asked for.
enum Streams {
    All,
    Some(Vec<StreamRow>),
    /// Too many to be read one by one.
    Prefix(String),
}

impl Streams {
    fn selection(&self) -> Selection<'_> {
        match self {
            Self::All | Self::Prefix(_) => Selection::All,
            Self::Some(streams) => Selection::Streams(streams),
        }
    }
}

async fn streams_of(
    cx: &Context<'_>,
    group: &GroupRow,
    names: Option<Vec<String>>,
    prefix: Option<&str>,
) -> Result<Streams, LogsError> {
    let logs = cx.store.logs();
    if let Some(mut names) = names {
        names.sort();
        names.dedup();
        let mut streams = Vec::with_capacity(names.len());
        for name in names {
            streams.push(logs.stream(group, &name).await?.ok_or(LogsError::StreamNotFound)?);
        }
        return Ok(Streams::Some(streams));
    }
    let Some(prefix) = prefix else { return Ok(Streams::All) };
    let order = StreamOrder::Name { after: None };
    let limit = MAX_STREAMS as u32 + 1;
    let streams = logs.streams(group, Some(prefix), &order, Direction::Ascending, limit).await?;
    Ok(if streams.len() > MAX_STREAMS { Streams::Prefix(prefix.to_owned()) } else { Streams::Some(streams) })
}

/// Gathers matching events until the page is full.
struct Page {
    pattern: Pattern,
    /// Streams of other names are passed over.
    prefix: Option<String>,
    limit: usize,
    events: Vec<FilteredEvent>,
    bytes: usize,
    seen: usize,
    last: EventPosition,
    /// Where the next page goes on; not set when everything was read.
    next: Option<EventPosition>,
}

impl Page {
    fn new(pattern: Pattern, limit: usize, prefix: Option<String>) -> Self {
        let last = EventPosition::at(0);
        Self { pattern, prefix, limit, events: Vec::new(), bytes: 0, seen: 0, last, next: None }
    }

    fn take(&mut self, stream: &str, row: EventRow) -> ControlFlow<()> {
        if self.events.len() >= self.limit || self.bytes > PAGE_BYTES || self.seen >= SCAN {
            self.next = Some(self.last);
            return ControlFlow::Break(());
        }
        self.seen += 1;
        self.last = row.position;
        let wanted = self.prefix.as_deref().is_none_or(|p| stream.starts_with(p));
        if wanted && self.pattern.matches(&row.message) {
            self.bytes += row.message.len();
            self.events.push(FilteredEvent::of(stream, row));
        }
        ControlFlow::Continue(())
    }
}

#[cfg(test)]
mod tests {
    use lambd_types::UnixMillis;

    use super::*;

    fn row(id: i64, message: &str) -> EventRow {
        EventRow {
            position: EventPosition { timestamp: 5, id },
            ingested: UnixMillis(6),
            message: message.into(),
        }
    }

    #[test]
    fn a_page_ends_when_it_is_full_and_there_is_more() {
        let mut page = Page::new(Pattern::parse("x").unwrap(), 2, Some("a".into()));
        for (id, stream, message) in [(1, "a1", "x"), (2, "b1", "x"), (3, "a1", "y"), (4, "a2", "xx")] {
            assert!(page.take(stream, row(id, message)).is_continue());
        }
        assert_eq!((page.events.len(), page.next), (2, None));
        assert!(page.take("a1", row(5, "y")).is_break());
        assert_eq!(page.next.map(|p| p.id), Some(4));
    }

    #[test]
    fn tokens_come_back() {
        let position = EventPosition { timestamp: 5, id: 4 };
        assert_eq!(range_of(0, 9, Some(&token_of(position))).unwrap().after, position);
        assert!(range_of(0, 9, Some("nonsense")).is_err());
    }
}
