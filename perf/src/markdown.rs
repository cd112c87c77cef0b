//! The tables of the documents, written from the results of a run.

use std::fmt::Write as _;
use std::path::Path;

use serde_json::Value;

use crate::error::Error;
use crate::{goals, languages, peers};

/// The tables for `SPECIFICATION.md`, of the results in a file.
pub(crate) fn of_file(file: &Path) -> Result<String, Error> {
    let text = std::fs::read_to_string(file).map_err(|e| Error::file(file, e))?;
    let document: Value =
        serde_json::from_str(&text).map_err(|e| Error::Usage(format!("{}: {e}", file.display())))?;
    Ok(of(&document))
}

/// What of the results it shows, its title, and how.
type Part = (&'static str, &'static str, fn(&Value) -> String);

fn of(document: &Value) -> String {
    let mut text = String::new();
    let parts: [Part; 5] = [
        ("goals", "Goals", goals::markdown),
        ("targets", "Invocations", invocations),
        ("peers", "Peers", peers::markdown),
        ("streaming", "Streamed responses", streaming),
        ("languages", "Runtimes by themselves", languages::markdown),
    ];
    for (key, title, table) in parts {
        let part = &document[key];
        if part.is_object() || part.as_array().is_some_and(|rows| !rows.is_empty()) {
            let _infallible = writeln!(text, "### {title}\n\n{}", table(part));
        }
    }
    let others = document["busy"].as_f64().map_or_else(String::new, |busy| {
        format!(", of which others took {:.0} % when it began", busy * 100.0)
    });
    let _infallible = writeln!(
        text,
        "On {} processors{others}{}.",
        document["cpus"],
        if document["quick"] == true { ". A quick run: for the shape, not for the record" } else { "" }
    );
    text
}

fn invocations(targets: &Value) -> String {
    let mut text = String::from(
        "| | warm p50 | × floor | warm p99 | 16 connections | × floor | cold start p50 | in a row | not ahead |\n\
         |---|---|---|---|---|---|---|---|---|\n",
    );
    let rows = targets.as_array().map(Vec::as_slice).unwrap_or_default();
    let floor = rows.first().map_or(f64::NAN, |row| median(&row["throughput_16_per_s"]));
    for row in rows {
        let rate = median(&row["throughput_16_per_s"]);
        let cold = |key: &str| match median(&row[key]) {
            cold if cold.is_nan() => "–".to_owned(),
            cold => format!("{cold:.1} ms"),
        };
        let (spaced, in_a_row, full) = (cold("cold_spaced_ms"), cold("cold_ms"), cold("cold_full_ms"));
        let _infallible = writeln!(
            text,
            "| {} | {:.0} µs | {:.2} | {:.0} µs | {rate:.0} /s | {:.3} | {spaced} | {in_a_row} | {full} |",
            row["name"].as_str().unwrap_or_default(),
            median(&row["warm_p50_us"]),
            row["warm_p50_to_floor"].as_f64().unwrap_or(f64::NAN),
            median(&row["warm_p99_us"]),
            rate / floor,
        );
    }
    text
}

fn streaming(measured: &Value) -> String {
    let mut text = String::from(
        "| | first byte p50 | × floor | 64 MiB, one connection | × floor |\n|---|---|---|---|---|\n",
    );
    let of = |row: &str, key: &str| median(&measured[row][key]);
    for (row, name) in [("floor", "raw HTTP"), ("function", "a function in Rust")] {
        let (first, rate) = (of(row, "first_byte_p50_us"), of(row, "mib_per_s"));
        let _infallible = writeln!(
            text,
            "| {name} | {first:.0} µs | {:.2} | {rate:.0} MiB/s | {:.3} |",
            first / of("floor", "first_byte_p50_us"),
            rate / of("floor", "mib_per_s"),
        );
    }
    text
}

fn median(values: &Value) -> f64 {
    values["median"].as_f64().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    #[test]
    fn what_was_measured_becomes_tables_and_nothing_else_does() {
        let values = |median: f64| json!({ "median": median, "all": [median] });
        let streamed = |first, rate| json!({ "first_byte_p50_us": values(first), "mib_per_s": values(rate) });
        let document = json!({
            "quick": true, "cpus": 2, "busy": 0.25, "targets": [], "languages": null,
            "streaming": { "floor": streamed(50.0, 2000.0), "function": streamed(200.0, 500.0) },
        });
        let text = super::of(&document);
        assert!(text.contains("| a function in Rust | 200 µs | 4.00 | 500 MiB/s | 0.250 |\n"), "{text}");
        assert!(!text.contains("Invocations") && !text.contains("Runtimes"), "{text}");
        let end = "others took 25 % when it began. A quick run: for the shape, not for the record.\n";
        assert!(text.ends_with(end), "{text}");
    }
}
