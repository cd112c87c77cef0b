//! What making an execution environment costs, without a language in it.
//!
//! The sandbox crate's helper measures it, because nobody else can see the steps; its floor is the start and
//! end of an ordinary process on the same machine.

use std::fmt::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::error::Error;

/// The helper's document.
#[derive(Debug)]
pub(crate) struct Sandboxes(Value);

impl Sandboxes {
    pub(crate) fn measure(helper: &Path) -> Result<Self, Error> {
        // On disk, as /tmp is of a daemon that may mount.
        let tmp = tempfile::tempdir()?;
        let output = Command::new(helper)
            .arg("--tmp")
            .arg(tmp.path())
            .arg("bench")
            .stdin(Stdio::null())
            .stderr(Stdio::inherit())
            .output()
            .map_err(|e| Error::file(helper, e))?;
        if !output.status.success() {
            return Err(Error::Process("the sandbox helper failed".to_owned()));
        }
        let document = serde_json::from_slice(&output.stdout);
        document.map(Self).map_err(|_| Error::Process("the sandbox helper wrote no JSON".to_owned()))
    }

    pub(crate) fn json(&self) -> &Value {
        &self.0
    }

    /// The table that people read.
    pub(crate) fn table(&self) -> String {
        let mut text = String::from(
            "execution environment      p50      p90      p99  x process (microseconds, no language in it)\n",
        );
        let floor = self.0["process"]["p50"].as_f64().unwrap_or(f64::NAN);
        let mut row = |name: &str, measured: &Value| {
            let [p50, p90, p99] =
                ["p50", "p90", "p99"].map(|part| measured[part].as_f64().unwrap_or(f64::NAN));
            let _infallible =
                writeln!(text, "{name:<22}{p50:>8.0} {p90:>8.0} {p99:>8.0} {:>10.2}", p50 / floor);
        };
        row("an ordinary process", &self.0["process"]);
        row("made on demand", &self.0["on_demand"]);
        row("made ahead", &self.0["prepared"]);
        for (living, measured) in self.0["beside_living"].as_object().into_iter().flatten() {
            row(&format!("ahead, beside {living}"), measured);
        }
        let connected = &self.0["connected"];
        if connected.is_object() {
            row("connected, on demand", &connected["on_demand"]);
            row("connected, made ahead", &connected["prepared"]);
        }
        text.push_str("steps: ");
        let steps = self.0["on_demand"]["steps"].as_array().into_iter().flatten();
        let steps: Vec<_> =
            steps.map(|step| format!("{} {}", step["name"].as_str().unwrap_or("?"), step["p50"])).collect();
        let at_once = &self.0["at_once"];
        let _infallible = writeln!(
            text,
            "{}\n{} at once: {:.0} ms",
            steps.join(", "),
            at_once["count"],
            at_once["all"].as_f64().unwrap_or(f64::NAN) / 1000.0
        );
        let uplinks = connected["uplinks_pss_kib"].as_array().into_iter().flatten();
        let megabytes: Vec<_> =
            uplinks.filter_map(Value::as_f64).map(|kib| format!("{:.0} MB", kib / 1024.0)).collect();
        if !megabytes.is_empty() {
            let _infallible = writeln!(text, "memory of pasta for each: {}", megabytes.join(", "));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::Sandboxes;

    #[test]
    fn the_table_shows_ratios_and_steps() {
        let measured = |p50| serde_json::json!({ "p50": p50, "p90": p50, "p99": p50 });
        let mut on_demand = measured(3000);
        on_demand["steps"] =
            serde_json::json!([{ "name": "clone", "p50": 1100 }, { "name": "network", "p50": 160 }]);
        let table = Sandboxes(serde_json::json!({
            "process": measured(500),
            "on_demand": on_demand,
            "prepared": measured(1000),
            "beside_living": { "100": measured(1100) },
            "at_once": { "count": 200, "all": 600_000 },
            "connected": {
                "on_demand": measured(20_000), "prepared": measured(1500), "uplinks_pss_kib": [20_480],
            },
        }))
        .table();
        assert!(table.contains("clone 1100, network 160"), "{table}");
        assert!(table.contains("200 at once: 600 ms"), "{table}");
        let row = table.lines().find(|line| line.starts_with("made on demand")).unwrap();
        assert!(row.ends_with("6.00"), "{table}");
        let row = table.lines().find(|line| line.starts_with("connected, made ahead")).unwrap();
        assert!(row.ends_with("3.00"), "{table}");
        assert!(table.contains("pasta for each: 20 MB"), "{table}");
    }
}
