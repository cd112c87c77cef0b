//! What the platform tells in a function's log: lines of text (LANG1-043..050), or JSON records in the schema of
//! the Telemetry API.

use std::fmt::Write as _;
use std::time::Duration;

use lambd_types::invocation::InitializationType;
use lambd_types::{
    FunctionSnapshot, LogFormat, LogLevel, MemorySize, RequestId, UnixMillis, Version, iso8601_millis,
};
use serde::Serialize;
use serde_json::{Value, json};

use crate::error_document::ErrorDocument;
use crate::extensions::Registered;
use crate::telemetry::{Api, Category};

/// Something that the platform has to tell.
#[derive(Debug, Clone)]
pub(crate) enum PlatformEvent<'a> {
    /// An environment begins to initialise.
    InitStart { initialization: InitializationType, phase: InitPhase, function: &'a FunctionSnapshot },
    /// The runtime of an environment is initialised, or failed to be.
    InitRuntimeDone { initialization: InitializationType, phase: InitPhase, status: &'a Status },
    /// An initialisation is over.
    InitReport {
        initialization: InitializationType,
        phase: InitPhase,
        status: &'a Status,
        duration: Duration,
    },
    /// An environment begins with an image.
    RestoreStart { function: &'a FunctionSnapshot },
    /// The runtime of such an environment is ready, or failed to be.
    RestoreRuntimeDone { status: &'a Status },
    /// It is ready, or not.
    RestoreReport { status: &'a Status, duration: Duration },
    /// A version with SnapStart has no image.
    NoImage { reason: &'a str },
    /// An event begins.
    Start { request_id: &'a RequestId, version: Version },
    /// The time of an event was over.
    Timeout { request_id: &'a RequestId, limit: Duration },
    /// The process ended during an event.
    Ended(&'a ErrorDocument),
    /// The runtime is done with an event.
    RuntimeDone { request_id: &'a RequestId, status: &'a Status, duration: Duration, produced_bytes: usize },
    /// An event is over.
    End { request_id: &'a RequestId },
    /// What it took.
    Report(Report<'a>),
    /// An extension at the end of an initialisation.
    Extension(&'a Registered),
    /// An extension has subscribed to streams.
    Subscribed { api: Api, name: &'a str, types: &'a [Category] },
}

#[derive(Serialize)]
struct Record {
    time: String,
    #[serde(rename = "type")]
    kind: &'static str,
    record: Value,
}

impl PlatformEvent<'_> {
    /// What a log of this format has of the event.
    pub(crate) fn line(&self, format: LogFormat, at: UnixMillis) -> Option<String> {
        match format {
            LogFormat::Text => self.text(at),
            LogFormat::Json { system, .. } if self.level() < system => None,
            LogFormat::Json { .. } => {
                let (kind, record) = self.record()?;
                let event = Record { time: iso8601_millis(at), kind, record };
                serde_json::to_string(&event).ok().map(|line| line + "\n")
            }
        }
    }

    /// Whether the record says which trace it belongs to.
    pub(crate) fn is_traced(&self) -> bool {
        matches!(self, Self::Start { .. } | Self::RuntimeDone { .. } | Self::Report(_))
    }

    /// The line of a text log; some events have none.
    fn text(&self, at: UnixMillis) -> Option<String> {
        Some(match self {
            Self::InitStart { .. } | Self::InitRuntimeDone { .. } | Self::RuntimeDone { .. } => return None,
            Self::RestoreStart { .. } | Self::RestoreRuntimeDone { .. } => return None,
            // Of those that went well only the `REPORT` tells.
            Self::InitReport { status: Status::Ok, .. } | Self::RestoreReport { status: Status::Ok, .. } => {
                return None;
            }
            Self::RestoreReport { status, duration } => {
                let (duration, status) = (millis(*duration), status.fields());
                format!("RESTORE_REPORT Restore Duration: {duration:.2} ms\t{status}\n")
            }
            Self::NoImage { reason } => {
                format!("SNAPSTART No snapshot: {reason}. Instances of this version initialise anew.\n")
            }
            Self::InitReport { phase, status, duration, .. } => {
                let (duration, phase, status) = (millis(*duration), phase.as_str(), status.fields());
                format!("INIT_REPORT Init Duration: {duration:.2} ms\tPhase: {phase}\t{status}\n")
            }
            Self::Start { request_id, version } => {
                format!("START RequestId: {request_id} Version: {version}\n")
            }
            Self::Timeout { request_id, limit } => {
                let (at, seconds) = (iso8601_millis(at), limit.as_secs_f64());
                format!("{at} {request_id} Task timed out after {seconds:.2} seconds\n")
            }
            Self::Ended(document) => format!("{}\n{}\n", document.message, document.error_type),
            Self::End { request_id } => format!("END RequestId: {request_id}\n"),
            Self::Report(report) => report.line(),
            Self::Extension(Registered { name, state, events, error_type }) => {
                let events = events.join(", ");
                let error =
                    error_type.as_ref().map(|kind| format!("\tError Type: {kind}")).unwrap_or_default();
                format!("EXTENSION\tName: {name}\tState: {state}\tEvents: [{events}]{error}\n")
            }
            Self::Subscribed { api, name, types } => {
                let types: Vec<_> = types.iter().map(|kind| kind.title()).collect();
                format!("{}\tName: {name}\tState: Subscribed\tTypes: [{}]\n", api.title(), types.join(", "))
            }
        })
    }

    /// How important it is, as the service has it for its log levels.
    fn level(&self) -> LogLevel {
        match self {
            Self::Start { .. } | Self::Subscribed { .. } => LogLevel::Info,
            Self::Extension(Registered { error_type: None, .. }) => LogLevel::Info,
            Self::Report(Report { status: Status::Ok, .. }) => LogLevel::Info,
            Self::InitReport { status: Status::Ok, initialization, .. }
                if *initialization != InitializationType::OnDemand =>
            {
                LogLevel::Info
            }
            Self::RestoreReport { status: Status::Ok, .. } => LogLevel::Info,
            Self::InitStart { .. }
            | Self::RestoreStart { .. }
            | Self::RestoreRuntimeDone { status: Status::Ok }
            | Self::InitRuntimeDone { status: Status::Ok, .. }
            | Self::InitReport { status: Status::Ok, .. }
            | Self::RuntimeDone { status: Status::Ok, .. } => LogLevel::Debug,
            _ => LogLevel::Warn,
        }
    }

    /// Its type and record, in the schema of the Telemetry API; what the next event tells as well has none.
    pub(crate) fn record(&self) -> Option<(&'static str, Value)> {
        let (kind, status, mut record) = match self {
            Self::Timeout { .. } | Self::Ended(_) | Self::End { .. } => return None,
            Self::InitStart { initialization, phase, function } => (
                "platform.initStart",
                None,
                json!({
                    "initializationType": initialization.as_str(),
                    "phase": phase.as_str(),
                    "functionName": function.key.name.as_str(),
                    "functionVersion": function.key.version.to_string(),
                    "instanceMaxMemory": function.memory.bytes(),
                }),
            ),
            Self::InitRuntimeDone { initialization, phase, status } => (
                "platform.initRuntimeDone",
                Some(*status),
                json!({ "initializationType": initialization.as_str(), "phase": phase.as_str() }),
            ),
            Self::InitReport { initialization, phase, status, duration } => (
                "platform.initReport",
                Some(*status),
                json!({
                    "initializationType": initialization.as_str(),
                    "phase": phase.as_str(),
                    "metrics": { "durationMs": millis(*duration) },
                }),
            ),
            Self::RestoreStart { function } => (
                "platform.restoreStart",
                None,
                json!({
                    "functionName": function.key.name.as_str(),
                    "functionVersion": function.key.version.to_string(),
                    "instanceMaxMemory": function.memory.bytes(),
                }),
            ),
            Self::RestoreRuntimeDone { status } => ("platform.restoreRuntimeDone", Some(*status), json!({})),
            Self::RestoreReport { status, duration } => (
                "platform.restoreReport",
                Some(*status),
                json!({ "metrics": { "durationMs": millis(*duration) } }),
            ),
            Self::NoImage { reason } => {
                ("platform.snapStart", None, json!({ "snapshot": false, "reason": reason }))
            }
            Self::Start { request_id, version } => (
                "platform.start",
                None,
                json!({ "requestId": request_id.as_str(), "version": version.to_string() }),
            ),
            Self::RuntimeDone { request_id, status, duration, produced_bytes } => (
                "platform.runtimeDone",
                Some(*status),
                json!({
                    "requestId": request_id.as_str(),
                    "metrics": { "durationMs": millis(*duration), "producedBytes": produced_bytes },
                }),
            ),
            Self::Report(report) => ("platform.report", Some(&report.status), report.record()),
            Self::Extension(Registered { name, state, events, error_type }) => {
                let mut record = json!({ "name": name, "state": state, "events": events });
                if let Some(kind) = error_type {
                    record["errorType"] = kind.as_str().into();
                }
                ("platform.extension", None, record)
            }
            Self::Subscribed { api, name, types } => {
                let kind = match api {
                    Api::Telemetry => "platform.telemetrySubscription",
                    Api::Logs => "platform.logsSubscription",
                };
                let types: Vec<_> = types.iter().map(|kind| kind.as_str()).collect();
                (kind, None, json!({ "name": name, "state": "Subscribed", "types": types }))
            }
        };
        if let Some(status) = status {
            status.add_to(&mut record);
        }
        Some((kind, record))
    }
}

/// What today's service adds to a report when the platform ended the phase. An error that a handler
/// reported is no such end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Status {
    Ok,
    Timeout,
    /// With its type.
    Error(String),
}

impl Status {
    /// The fields of a line that tell of it; nothing is told of success.
    fn fields(&self) -> String {
        match self {
            Self::Ok => String::new(),
            Self::Timeout => "Status: timeout".to_owned(),
            Self::Error(kind) => format!("Status: error\tError Type: {kind}"),
        }
    }

    fn add_to(&self, record: &mut Value) {
        record["status"] = match self {
            Self::Ok => "success",
            Self::Timeout => "timeout",
            Self::Error(kind) => {
                record["errorType"] = kind.as_str().into();
                "error"
            }
        }
        .into();
    }
}

/// Where an initialisation ran.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum InitPhase {
    /// In the init phase, before the first event.
    Init,
    /// Once more inside an event, which it is part of.
    Invoke,
}

impl InitPhase {
    fn as_str(self) -> &'static str {
        match self {
            Self::Init => "init",
            Self::Invoke => "invoke",
        }
    }
}

/// What came before the first event of an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Beginning {
    /// It was initialised.
    Init(Duration),
    /// It was restored; what of that ran code of the function is billed.
    Restore { duration: Duration, billed: Duration },
}

/// The numbers of a `REPORT` line.
#[derive(Debug, Clone)]
pub(crate) struct Report<'a> {
    pub(crate) request_id: &'a RequestId,
    pub(crate) duration: Duration,
    /// On the first event of an instance.
    pub(crate) beginning: Option<Beginning>,
    /// Whether the init phase is billed: for custom runtimes (RT-51), not for managed ones (LANG1-049).
    pub(crate) init_is_billed: bool,
    pub(crate) memory: MemorySize,
    pub(crate) peak_bytes: u64,
    pub(crate) status: Status,
}

impl Report<'_> {
    fn line(&self) -> String {
        let mut line = format!(
            "REPORT RequestId: {}\tDuration: {:.2} ms\tBilled Duration: {} ms\tMemory Size: {} MB\tMax Memory Used: {} MB\t",
            self.request_id,
            millis(self.duration),
            self.billed_millis(),
            self.memory.get(),
            self.peak_megabytes(),
        );
        match self.beginning {
            Some(Beginning::Init(init)) => {
                let _ = write!(line, "Init Duration: {:.2} ms\t", millis(init));
            }
            Some(Beginning::Restore { duration, billed }) => {
                let (duration, billed) = (millis(duration), whole_millis(billed));
                let _ = write!(
                    line,
                    "Restore Duration: {duration:.2} ms\tBilled Restore Duration: {billed} ms\t"
                );
            }
            None => {}
        }
        line.push_str(&self.status.fields());
        line.push('\n');
        line
    }

    fn record(&self) -> Value {
        let mut metrics = json!({
            "durationMs": millis(self.duration),
            "billedDurationMs": self.billed_millis() as u64,
            "memorySizeMB": self.memory.get(),
            "maxMemoryUsedMB": self.peak_megabytes(),
        });
        match self.beginning {
            Some(Beginning::Init(init)) => metrics["initDurationMs"] = millis(init).into(),
            Some(Beginning::Restore { duration, billed }) => {
                metrics["restoreDurationMs"] = millis(duration).into();
                metrics["billedRestoreDurationMs"] = (whole_millis(billed) as u64).into();
            }
            None => {}
        }
        json!({ "requestId": self.request_id.as_str(), "metrics": metrics })
    }

    /// Granularity is 1 ms.
    fn billed_millis(&self) -> u128 {
        let billed = match self.beginning {
            Some(Beginning::Init(init)) if self.init_is_billed => whole_millis(self.duration + init),
            Some(Beginning::Restore { billed, .. }) => whole_millis(self.duration) + whole_millis(billed),
            _ => whole_millis(self.duration),
        };
        billed.max(1)
    }

    fn peak_megabytes(&self) -> u64 {
        self.peak_bytes.div_ceil(1024 * 1024).max(1)
    }
}

fn whole_millis(duration: Duration) -> u128 {
    duration.as_micros().div_ceil(1000)
}

/// To the microsecond.
fn millis(duration: Duration) -> f64 {
    duration.as_micros() as f64 / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(id: &RequestId) -> Report<'_> {
        Report {
            request_id: id,
            duration: Duration::from_micros(26_730),
            beginning: None,
            init_is_billed: false,
            memory: MemorySize::default(),
            peak_bytes: 75 * 1024 * 1024,
            status: Status::Ok,
        }
    }

    /// As in AWS's own example: 101 ms and 93 ms.
    #[test]
    fn the_restoration_is_billed_in_part() {
        let id = RequestId::from_stored("x".into());
        let (duration, billed) = (Duration::from_micros(784_790), Duration::from_micros(92_100));
        let restored = Report {
            duration: Duration::from_micros(100_530),
            beginning: Some(Beginning::Restore { duration, billed }),
            ..report(&id)
        };
        assert_eq!(
            restored.line(),
            "REPORT RequestId: x\tDuration: 100.53 ms\tBilled Duration: 194 ms\tMemory Size: 128 MB\tMax Memory Used: 75 MB\t\
             Restore Duration: 784.79 ms\tBilled Restore Duration: 93 ms\t\n"
        );
        let metrics = &restored.record()["metrics"];
        assert_eq!(metrics["restoreDurationMs"], 784.79);
        assert_eq!(metrics["billedRestoreDurationMs"], 93);
        assert_eq!(metrics["billedDurationMs"], 194);
        let failed = PlatformEvent::RestoreReport { status: &Status::Timeout, duration };
        assert_eq!(
            failed.line(LogFormat::Text, UnixMillis(0)).unwrap(),
            "RESTORE_REPORT Restore Duration: 784.79 ms\tStatus: timeout\n"
        );
    }

    /// LANG1-045, LANG1-046, LANG1-050.
    #[test]
    fn the_report_line_has_tabs_and_two_decimals() {
        let id = RequestId::from_stored("4ce9340a".into());
        assert_eq!(
            report(&id).line(),
            "REPORT RequestId: 4ce9340a\tDuration: 26.73 ms\tBilled Duration: 27 ms\tMemory Size: 128 MB\tMax Memory Used: 75 MB\t\n"
        );
        let cold = Report { beginning: Some(Beginning::Init(Duration::from_micros(166_620))), ..report(&id) };
        assert!(cold.line().ends_with("\tMax Memory Used: 75 MB\tInit Duration: 166.62 ms\t\n"));
        assert!(cold.line().contains("Billed Duration: 27 ms"));
    }

    #[test]
    fn ends_by_the_platform_are_told() {
        let id = RequestId::from_stored("x".into());
        let line = |status| Report { status, ..report(&id) }.line();
        assert!(line(Status::Timeout).ends_with("\tMax Memory Used: 75 MB\tStatus: timeout\n"));
        let error = line(Status::Error("Runtime.ExitError".into()));
        assert!(error.ends_with("\tMax Memory Used: 75 MB\tStatus: error\tError Type: Runtime.ExitError\n"));
    }

    #[test]
    fn a_failed_initialisation_has_a_line_of_its_own() {
        let line = |micros, phase, status: &Status| {
            let (initialization, duration) = (InitializationType::OnDemand, Duration::from_micros(micros));
            let event = PlatformEvent::InitReport { initialization, phase, status, duration };
            event.line(LogFormat::Text, UnixMillis(0)).expect("a line")
        };
        assert_eq!(
            line(9_999_560, InitPhase::Init, &Status::Timeout),
            "INIT_REPORT Init Duration: 9999.56 ms\tPhase: init\tStatus: timeout\n"
        );
        let error = Status::Error("Runtime.ImportModuleError".into());
        assert_eq!(
            line(80_490, InitPhase::Invoke, &error),
            "INIT_REPORT Init Duration: 80.49 ms\tPhase: invoke\tStatus: error\tError Type: Runtime.ImportModuleError\n"
        );
    }

    /// RT-51: a custom runtime's init counts in what is billed.
    #[test]
    fn custom_runtimes_are_billed_for_init() {
        let id = RequestId::from_stored("x".into());
        let cold = Report {
            beginning: Some(Beginning::Init(Duration::from_millis(48))),
            init_is_billed: true,
            ..report(&id)
        };
        assert!(cold.line().contains("Billed Duration: 75 ms"));
    }

    /// A log in JSON has what is important enough.
    #[test]
    fn records_have_levels() {
        let id = RequestId::from_stored("x".into());
        let json = |system| LogFormat::Json { application: LogLevel::Info, system };
        let lines = |event: &PlatformEvent<'_>| {
            [LogLevel::Debug, LogLevel::Info, LogLevel::Warn]
                .map(|system| event.line(json(system), UnixMillis(1_700_000_000_123)).is_some())
        };
        let version = Version::Latest;
        let start = PlatformEvent::Start { request_id: &id, version };
        assert_eq!(
            start.line(json(LogLevel::Info), UnixMillis(1_700_000_000_123)).unwrap(),
            r#"{"time":"2023-11-14T22:13:20.123Z","type":"platform.start","record":{"requestId":"x","version":"$LATEST"}}"#
                .to_owned()
                + "\n"
        );
        assert_eq!(lines(&start), [true, true, false]);
        assert_eq!(lines(&PlatformEvent::Report(report(&id))), [true, true, false]);
        let failed = Report { status: Status::Timeout, ..report(&id) };
        assert_eq!(lines(&PlatformEvent::Report(failed)), [true, true, true]);
        let done = |status| PlatformEvent::RuntimeDone {
            request_id: &id,
            status,
            duration: Duration::ZERO,
            produced_bytes: 0,
        };
        assert_eq!(lines(&done(&Status::Ok)), [true, false, false]);
        assert_eq!(lines(&done(&Status::Error("Runtime.ExitError".into()))), [true, true, true]);
        let initialised = |initialization| PlatformEvent::InitReport {
            initialization,
            phase: InitPhase::Init,
            status: &Status::Ok,
            duration: Duration::ZERO,
        };
        assert_eq!(lines(&initialised(InitializationType::OnDemand)), [true, false, false]);
        assert_eq!(lines(&initialised(InitializationType::Provisioned)), [true, true, false]);
        assert_eq!(lines(&PlatformEvent::End { request_id: &id }), [false, false, false]);
    }
}
