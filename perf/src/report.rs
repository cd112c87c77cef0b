//! What was measured, as a table for people and JSON for programs.

use std::fmt::Write as _;
use std::time::Duration;

use serde_json::{Value, json};

use crate::api::Api;
use crate::asynchronous::Asynchronous;
use crate::crowd::Crowd;
use crate::echoes::Echoes;
use crate::goals;
use crate::languages::Languages;
use crate::peers::Peers;
use crate::sandboxes::Sandboxes;
use crate::snapstart::SnapStart;
use crate::stats::median;
use crate::streaming::Streaming;

/// More than this is told.
const BUSY: f64 = 0.1;

/// All results of a run; each list has one value per measurement.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) quick: bool,
    /// The part of the processors that others took before this began: next to none where numbers are to be taken.
    pub(crate) busy: Option<f64>,
    /// The floor first.
    pub(crate) targets: Vec<Target>,
    /// Milliseconds from starting the process to the first good answer.
    pub(crate) startup: Vec<f64>,
    /// MiB of an idle daemon with its helpers.
    pub(crate) memory: Vec<f64>,
    /// MiB beside that of programs that connect the sandboxes which it keeps ready.
    pub(crate) uplinks: Vec<f64>,
    /// Bare echoes of interpreters.
    pub(crate) echoes: Option<Echoes>,
    /// Other programs that run functions.
    pub(crate) peers: Option<Peers>,
    /// New instances of versions with SnapStart.
    pub(crate) snapstart: Option<SnapStart>,
    /// Many instances at once.
    pub(crate) crowd: Option<Crowd>,
    /// Streamed responses.
    pub(crate) streaming: Option<Streaming>,
    /// Making execution environments.
    pub(crate) sandboxes: Option<Sandboxes>,
    /// The API of a daemon with many functions.
    pub(crate) api: Option<Api>,
    /// Asynchronous events.
    pub(crate) asynchronous: Option<Asynchronous>,
    /// Runtimes without a sandbox.
    pub(crate) languages: Option<Languages>,
}

/// Something that echoes.
#[derive(Debug)]
pub(crate) struct Target {
    pub(crate) name: String,
    /// Of a function: `rust`, `python` or `node`.
    pub(crate) language: &'static str,
    pub(crate) series: Series,
}

/// Measurements of one target.
#[derive(Debug, Default)]
pub(crate) struct Series {
    /// Microseconds.
    pub(crate) warm_p50: Vec<f64>,
    /// Microseconds.
    pub(crate) warm_p99: Vec<f64>,
    /// Requests per second.
    pub(crate) throughput: Vec<f64>,
    /// Milliseconds, of new instances one right after the other; none for the floor.
    pub(crate) cold: Vec<f64>,
    /// The same, each after a rest in which the daemon has made again what it keeps ready.
    pub(crate) cold_spaced: Vec<f64>,
    /// The same of a daemon that starts nothing of a language ahead.
    pub(crate) cold_full: Vec<f64>,
}

impl Target {
    pub(crate) fn new(name: &str, language: &'static str) -> Self {
        Self { name: name.to_owned(), language, series: Series::default() }
    }
}

impl Report {
    pub(crate) fn new(quick: bool) -> Self {
        Self {
            quick,
            busy: busy(),
            targets: Vec::new(),
            startup: Vec::new(),
            memory: Vec::new(),
            uplinks: Vec::new(),
            echoes: None,
            peers: None,
            snapstart: None,
            crowd: None,
            streaming: None,
            sandboxes: None,
            asynchronous: None,
            api: None,
            languages: None,
        }
    }

    /// The table that people read.
    pub(crate) fn table(&self) -> String {
        let mut text = String::new();
        if !self.targets.is_empty() {
            self.invocations(&mut text);
        }
        let parts = [
            self.peers.as_ref().map(|peers| peers.table(&self.targets)),
            self.snapstart.as_ref().map(SnapStart::table),
            self.crowd.as_ref().map(Crowd::table),
            self.streaming.as_ref().map(Streaming::table),
            self.sandboxes.as_ref().map(Sandboxes::table),
            self.asynchronous.as_ref().map(Asynchronous::table),
            self.api.as_ref().map(Api::table),
            self.languages.as_ref().map(Languages::table),
            Some(goals::table(&self.document())),
        ];
        for part in parts.into_iter().flatten().filter(|part| !part.is_empty()) {
            if !text.is_empty() {
                text.push('\n');
            }
            text.push_str(&part);
        }
        if let Some(busy) = self.busy.filter(|busy| *busy > BUSY) {
            let _infallible = writeln!(
                text,
                "(others took {:.0} % of the processors when this began: times are those of a busy machine)",
                busy * 100.0
            );
        }
        if self.quick {
            text.push_str("(quick run: the shape is right, the numbers are rough)\n");
        }
        text
    }

