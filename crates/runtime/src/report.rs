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

/// What today's service adds to a report when the platform ended the invocation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Status {
    Ok,
    Timeout,
    Error(String),
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
        match &self.status {
            Status::Ok => {}
            Status::Timeout => line.push_str("Status: timeout\t"),
            Status::Error(kind) => {
                let _ = write!(line, "Status: error\tError Type: {kind}\t");
            }
        }
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

    /// RT-51: a custom runtime's init counts in what is billed.
    #[test]
    fn custom_runtimes_are_billed_for_init() {
        let id = RequestId::from_stored("x".into());
        let cold = Report { init: Some(Duration::from_millis(48)), init_is_billed: true, ..report(&id) };
        assert!(cold.line().contains("Billed Duration: 75 ms"));
    }
}
