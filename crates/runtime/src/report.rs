//! The platform's lines in a function's log (LANG1-043..050).

use std::fmt::Write as _;
use std::time::Duration;

use lambd_types::{MemorySize, RequestId, UnixMillis, Version, iso8601_millis};

/// `START RequestId: … Version: …`.
pub(crate) fn start_line(request_id: &RequestId, version: Version) -> String {
    format!("START RequestId: {request_id} Version: {version}\n")
}

/// `END RequestId: …`.
pub(crate) fn end_line(request_id: &RequestId) -> String {
    format!("END RequestId: {request_id}\n")
}

/// The line that tells of a timeout.
pub(crate) fn timeout_line(at: UnixMillis, request_id: &RequestId, seconds: f64) -> String {
    format!("{} {request_id} Task timed out after {seconds:.2} seconds\n", iso8601_millis(at))
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
}

/// Where an initialisation ran.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum InitPhase {
    /// In the init phase, before the first event.
    Init,
    /// Once more inside an event, which it is part of.
    Invoke,
}

/// The line that tells of an initialisation that did not succeed; of others only the `REPORT` tells.
pub(crate) fn init_report_line(duration: Duration, phase: InitPhase, status: &Status) -> String {
    let phase = match phase {
        InitPhase::Init => "init",
        InitPhase::Invoke => "invoke",
    };
    let (duration, status) = (millis(duration), status.fields());
    format!("INIT_REPORT Init Duration: {duration:.2} ms\tPhase: {phase}\t{status}\n")
}

/// The numbers of a `REPORT` line.
#[derive(Debug, Clone)]
pub(crate) struct Report<'a> {
    pub(crate) request_id: &'a RequestId,
    pub(crate) duration: Duration,
    /// On the first event of an instance.
    pub(crate) init: Option<Duration>,
    /// Whether the init phase is billed: for custom runtimes (RT-51), not for managed ones (LANG1-049).
    pub(crate) init_is_billed: bool,
    pub(crate) memory: MemorySize,
    pub(crate) peak_bytes: u64,
    pub(crate) status: Status,
}

impl Report<'_> {
    /// The line. Billing granularity is 1 ms.
    pub(crate) fn line(&self) -> String {
        let billed = self.duration + self.init.filter(|_| self.init_is_billed).unwrap_or_default();
        let mut line = format!(
            "REPORT RequestId: {}\tDuration: {:.2} ms\tBilled Duration: {} ms\tMemory Size: {} MB\tMax Memory Used: {} MB\t",
            self.request_id,
            millis(self.duration),
            billed.as_micros().div_ceil(1000).max(1),
            self.memory.get(),
            self.peak_bytes.div_ceil(1024 * 1024).max(1),
        );
        if let Some(init) = self.init {
            let _ = write!(line, "Init Duration: {:.2} ms\t", millis(init));
        }
        line.push_str(&self.status.fields());
        line.push('\n');
        line
    }
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(id: &RequestId) -> Report<'_> {
        Report {
            request_id: id,
            duration: Duration::from_micros(26_730),
            init: None,
            init_is_billed: false,
            memory: MemorySize::default(),
            peak_bytes: 75 * 1024 * 1024,
            status: Status::Ok,
        }
    }

    /// LANG1-045, LANG1-046, LANG1-050.
    #[test]
    fn the_report_line_has_tabs_and_two_decimals() {
        let id = RequestId::from_stored("4ce9340a".into());
        assert_eq!(
            report(&id).line(),
            "REPORT RequestId: 4ce9340a\tDuration: 26.73 ms\tBilled Duration: 27 ms\tMemory Size: 128 MB\tMax Memory Used: 75 MB\t\n"
        );
        let cold = Report { init: Some(Duration::from_micros(166_620)), ..report(&id) };
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
        assert_eq!(
            init_report_line(Duration::from_micros(9_999_560), InitPhase::Init, &Status::Timeout),
            "INIT_REPORT Init Duration: 9999.56 ms\tPhase: init\tStatus: timeout\n"
        );
        let error = Status::Error("Runtime.ImportModuleError".into());
        assert_eq!(
            init_report_line(Duration::from_micros(80_490), InitPhase::Invoke, &error),
            "INIT_REPORT Init Duration: 80.49 ms\tPhase: invoke\tStatus: error\tError Type: Runtime.ImportModuleError\n"
        );
    }

    /// RT-51: a custom runtime's init counts in what is billed.
    #[test]
    fn custom_runtimes_are_billed_for_init() {
        let id = RequestId::from_stored("x".into());
        let cold = Report { init: Some(Duration::from_millis(48)), init_is_billed: true, ..report(&id) };
        assert!(cold.line().contains("Billed Duration: 75 ms"));
    }
}
