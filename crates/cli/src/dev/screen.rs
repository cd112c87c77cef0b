//! How `lambd dev` looks.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::Value;

use super::deploy::{Change, DeployError, Deployed};
use super::event::Tried;
use crate::commands::invoke::error_text;
use crate::commands::logs::coloured_by_level;
use crate::commands::serve::{facts, url};
use crate::console::{Console, Paint, bytes_text, table};
use crate::logs::{LogLine, Report};
use crate::ports::RunningDaemon;
use crate::project::{FunctionSpec, Problem};

const HEADER: [&str; 7] = ["FUNCTION", "RUNTIME", "HANDLER", "MEMORY", "TIMEOUT", "CODE", "DEPLOYED"];
/// A response up to this many characters stays on one line.
const ONE_LINE: usize = 100;

/// Writes what happens to stdout. What cannot be written has no reader; the work goes on.
#[derive(Debug, Clone)]
pub(super) struct Screen {
    console: Console,
    paint: Paint,
    dir: PathBuf,
    /// Width of the longest function name, for the prefixes of log lines.
    width: Arc<AtomicUsize>,
}

impl Screen {
    pub(super) fn new(console: Console, dir: &Path) -> Self {
        let paint = console.out_paint();
        Self { console, paint, dir: dir.to_owned(), width: Arc::default() }
    }

    fn line(&self, text: &str) {
        let _ = self.console.out(text);
    }

    pub(super) fn make_room_for<'a>(&self, names: impl Iterator<Item = &'a str>) {
        self.width.store(names.map(str::len).max().unwrap_or(0), Ordering::Relaxed);
    }

    pub(super) fn title(&self, running: &RunningDaemon, region: &str, account: &str) {
        let paint = self.paint;
        let heading =
            format!("{} {}", paint.cyan("λ"), paint.bold(&format!("lambd dev {}", self.dir.display())));
        self.line(&format!("\n{heading} on {}", url(running, paint)));
        self.line(&facts(running, region, account, paint));
    }

    pub(super) fn deployed(&self, all: &[(&FunctionSpec, Result<Deployed, DeployError>)]) {
        let row = |(spec, result): &(&FunctionSpec, Result<Deployed, DeployError>)| {
            let (runtime, size, change) = match result {
                Ok(done) => (done.runtime.clone(), bytes_text(done.size as u64), change_text(done)),
                Err(_) => (spec.runtime.clone(), "-".into(), "failed".into()),
            };
            let memory = format!("{} MB", spec.memory.get());
            let timeout = format!("{} s", spec.timeout.get());
            vec![spec.name.to_string(), runtime, spec.handler.clone(), memory, timeout, size, change]
        };
        let rows: Vec<Vec<String>> = all.iter().map(row).collect();
        let table = table(&HEADER, &rows, self.paint);
        self.line(&format!("\n{}", indented(&table, "  ")));
        for (spec, result) in all {
            if let Err(error) = result {
                self.deploy_failed(spec, error);
            }
        }
    }

    pub(super) fn redeployed(&self, name: &str, done: &Deployed) {
        let text = format!("{} {}  {}", self.paint.cyan("↻"), self.paint.bold(name), change_text(done));
        self.line(&text);
    }

    pub(super) fn removed(&self, name: &str) {
        self.line(&format!(
            "{} {}  removed, its source is gone",
            self.paint.cyan("↻"),
            self.paint.bold(name)
        ));
    }

    pub(super) fn deploy_failed(&self, spec: &FunctionSpec, error: &dyn std::fmt::Display) {
        let text = indented(&error.to_string(), "    ");
        self.line(&format!(
            "{} {}  {}",
            self.paint.red("✗"),
            self.paint.bold(spec.name.as_str()),
            text.trim_start()
        ));
    }

    pub(super) fn problems(&self, problems: &[Problem]) {
        for problem in problems {
            self.line(&format!("{} {problem}", self.paint.red("✗")));
        }
        self.line(&self.paint.dim("  what was deployed before keeps running"));
    }

    pub(super) fn warning(&self, warning: &dyn std::fmt::Display) {
        self.line(&format!("{} {warning}", self.paint.yellow("!")));
    }

    /// An empty line between what belongs apart.
    pub(super) fn gap(&self) {
        self.line("");
    }

    /// What is good to know and needs no action.
    pub(super) fn notices(&self, notices: &[String]) {
        notices.iter().for_each(|notice| self.warning(notice));
    }

    pub(super) fn debugging(&self, notice: &str) {
        self.line(&format!("{} {notice}", self.paint.cyan("◉")));
    }

    pub(super) fn watching(&self, count: usize) {
        let noun = if count == 1 { "function" } else { "functions" };
        self.line(&format!(
            "\n{}",
            self.paint.dim(&format!("watching {count} {noun}: save to redeploy, Ctrl-C to stop"))
        ));
    }

    /// A response with its log and timings.
    pub(super) fn tried(&self, name: &str, event: &[u8], tried: &Tried) {
        let paint = self.paint;
        let tail = tried.done.log_tail.as_deref().unwrap_or_default();
        let event = String::from_utf8_lossy(event);
        let event = if event.chars().count() > ONE_LINE { "event".into() } else { event };
        let mut lines =
            vec![format!("\n{} {}  {}", paint.cyan("▶"), self.name(name), paint.dim(event.trim()))];
        for message in tail.lines() {
            if let LogLine::Text { level, text } = LogLine::parse(message) {
                lines.push(format!("  {} {}", paint.dim("│"), coloured_by_level(level, text, paint)));
            }
        }
        let mark = match &tried.done.function_error {
            Some(kind) => {
                lines.push(indented(&error_text(kind, &tried.done.payload, paint), "  "));
                paint.red("✗")
            }
            None => {
                lines.push(indented(&paint.bold(&response_text(&tried.done.payload)), "  "));
                paint.green("✓")
            }
        };
        lines.push(format!("  {mark} {}", paint.dim(&timings(tried.round_trip, Report::in_tail(tail)))));
        self.line(&lines.join("\n"));
    }

    pub(super) fn not_tried(&self, name: &str, error: &dyn std::fmt::Display) {
        self.line(&format!("\n{} {}  {error}", self.paint.red("✗"), self.name(name)));
    }

    /// A log message of a function, one line of the screen for each of its lines.
    pub(super) fn log(&self, name: &str, message: &str) {
        let width = self.width.load(Ordering::Relaxed);
        let padding = " ".repeat(width.saturating_sub(name.len()));
        let prefix = format!("{}{padding} {}", self.name(name), self.paint.dim("│"));
        let text = match LogLine::parse(message) {
            LogLine::Start { .. } | LogLine::End => return,
            LogLine::Report(report) => self.paint.dim(&format!("└ {}", figures(&report).join(" · "))),
            LogLine::Text { level, text } => coloured_by_level(level, text, self.paint),
        };
        self.line(
            &text.split(['\n', '\r']).map(|line| format!("{prefix} {line}")).collect::<Vec<_>>().join("\n"),
        );
    }

    /// The name in its own colour, always the same.
    fn name(&self, name: &str) -> String {
        let sum = name.bytes().fold(0usize, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte.into()));
        self.paint.nth(sum, name)
    }
}

