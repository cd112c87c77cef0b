//! What a log in JSON leaves out of what the function writes.

use lambd_types::{LogFormat, LogLevel};
use serde::Deserialize;
use serde::de::IgnoredAny;

/// Leaves out records below a level.
///
/// Only JSON objects have a level: that in `level` (`log_level` in the error records of AWS's Python runtime), or
/// `INFO` if there is none that is known. Other lines are always kept.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LogFilter {
    /// The least important level that is kept; `None` keeps all.
    least: Option<LogLevel>,
}

#[derive(Deserialize)]
struct Record<'a> {
    #[serde(borrow, default, alias = "log_level")]
    level: Option<Name<'a>>,
}

/// A text, or anything else, which names no level.
#[derive(Deserialize)]
#[serde(untagged)]
enum Name<'a> {
    #[serde(borrow)]
    Text(std::borrow::Cow<'a, str>),
    Other(IgnoredAny),
}

impl LogFilter {
    /// The filter of a log of this format.
    pub(crate) fn of(format: LogFormat) -> Self {
        let least = match format {
            // Nothing is below the first level.
            LogFormat::Text | LogFormat::Json { application: LogLevel::Trace, .. } => None,
            LogFormat::Json { application, .. } => Some(application),
        };
        Self { least }
    }

    /// Whether a line goes to the log.
    pub(crate) fn keeps(self, line: &[u8]) -> bool {
        let Some(least) = self.least else { return true };
        if line.trim_ascii_start().first() != Some(&b'{') {
            return true;
        }
        let Ok(record) = serde_json::from_slice::<Record<'_>>(line) else { return true };
        let level = match &record.level {
            Some(Name::Text(name)) => LogLevel::of_record(name),
            Some(Name::Other(IgnoredAny)) | None => None,
        };
        level.unwrap_or(LogLevel::Info) >= least
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keeps(application: LogLevel, line: &str) -> bool {
        LogFilter::of(LogFormat::Json { application, system: LogLevel::Info }).keeps(line.as_bytes())
    }

    #[test]
    fn records_below_the_level_are_left_out() {
        use LogLevel::{Debug, Error, Fatal, Info, Trace, Warn};
        let line = r#" {"timestamp":"2024-01-01T00:00:00Z","level":"WARNING","message":"m","n":{"level":1}}"#;
        assert_eq!([Trace, Info, Warn, Error].map(|least| keeps(least, line)), [true, true, true, false]);
        let coded = "{\"level\":\"D\\u0045BUG\"}\n";
        assert_eq!([Debug, Info].map(|least| keeps(least, coded)), [true, false]);
        let error = r#"{"log_level":"ERROR","errorType":"E"}"#;
        assert_eq!([Error, Fatal].map(|least| keeps(least, error)), [true, false]);
    }

    #[test]
    fn objects_without_a_level_are_info_and_the_rest_is_kept() {
        for line in ["{}", r#"{"level":30}"#, r#"{"level":"loud"}"#, r#"{"level":null}"#] {
            assert!(keeps(LogLevel::Info, line) && !keeps(LogLevel::Warn, line), "{line}");
        }
        for line in [
            "text\n",
            "",
            "[{\"level\":\"DEBUG\"}]",
            "{not json",
            "{\"level\":\"DEBUG\"} more",
            "{\"a\":\"\u{fffd}",
        ] {
            assert!(keeps(LogLevel::Fatal, line), "{line}");
        }
        assert!(LogFilter::of(LogFormat::Text).keeps(br#"{"level":"TRACE"}"#));
    }
}
