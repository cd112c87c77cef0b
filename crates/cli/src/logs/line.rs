//! What a log message says, as far as it has a known form.

/// One message, taken apart.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum LogLine<'a> {
    /// An invocation begins.
    Start { request_id: &'a str },
    /// An invocation ends.
    End,
    /// What an invocation took.
    Report(Report<'a>),
    /// A line of the function, with its level where a logging library wrote one.
    Text { level: Option<&'a str>, text: &'a str },
}

/// The figures of a REPORT line, numbers as they are written there.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Report<'a> {
    pub(crate) request_id: &'a str,
    pub(crate) duration: Option<&'a str>,
    pub(crate) init: Option<&'a str>,
    pub(crate) memory: Option<&'a str>,
}

impl<'a> LogLine<'a> {
    pub(crate) fn parse(message: &'a str) -> Self {
        let line = message.trim_end();
        if let Some(rest) = line.strip_prefix("START RequestId: ") {
            return Self::Start { request_id: rest.split_whitespace().next().unwrap_or_default() };
        }
        if line.starts_with("END RequestId: ") {
            return Self::End;
        }
        if line.starts_with("REPORT RequestId: ") {
            return Self::Report(Report::parse(line));
        }
        Self::text(line)
    }

    /// Node.js writes `time \t request \t LEVEL \t text`, Python `[LEVEL] \t time \t request \t text`.
    fn text(line: &'a str) -> Self {
        let parts: Vec<&str> = line.splitn(4, '\t').collect();
        match parts.as_slice() {
            [time, _, level, text] if is_time(time) && is_level(level) => {
                Self::Text { level: Some(level), text }
            }
            [bracketed, time, _, text] if is_time(time) => {
                let level = bracketed.trim_start_matches('[').trim_end_matches(']');
                Self::Text { level: Some(level), text }
            }
            _ => Self::Text { level: first_word_level(line), text: line },
        }
    }
}

impl<'a> Report<'a> {
    fn parse(line: &'a str) -> Self {
        let mut report = Self::default();
        for field in line.split('\t') {
            let Some((name, value)) = field.trim().split_once(": ") else { continue };
            match name {
                "REPORT RequestId" => report.request_id = value,
                "Duration" => report.duration = Some(value),
                "Init Duration" => report.init = Some(value),
                "Max Memory Used" => report.memory = Some(value),
                _ => {}
            }
        }
        report
    }

    /// The last REPORT line in the end of a log.
    pub(crate) fn in_tail(tail: &'a str) -> Option<Self> {
        tail.lines().rev().find_map(|line| match LogLine::parse(line) {
            LogLine::Report(report) => Some(report),
            _ => None,
        })
    }
}

fn is_time(text: &str) -> bool {
    text.len() >= 20 && text.ends_with('Z') && text.as_bytes()[10] == b'T'
}

fn is_level(text: &str) -> bool {
    matches!(text, "TRACE" | "DEBUG" | "INFO" | "WARN" | "WARNING" | "ERROR" | "FATAL" | "CRITICAL")
}

/// `[ERROR] ...` as the runtimes write errors, and `ERROR ...` as many loggers do.
fn first_word_level(line: &str) -> Option<&str> {
    let word = line.split([' ', '\t', ':']).next()?;
    let word = word.trim_start_matches('[').trim_end_matches(']');
    is_level(word).then_some(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn platform_lines() {
        assert_eq!(
            LogLine::parse("START RequestId: a-b Version: $LATEST\n"),
            LogLine::Start { request_id: "a-b" }
        );
        assert_eq!(LogLine::parse("END RequestId: a-b\n"), LogLine::End);
        let report = "REPORT RequestId: a-b\tDuration: 26.73 ms\tBilled Duration: 27 ms \tMemory Size: 128 MB\tMax \
                      Memory Used: 75 MB\tInit Duration: 48.26 ms\t\n";
        let figures = Report {
            request_id: "a-b",
            duration: Some("26.73 ms"),
            init: Some("48.26 ms"),
            memory: Some("75 MB"),
        };
        assert_eq!(LogLine::parse(report), LogLine::Report(figures.clone()));
        assert_eq!(Report::in_tail(&format!("START x\nhello\n{report}")), Some(figures));
        assert_eq!(Report::in_tail("hello"), None);
    }

    #[test]
    fn lines_of_functions() {
        let text = |level, text| LogLine::Text { level, text };
        assert_eq!(
            LogLine::parse("2020-01-31T12:00:00.000Z\ta-b\tINFO\thi\tthere\n"),
            text(Some("INFO"), "hi\tthere")
        );
        assert_eq!(
            LogLine::parse("[WARNING]\t2020-01-31T12:00:00.000Z\ta-b\thi\n"),
            text(Some("WARNING"), "hi")
        );
        assert_eq!(LogLine::parse("[ERROR] KeyError: 'x'"), text(Some("ERROR"), "[ERROR] KeyError: 'x'"));
        assert_eq!(LogLine::parse("plain text"), text(None, "plain text"));
        assert_eq!(LogLine::parse(""), text(None, ""));
        assert_eq!(LogLine::parse("ä\tö\tü\tß"), text(None, "ä\tö\tü\tß"));
    }
}
