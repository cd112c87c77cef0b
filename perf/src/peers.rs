//! Other programs that run Lambda functions on a machine without containers, beside lambd and with the same client.
//!
//! `cargo xtask bench --peers` installs them and says how each is started. Each is started anew in every round: its
//! first request is the one that has to start the function. What cannot be installed or does not work is named.

mod process;

use std::fmt::Write as _;
use std::path::Path;

use serde_json::{Value, json};

use crate::client::Client;
use crate::error::Error;
use crate::invoke;
use crate::options::Plan;
use crate::report::{Series, Target, values};
use crate::stats::median;
use process::{Peer, Running};

/// All peers of a run.
#[derive(Debug)]
pub(crate) struct Peers {
    measured: Vec<Measured>,
    /// What is not there, and why.
    notes: Vec<String>,
}

#[derive(Debug)]
struct Measured {
    peer: Peer,
    /// `cold` is the first request after its start.
    series: Series,
    /// Milliseconds from starting its process until it listens.
    ready: Vec<f64>,
    /// Why it is not measured any more.
    failed: Option<String>,
}

impl Peers {
    /// Reads `{"peers": […], "notes": […]}`, see [`Peer::read`].
    pub(crate) fn read(file: &Path) -> Result<Self, Error> {
        let text = std::fs::read_to_string(file).map_err(|e| Error::file(file, e))?;
        let document: Value =
            serde_json::from_str(&text).map_err(|e| Error::Usage(format!("{}: {e}", file.display())))?;
        let list = |key: &str| document[key].as_array().map(Vec::as_slice).unwrap_or_default();
        let new = |peer| Measured { peer, series: Series::default(), ready: Vec::new(), failed: None };
        let peers = list("peers").iter().map(Peer::read).collect::<Result<Vec<_>, _>>()?;
        let notes = list("notes").iter().filter_map(Value::as_str).map(str::to_owned).collect();
        Ok(Self { measured: peers.into_iter().map(new).collect(), notes })
    }

    /// Measures a round of each. One that fails is left out from then on.
    pub(crate) fn round(&mut self, plan: Plan) {
        for measured in self.measured.iter_mut().filter(|measured| measured.failed.is_none()) {
            if let Err(error) = measured.round(plan) {
                eprintln!("{} failed", measured.peer.name);
                measured.failed = Some(error.to_string().trim().to_owned());
            }
        }
    }

    /// The table that people read, with ratios to lambd's function in the same language.
    pub(crate) fn table(&self, targets: &[Target]) -> String {
        let mut text = format!(
            "{:<38}{:>10}{:>10}{:>17}{:>10}{:>16}\n",
            "peers", "warm p50", "x lambd", "16 connections", "x lambd", "first request"
        );
        for row in self.rows(targets) {
            let _infallible = writeln!(
                text,
                "{:<38}{:>10}{:>10}{:>17}{:>10}{:>16}",
                row.name,
                shown(row.warm, |v| format!("{v:.0} µs")),
                shown(row.warm_ratio, |v| format!("{v:.2}")),
                shown(row.rate, |v| format!("{v:.0} /s")),
                shown(row.rate_ratio, |v| format!("{v:.3}")),
                shown(row.first, |v| format!("{v:.1} ms")),
            );
        }
        for note in self.notes() {
            let _infallible = writeln!(text, "(not measured: {note})");
        }
        text
    }

    pub(crate) fn json(&self, targets: &[Target]) -> Value {
        let rows =
            self.measured.iter().zip(self.rows(targets)).filter(|(measured, _)| measured.failed.is_none());
        let rows: Vec<Value> = rows
            .map(|(Measured { peer, series, ready, .. }, row)| {
                json!({
                    "name": peer.name,
                    "language": peer.language,
                    "warm_p50_us": values(&series.warm_p50),
                    "warm_p99_us": values(&series.warm_p99),
                    "warm_p50_to_lambd": row.warm_ratio,
                    "throughput_16_per_s": values(&series.throughput),
                    "throughput_to_lambd": row.rate_ratio,
                    "first_request_ms": values(&series.cold),
                    "listening_ms": values(ready),
                })
            })
            .collect();
        json!({ "rows": rows, "notes": self.notes() })
    }

    fn notes(&self) -> Vec<String> {
        let failed = self.measured.iter().filter_map(|measured| {
            measured.failed.as_ref().map(|why| format!("{}: {why}", measured.peer.name))
        });
        self.notes.iter().cloned().chain(failed).collect()
    }

    fn rows(&self, targets: &[Target]) -> Vec<Row<'_>> {
        let row = |Measured { peer, series, .. }: &'_ Measured| {
            let ours = targets.iter().find(|target| target.language == peer.language);
            let of_ours =
                |of: fn(&Series) -> &Vec<f64>| ours.map_or(f64::NAN, |ours| median(of(&ours.series)));
            let (warm, rate) = (median(&series.warm_p50), median(&series.throughput));
            (
                warm,
                warm / of_ours(|s| &s.warm_p50),
                rate,
                rate / of_ours(|s| &s.throughput),
                median(&series.cold),
            )
        };
        self.measured
            .iter()
            .map(|measured| {
                let (warm, warm_ratio, rate, rate_ratio, first) = row(measured);
                Row { name: &measured.peer.name, warm, warm_ratio, rate, rate_ratio, first }
            })
            .collect()
    }
}

