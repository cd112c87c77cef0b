//! `PutLogEvents`

use lambd_http::protocol::validation::Checks;
use lambd_store::logs::{AppendBatch, EventPosition, StreamName};
use lambd_types::UnixMillis;
use lambd_types::invocation::LogEvent;
use serde::{Deserialize, Serialize};

use crate::error::LogsError;
use crate::names::{required_group, required_stream};
use crate::service::{Context, finish};
use crate::token;

const MAX_EVENTS: usize = 10_000;
const MAX_BYTES: usize = 1_048_576;
/// What an event counts besides its text.
const EVENT_OVERHEAD: usize = 26;

const HOUR: i64 = 3_600_000;
const DAY: i64 = 24 * HOUR;

/// Events this far in the past or in the future are not taken.
const MAX_AGE: i64 = 14 * DAY;
const MAX_AHEAD: i64 = 2 * HOUR;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Input {
    log_group_name: Option<String>,
    log_stream_name: Option<String>,
    log_events: Option<Vec<InputEvent>>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct InputEvent {
    timestamp: Option<i64>,
    message: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Output {
    next_sequence_token: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    rejected_log_events_info: Option<Rejected>,
}

/// The parts at either end of a batch that are not taken. Ends are exclusive.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Rejected {
    #[serde(skip_serializing_if = "Option::is_none")]
    too_new_log_event_start_index: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    too_old_log_event_end_index: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expired_log_event_end_index: Option<usize>,
}

pub(crate) async fn run(cx: &Context<'_>, input: Input) -> Result<Output, LogsError> {
    let mut checks = Checks::new();
    let group = required_group(&mut checks, input.log_group_name);
    let stream = required_stream(&mut checks, input.log_stream_name);
    let events = events_of(&mut checks, input.log_events);
    finish(checks)?;
    check_batch(&events)?;
    let logs = cx.store.logs();
    let group = cx.group(&group).await?;
    let stream = logs.stream(&group, &stream).await?.ok_or(LogsError::StreamNotFound)?;
    let now = cx.clock.now();
    let (taken, rejected) = split(&events, now.0, group.retention_days);
    let name = StreamName { scope: cx.scope, group: &group.name, stream: &stream.name };
    logs.append(&[AppendBatch { stream: name, events: taken }], now).await?;
    let next_sequence_token = token::event_id(EventPosition { timestamp: now.0, id: stream.id });
    Ok(Output { next_sequence_token, rejected_log_events_info: rejected })
}

fn events_of(checks: &mut Checks, events: Option<Vec<InputEvent>>) -> Vec<LogEvent> {
    let Some(events) = events else { return checks.required("logEvents", None) };
    checks.members("logEvents", events.len(), 1, MAX_EVENTS);
    let convert = |(index, event): (usize, InputEvent)| {
        let at = |field: &str| format!("logEvents.{}.member.{field}", index + 1);
        let timestamp = checks.required(&at("timestamp"), event.timestamp);
        checks.range(&at("timestamp"), timestamp, 0, i64::MAX);
        let message = match event.message {
            Some(message) => {
                checks.length(&at("message"), &message, 1, usize::MAX);
                message
            }
            None => checks.required(&at("message"), None),
        };
        LogEvent { timestamp: UnixMillis(timestamp), message }
    };
    events.into_iter().enumerate().map(convert).collect()
}

/// The rules of a batch as a whole.
fn check_batch(events: &[LogEvent]) -> Result<(), LogsError> {
    let bytes: usize = events.iter().map(|e| e.message.len() + EVENT_OVERHEAD).sum();
    if bytes > MAX_BYTES {
        return Err(LogsError::InvalidParameter(format!(
            "Upload too large: {bytes} bytes exceeds limit of {MAX_BYTES}"
        )));
    }
    if !events.is_sorted_by_key(|e| e.timestamp) {
        let message = "Log events in a single PutLogEvents request must be in chronological order.";
        return Err(LogsError::invalid(message));
    }
    let span =
        events.last().zip(events.first()).map_or(0, |(last, first)| last.timestamp.0 - first.timestamp.0);
    if span > DAY {
        let message =
            "The batch of log events in a single PutLogEvents request cannot span more than 24 hours.";
        return Err(LogsError::invalid(message));
    }
    Ok(())
}

/// Cuts off what is too old or too new; `events` are in order.
fn split(events: &[LogEvent], now: i64, retention_days: Option<i64>) -> (&[LogEvent], Option<Rejected>) {
    let before = |limit: i64| events.partition_point(|e| e.timestamp.0 < limit);
    let old = before(now - MAX_AGE);
    let expired = retention_days.map_or(0, |days| before(now - days * DAY));
    let new = before(now + MAX_AHEAD + 1);
    let rejected = Rejected {
        too_new_log_event_start_index: (new < events.len()).then_some(new),
        too_old_log_event_end_index: (old > 0).then_some(old),
        expired_log_event_end_index: (expired > old).then_some(expired),
    };
    let taken = &events[old.max(expired).min(new)..new];
    (taken, (rejected != Rejected::default()).then_some(rejected))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn events(times: &[i64]) -> Vec<LogEvent> {
        times.iter().map(|t| LogEvent { timestamp: UnixMillis(*t), message: "m".into() }).collect()
    }

    #[test]
    fn both_ends_are_cut() {
        let now = 100 * DAY;
        let batch = events(&[now - 15 * DAY, now - 2 * DAY, now, now + HOUR, now + 3 * HOUR]);
        let (taken, rejected) = split(&batch, now, Some(1));
        assert_eq!(taken, &batch[2..4]);
        let expected = Rejected {
            too_new_log_event_start_index: Some(4),
            too_old_log_event_end_index: Some(1),
            expired_log_event_end_index: Some(2),
        };
        assert_eq!(rejected, Some(expected));
        assert_eq!(split(&batch[2..4], now, None), (&batch[2..4], None));
        assert!(split(&batch[4..], now, None).0.is_empty());
    }

    #[test]
    fn batches_are_ordered_short_and_small() {
        assert!(check_batch(&events(&[1, 1, 2])).is_ok());
        assert!(check_batch(&events(&[2, 1])).is_err());
        assert!(check_batch(&events(&[0, DAY + 1])).is_err());
        let large = LogEvent { timestamp: UnixMillis(0), message: "x".repeat(MAX_BYTES - EVENT_OVERHEAD) };
        assert!(check_batch(std::slice::from_ref(&large)).is_ok());
        assert!(check_batch(&[large, events(&[0]).remove(0)]).is_err());
    }
}