    /// Invocations, and the daemon at rest.
    fn invocations(&self, text: &mut String) {
        let _infallible = writeln!(
            text,
            "{:<18}{:>12}{:>9}{:>12}{:>14}{:>9}{:>12}{:>12}{:>12}",
            "", "warm p50", "x floor", "warm p99", "16 conn.", "x floor", "cold p50", "spaced", "not ahead"
        );
        let floor = self.targets.first().map(|target| &target.series);
        let floor_p50 = floor.map_or(f64::NAN, |series| median(&series.warm_p50));
        let floor_rate = floor.map_or(f64::NAN, |series| median(&series.throughput));
        for Target { name, series, .. } in &self.targets {
            let (p50, p99) = (median(&series.warm_p50), median(&series.warm_p99));
            let rate = median(&series.throughput);
            let cold = |all: &[f64]| match median(all) {
                cold if cold.is_nan() => "-".to_owned(),
                cold => format!("{cold:.1} ms"),
            };
            let (cold, spaced, full) =
                (cold(&series.cold), cold(&series.cold_spaced), cold(&series.cold_full));
            let _infallible = writeln!(
                text,
                "{name:<18}{:>12}{:>9.2}{:>12}{:>14}{:>9.3}{cold:>12}{spaced:>12}{full:>12}",
                format!("{p50:.0} µs"),
                p50 / floor_p50,
                format!("{p99:.0} µs"),
                format!("{rate:.0} /s"),
                rate / floor_rate,
            );
        }
        if self.startup.is_empty() {
            return;
        }
        let _infallible = writeln!(text, "\ndaemon ready   {:>8.1} ms", median(&self.startup));
        let _infallible =
            writeln!(text, "idle memory    {:>8.1} MiB (Pss, daemon and helpers)", median(&self.memory));
        let uplinks = median(&self.uplinks);
        if uplinks > 0.0 {
            let _infallible = writeln!(
                text,
                "               {uplinks:>8.1} MiB (Pss of pasta for the sandboxes kept ready)"
            );
        }
    }

    /// Every measurement and its median, and what of the goals is reached.
    pub(crate) fn json(&self) -> String {
        let mut document = self.document();
        document["goals"] = goals::json(&document);
        format!("{document:#}\n")
    }

    fn document(&self) -> Value {
        let floor = self.targets.first().map_or(f64::NAN, |target| median(&target.series.warm_p50));
        let targets: Vec<Value> = self
            .targets
            .iter()
            .map(|Target { name, language, series }| {
                json!({
                    "name": name,
                    "language": language,
                    "warm_p50_us": values(&series.warm_p50),
                    "warm_p99_us": values(&series.warm_p99),
                    "warm_p50_to_floor": median(&series.warm_p50) / floor,
                    "throughput_16_per_s": values(&series.throughput),
                    "cold_ms": values(&series.cold),
                    "cold_spaced_ms": values(&series.cold_spaced),
                    "cold_full_ms": values(&series.cold_full),
                })
            })
            .collect();
        json!({
            "format": 1,
            "quick": self.quick,
            "busy": self.busy,
            "cpus": std::thread::available_parallelism().map_or(0, std::num::NonZero::get),
            "targets": targets,
            "daemon_ready_ms": values(&self.startup),
            "idle_memory_mib": values(&self.memory),
            "idle_uplinks_mib": values(&self.uplinks),
            "echoes": self.echoes.as_ref().map(Echoes::json),
            "peers": self.peers.as_ref().map(|peers| peers.json(&self.targets)),
            "snapstart": self.snapstart.as_ref().map(SnapStart::json),
            "crowd": self.crowd.as_ref().map(Crowd::json),
            "streaming": self.streaming.as_ref().map(Streaming::json),
            "asynchronous": self.asynchronous.as_ref().map(Asynchronous::json),
            "api": self.api.as_ref().map(Api::json),
            "languages": self.languages.as_ref().map(Languages::json),
            "sandboxes": self.sandboxes.as_ref().map(Sandboxes::json),
        })
    }
}

/// What others take of the processors, of 0 to 1, seen for a second in which this program sleeps.
fn busy() -> Option<f64> {
    let times = || -> Option<(f64, f64)> {
        let text = std::fs::read_to_string("/proc/stat").ok()?;
        let line = text.lines().next()?.strip_prefix("cpu ")?;
        let times: Vec<f64> = line.split_ascii_whitespace().map_while(|time| time.parse().ok()).collect();
        // Idle, and waiting for disks; see proc(5).
        Some((times.get(3)? + times.get(4)?, times.iter().take(8).sum()))
    };
    let before = times()?;
    std::thread::sleep(Duration::from_secs(1));
    let after = times()?;
    Some(1.0 - (after.0 - before.0) / (after.1 - before.1))
}

/// Measurements and their median.
pub(crate) fn values(all: &[f64]) -> Value {
    json!({ "median": median(all), "all": all })
}

#[cfg(test)]
mod tests {
    use super::{Report, Series, Target};

    #[test]
    fn the_table_shows_ratios_to_the_floor() {
        let series = |p50, rate| Series {
            warm_p50: vec![p50],
            warm_p99: vec![2.0 * p50],
            throughput: vec![rate],
            ..Series::default()
        };
        let mut report = Report::new(true);
        report.targets.push(Target { name: "floor".into(), language: "", series: series(20.0, 50_000.0) });
        report.targets.push(Target {
            name: "python3.11".into(),
            language: "python",
            series: series(150.0, 10_000.0),
        });
        report.startup = vec![12.0];
        report.memory = vec![9.5];
        let table = report.table();
        let row = table.lines().find(|line| line.starts_with("python3.11")).unwrap();
        assert!(row.contains("7.50") && row.contains("0.200") && row.ends_with('-'), "{table}");
        let json: serde_json::Value = serde_json::from_str(&report.json()).unwrap();
        assert_eq!(json["targets"][1]["warm_p50_to_floor"], 7.5);
        assert_eq!(json["idle_memory_mib"]["median"], 9.5);
        assert!(table.contains("met     daemon ready, from the start of its process"), "{table}");
        assert!(json["goals"].as_array().unwrap().iter().any(|goal| goal["met"] == true), "{json}");
    }
}
