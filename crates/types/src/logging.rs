//! How much a function's log has, and in which form (`LoggingConfig`).

/// The importance of a log record, the least important first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum LogLevel {
    /// `TRACE`.
    Trace,
    /// `DEBUG`.
    Debug,
    /// `INFO`.
    Info,
    /// `WARN`.
    Warn,
    /// `ERROR`.
    Error,
    /// `FATAL`.
    Fatal,
}

impl LogLevel {
    /// All levels, the least important first.
    pub const ALL: [Self; 6] = [Self::Trace, Self::Debug, Self::Info, Self::Warn, Self::Error, Self::Fatal];

    /// The name that the API and log records have for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Trace => "TRACE",
            Self::Debug => "DEBUG",
            Self::Info => "INFO",
            Self::Warn => "WARN",
            Self::Error => "ERROR",
            Self::Fatal => "FATAL",
        }
    }

    /// The level that a log record names, in the words of whatever library wrote it: in any case, and with
    /// `WARNING` and `CRITICAL` as Python has them.
    pub fn of_record(name: &str) -> Option<Self> {
        let is = |other: &str| name.eq_ignore_ascii_case(other);
        let by_name = Self::ALL.into_iter().find(|level| is(level.as_str()));
        by_name
            .or_else(|| is("WARNING").then_some(Self::Warn))
            .or_else(|| is("CRITICAL").then_some(Self::Fatal))
    }
}

/// The form of a function's log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum LogFormat {
    /// Lines of text, all of them.
    #[default]
    Text,
    /// JSON objects, those that are important enough.
    Json {
        /// Least important level that is kept of what the function writes.
        application: LogLevel,
        /// The same for the platform's own records.
        system: LogLevel,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_known_by_the_names_of_common_libraries() {
        for level in LogLevel::ALL {
            assert_eq!(LogLevel::of_record(level.as_str()), Some(level));
            assert_eq!(LogLevel::of_record(&level.as_str().to_lowercase()), Some(level));
        }
        assert_eq!(LogLevel::of_record("Warning"), Some(LogLevel::Warn));
        assert_eq!(LogLevel::of_record("CRITICAL"), Some(LogLevel::Fatal));
        assert_eq!(LogLevel::of_record("loud"), None);
        assert!(LogLevel::ALL.is_sorted());
    }
}