fn change_text(done: &Deployed) -> String {
    let what = match done.change {
        Change::Created => "created",
        Change::Updated => "updated",
        Change::None => "unchanged",
    };
    format!("{what} in {}", millis(done.took))
}

/// JSON on one line while it is short, else spread; anything else as it is.
fn response_text(payload: &[u8]) -> String {
    let text = String::from_utf8_lossy(payload);
    if text.chars().count() <= ONE_LINE {
        return text.into_owned();
    }
    match serde_json::from_slice::<Value>(payload) {
        Ok(json) => format!("{json:#}"),
        Err(_) => text.into_owned(),
    }
}

fn timings(round_trip: Duration, report: Option<Report<'_>>) -> String {
    let figures = report.as_ref().map(figures).unwrap_or_default();
    let all = std::iter::once(format!("{} round trip", millis(round_trip))).chain(figures);
    all.collect::<Vec<_>>().join(" · ")
}

fn figures(report: &Report<'_>) -> Vec<String> {
    let named = |value: Option<&str>, name: &str| value.map(|value| format!("{value} {name}"));
    let all =
        [named(report.duration, "in the handler"), named(report.init, "init"), named(report.memory, "used")];
    all.into_iter().flatten().collect()
}

fn millis(time: Duration) -> String {
    let ms = time.as_secs_f64() * 1000.0;
    if ms < 10.0 { format!("{ms:.1} ms") } else { format!("{ms:.0} ms") }
}

fn indented(text: &str, by: &str) -> String {
    text.lines().map(|line| format!("{by}{line}")).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_responses_stay_on_one_line() {
        assert_eq!(response_text(br#"{"a":1}"#), r#"{"a":1}"#);
        let long = format!(r#"{{"a":"{}"}}"#, "x".repeat(ONE_LINE));
        assert_eq!(response_text(long.as_bytes()).lines().count(), 3);
        assert_eq!(response_text("ä".repeat(200).as_bytes()).chars().count(), 200);
    }

    #[test]
    fn timings_are_one_line() {
        let tail =
            "REPORT RequestId: a\tDuration: 1.20 ms\tMax Memory Used: 31 MB\tInit Duration: 45.10 ms\t";
        assert_eq!(
            timings(Duration::from_micros(63_100), Report::in_tail(tail)),
            "63 ms round trip · 1.20 ms in the handler · 45.10 ms init · 31 MB used"
        );
        assert_eq!(timings(Duration::from_micros(900), None), "0.9 ms round trip");
    }

    #[test]
    fn log_lines_have_the_name_before_them() {
        let (console, captured) = Console::captured();
        let screen = Screen::new(console, Path::new("."));
        screen.make_room_for(["hello", "a-longer-one"].into_iter());
        screen.log("hello", "one\ntwo\n");
        screen.log("hello", "START RequestId: a Version: $LATEST\n");
        assert_eq!(captured.out(), "hello        │ one\nhello        │ two\n");
    }
}