/// Medians of one peer; not a number where there is none.
struct Row<'a> {
    name: &'a str,
    warm: f64,
    warm_ratio: f64,
    rate: f64,
    rate_ratio: f64,
    first: f64,
}

impl Measured {
    fn round(&mut self, plan: Plan) -> Result<(), Error> {
        let running = Running::start(&self.peer)?;
        let measured = self.measure(&running, plan);
        measured.map_err(|error| Error::Process(format!("{error}\n{}", running.said())))
    }

    fn measure(&mut self, running: &Running, plan: Plan) -> Result<(), Error> {
        self.ready.push(running.listening_after.as_secs_f64() * 1e3);
        let mut client = Client::connect(running.address)?;
        let request = client.request("POST", &self.peer.path, invoke::PAYLOAD);
        self.series.cold.push(invoke::echoed(&mut client, &request)?.as_secs_f64() * 1e3);
        invoke::warm(running.address, &self.peer.path, plan, &mut self.series)?;
        if self.peer.concurrent {
            invoke::load(running.address, &self.peer.path, plan, &mut self.series)?;
        }
        Ok(())
    }
}

/// The table for `SPECIFICATION.md`.
pub(crate) fn markdown(peers: &Value) -> String {
    let mut text = String::from(
        "| | warm p50 | × lambd | 16 connections | × lambd | first request |\n|---|---|---|---|---|---|\n",
    );
    for row in peers["rows"].as_array().into_iter().flatten() {
        let middle = |key: &str| row[key]["median"].as_f64().unwrap_or(f64::NAN);
        let number = |key: &str| row[key].as_f64().unwrap_or(f64::NAN);
        let _infallible = writeln!(
            text,
            "| {} | {} | {} | {} | {} | {} |",
            row["name"].as_str().unwrap_or_default(),
            shown(middle("warm_p50_us"), |v| format!("{v:.0} µs")),
            shown(number("warm_p50_to_lambd"), |v| format!("{v:.2}")),
            shown(middle("throughput_16_per_s"), |v| format!("{v:.0} /s")),
            shown(number("throughput_to_lambd"), |v| format!("{v:.3}")),
            shown(middle("first_request_ms"), |v| format!("{v:.1} ms")),
        );
    }
    for note in peers["notes"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        let _infallible = writeln!(text, "\nNot measured: {}.", note.lines().next().unwrap_or_default());
    }
    text
}

fn shown(value: f64, how: impl Fn(f64) -> String) -> String {
    if value.is_nan() { "–".to_owned() } else { how(value) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::Peers;
    use crate::options::Plan;
    use crate::report::Target;

    /// A server that says where it listens to nobody, echoes, and ends with whoever started it.
    const ECHO: &str = "
import http.server, sys
class Echo(http.server.BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'
    def log_message(self, *_): pass
    def do_POST(self):
        body = self.rfile.read(int(self.headers['Content-Length']))
        self.send_response(200)
        self.send_header('Content-Length', str(len(body)))
        self.end_headers()
        self.wfile.write(body)
http.server.ThreadingHTTPServer(('127.0.0.1', int(sys.argv[1])), Echo).serve_forever()
";

    #[test]
    fn peers_are_measured_or_named() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("peers.json");
        let peer = |name: &str, script: &str| {
            json!({
                "name": name, "language": "python", "program": "python3", "arguments": ["-c", script, "{port}"],
                "environment": {}, "directory": "/", "path": "/invoke", "concurrent": true,
            })
        };
        let broken = "import sys; sys.exit('no licence')";
        let document =
            json!({ "peers": [peer("echo", ECHO), peer("broken", broken)], "notes": ["third: too old"] });
        std::fs::write(&file, document.to_string()).unwrap();
        let mut peers = Peers::read(&file).unwrap();
        let short = std::time::Duration::from_millis(50);
        let plan = Plan { warm_requests: 20, load_time: short, ..Plan::quick() };
        peers.round(plan);
        peers.round(plan);
        let mut ours = Target::new("python3.11", "python");
        ours.series.warm_p50 = vec![1.0];
        let targets = [ours];
        let measured = peers.json(&targets);
        assert_eq!(measured["rows"].as_array().unwrap().len(), 1, "{measured}");
        let row = &measured["rows"][0];
        assert_eq!(row["first_request_ms"]["all"].as_array().unwrap().len(), 2, "{measured}");
        assert!(row["throughput_16_per_s"]["median"].as_f64().unwrap() > 0.0, "{measured}");
        assert_eq!(row["warm_p50_to_lambd"], row["warm_p50_us"]["median"], "{measured}");
        assert_eq!(measured["notes"][0], "third: too old");
        assert!(measured["notes"][1].as_str().unwrap().contains("no licence"), "{measured}");
        assert!(peers.table(&targets).contains("(not measured: broken"));
        assert!(super::markdown(&measured).contains("Not measured: third: too old."));
    }
}
