//! One event as either API words it.

use lambd_types::{LogFormat, UnixMillis, iso8601_millis};
use serde::Serialize;
use serde::de::IgnoredAny;
use serde_json::{Value, json};

use super::queue::Dropped;
use super::subscription::{Api, Schema};
use crate::report::PlatformEvent;

/// What an event is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Category {
    Platform,
    Function,
    Extension,
}

impl Category {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Platform => "platform",
            Self::Function => "function",
            Self::Extension => "extension",
        }
    }

    /// The name as log lines have it.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Platform => "Platform",
            Self::Function => "Function",
            Self::Extension => "Extension",
        }
    }

    pub(crate) fn of(name: &str) -> Option<Self> {
        [Self::Platform, Self::Function, Self::Extension].into_iter().find(|kind| kind.as_str() == name)
    }
}

/// A type with a record.
type Worded = (&'static str, Value);

/// One event.
pub(super) struct Record {
    at: UnixMillis,
    body: Body,
}

enum Body {
    Line { from: Category, text: String },
    Platform { telemetry: Option<Worded>, logs: Option<Worded> },
}

#[derive(Serialize)]
struct Event<'a, T> {
    time: String,
    #[serde(rename = "type")]
    kind: &'a str,
    record: T,
}

impl Record {
    /// A line of a process's output. The newline is no part of it.
    pub(super) fn of_line(at: UnixMillis, from: Category, line: &[u8]) -> Self {
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        Self { at, body: Body::Line { from, text: String::from_utf8_lossy(line).into_owned() } }
    }

    /// What the platform tells.
    pub(super) fn of_platform(at: UnixMillis, event: &PlatformEvent<'_>, trace: Option<&str>) -> Self {
        let mut telemetry = event.record();
        if let Some((_, record)) = &mut telemetry
            && let Some(trace) = trace.filter(|_| event.is_traced())
        {
            record["tracing"] = json!({ "type": "X-Amzn-Trace-Id", "value": trace });
        }
        Self { at, body: Body::Platform { telemetry, logs: in_logs(event, at) } }
    }

    pub(super) fn category(&self) -> Category {
        match &self.body {
            Body::Line { from, .. } => *from,
            Body::Platform { .. } => Category::Platform,
        }
    }

    /// About how many bytes it takes.
    pub(super) fn size(&self) -> usize {
        match &self.body {
            Body::Line { text, .. } => text.len() + 100,
            Body::Platform { .. } => 500,
        }
    }

    /// As subscribers of a schema get it; not all have all.
    pub(super) fn text(&self, schema: Schema, format: LogFormat) -> Option<String> {
        match &self.body {
            Body::Line { from, text } => Some(self.line(*from, text, schema, format)),
            Body::Platform { telemetry, logs } => {
                let (kind, record) = match schema.api() {
                    Api::Telemetry => telemetry.as_ref(),
                    Api::Logs => logs.as_ref().filter(|(kind, _)| schema.has(kind)),
                }?;
                Some(worded(self.at, kind, record))
            }
        }
    }

    /// A JSON object of a function that logs in JSON is a record by itself.
    fn line(&self, from: Category, text: &str, schema: Schema, format: LogFormat) -> String {
        let is_object = from == Category::Function
            && schema.has_objects()
            && format != LogFormat::Text
            && text.starts_with('{')
            && serde_json::from_str::<IgnoredAny>(text).is_ok();
        if is_object {
            let time = iso8601_millis(self.at);
            return format!(r#"{{"time":"{time}","type":"{}","record":{text}}}"#, from.as_str());
        }
        worded(self.at, from.as_str(), text)
    }
}

fn worded(at: UnixMillis, kind: &str, record: impl Serialize) -> String {
    serde_json::to_string(&Event { time: iso8601_millis(at), kind, record }).unwrap_or_default()
}

/// What tells a subscriber that it has missed something.
pub(super) fn logs_dropped(at: UnixMillis, dropped: Dropped) -> String {
    let reason =
        "Some logs were dropped because the downstream consumer is slower than the logs production rate";
    let record =
        json!({ "droppedBytes": dropped.bytes, "droppedRecords": dropped.records, "reason": reason });
    worded(at, "platform.logsDropped", record)
}

/// What the Logs API has of an event.
fn in_logs(event: &PlatformEvent<'_>, at: UnixMillis) -> Option<Worded> {
    let fault = || event.line(LogFormat::Text, at).map(|text| ("platform.fault", text.trim_end().into()));
    match event {
        PlatformEvent::InitStart { .. }
        | PlatformEvent::InitRuntimeDone { .. }
        | PlatformEvent::InitReport { .. }
        | PlatformEvent::RestoreStart { .. }
        | PlatformEvent::RestoreRuntimeDone { .. }
        | PlatformEvent::RestoreReport { .. }
        | PlatformEvent::NoImage { .. } => None,
        PlatformEvent::Timeout { .. } | PlatformEvent::Ended(_) => fault(),
        PlatformEvent::End { request_id } => {
            Some(("platform.end", json!({ "requestId": request_id.as_str() })))
        }
        PlatformEvent::Subscribed { .. } => {
            event.record().map(|(_, record)| ("platform.logsSubscription", record))
        }
        PlatformEvent::RuntimeDone { .. } => only(event, &["requestId", "status"]),
        PlatformEvent::Report(_) => only(event, &["requestId", "metrics"]),
        PlatformEvent::Start { .. } | PlatformEvent::Extension(_) => event.record(),
    }
}

fn only(event: &PlatformEvent<'_>, fields: &[&str]) -> Option<Worded> {
    let (kind, mut record) = event.record()?;
    if let Value::Object(all) = &mut record {
        all.retain(|name, _| fields.contains(&name.as_str()));
    }
    Some((kind, record))
}
