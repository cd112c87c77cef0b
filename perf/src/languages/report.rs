//! The tables of languages, and whether the promises are kept.

use std::fmt::Write as _;
use std::time::Duration;

use serde_json::{Value, json};

use super::{Languages, Measured, Series};
use crate::stats::percentile;

/// What lambd's bootstrap may add to a cold start, in milliseconds.
const COLD_GOAL: f64 = 5.0;
/// What it may add to an event, in microseconds.
const WARM_GOAL: f64 = 50.0;

impl Languages {
    /// The table that people read.
    pub(crate) fn table(&self) -> String {
        let mut text = format!(
            "{:<34}{:>12}{:>14}{:>10}{:>12}{:>13}{:>9}{:>12}\n",
            "runtimes without a sandbox",
            "cold p50",
            "over start",
            "x start",
            "warm p50",
            "over echo",
            "x echo",
            "next p50"
        );
        let document = self.json();
        for language in list(&document["languages"]) {
            let _infallible = writeln!(text, "{}", string(&language["name"]));
            for row in list(&language["candidates"]) {
                let _infallible = writeln!(
                    text,
                    "  {:<32}{:>12}{:>14}{:>10}{:>12}{:>13}{:>9}{:>12}",
                    string(&row["name"]),
                    cell(&row["cold_p50_ms"], |value| format!("{value:.1} ms")),
                    cell(&row["cold_over_start_ms"], |value| format!("{value:+.1} ms")),
                    cell(&row["cold_to_start"], |value| format!("{value:.2}")),
                    cell(&row["warm_p50_us"], |value| format!("{value:.0} µs")),
                    cell(&row["warm_over_echo_us"], |value| format!("{value:+.0} µs")),
                    cell(&row["warm_to_echo"], |value| format!("{value:.2}")),
                    cell(&row["next_p50_us"], |value| format!("{value:.0} µs")),
                );
            }
            for verdict in verdicts(language) {
                let _infallible = writeln!(text, "  {verdict}");
            }
        }
        for note in &self.notes {
            let _infallible = writeln!(text, "not measured: {note}");
        }
        text
    }

    pub(crate) fn json(&self) -> Value {
        json!({
            "languages": self.measured.iter().map(Measured::json).collect::<Vec<_>>(),
            "notes": self.notes,
        })
    }
}

impl Measured {
    fn json(&self) -> Value {
        let of_role = |name: &str| self.series.iter().find(|series| series.role.name() == name);
        let (start, echo) = (of_role("start"), of_role("echo"));
        let start = start.map_or(f64::NAN, |series| p50(&series.cold, 1e3));
        let cold_echo = echo.map_or(f64::NAN, |series| p50(&series.cold, 1e3));
        let echo = echo.map_or(f64::NAN, |series| p50(&series.warm, 1e6));
        let row = |series: &Series| {
            let (cold, warm) = (p50(&series.cold, 1e3), p50(&series.warm, 1e6));
            let is_more = !matches!(series.role.name(), "start");
            let over_echo = !matches!(series.role.name(), "start" | "echo");
            json!({
                "role": series.role.name(),
                "name": series.name,
                "cold_p50_ms": cold,
                "cold_p90_ms": percentile(&mut series.cold.clone(), 0.9).as_secs_f64() * 1e3,
                "cold_over_start_ms": is_more.then_some(cold - start),
                "cold_over_echo_ms": over_echo.then_some(cold - cold_echo),
                "cold_to_start": is_more.then_some(cold / start),
                "warm_p50_us": is_more.then_some(warm),
                "warm_p90_us": is_more.then(|| percentile(&mut series.warm.clone(), 0.9).as_secs_f64() * 1e6),
                "warm_over_echo_us": over_echo.then_some(warm - echo),
                "warm_to_echo": over_echo.then_some(warm / echo),
                "next_p50_us": over_echo.then(|| p50(&series.ready, 1e6)),
            })
        };
        json!({ "name": self.name, "candidates": self.series.iter().map(row).collect::<Vec<_>>() })
    }
}

/// In units of which so many are a second.
fn p50(times: &[Duration], in_a_second: f64) -> f64 {
    percentile(&mut times.to_vec(), 0.5).as_secs_f64() * in_a_second
}

/// What a language's numbers say about the promises.
fn verdicts(language: &Value) -> Vec<String> {
    let of_role = |role: &str| list(&language["candidates"]).iter().find(|row| row["role"] == role);
    let Some(lambd) = of_role("lambd") else { return Vec::new() };
    let number = |row: &Value, key: &str| row[key].as_f64().unwrap_or(f64::NAN);
    let judged = |kept: bool| if kept { "kept" } else { "missed" };
    let (cold, warm) = (number(lambd, "cold_over_start_ms"), number(lambd, "warm_over_echo_us"));
    let mut verdicts = vec![format!(
        "promises: cold {cold:+.1} ms of {COLD_GOAL:.0} {} ({:+.1} ms over the bare echo), warm {warm:+.0} µs of {WARM_GOAL:.0} {}",
        judged(cold < COLD_GOAL),
        number(lambd, "cold_over_echo_ms"),
        judged(warm < WARM_GOAL)
    )];
    if let Some(official) = of_role("official") {
        let ratio = |key: &str| number(official, key) / number(lambd, key);
        let (cold, warm, next) = (ratio("cold_p50_ms"), ratio("warm_p50_us"), ratio("next_p50_us"));
        verdicts.push(format!(
            "{} takes {cold:.2} x as long cold, {warm:.2} x warm, {next:.2} x until its next event: {}",
            string(&official["name"]),
            if cold > 1.0 && warm > 1.0 { "slower" } else { "not slower" }
        ));
    }
    verdicts
}

/// The same as a table of the documents, from the document of a run.
pub(crate) fn markdown(document: &Value) -> String {
    let mut text = String::from(
        "| | cold p50 | over the empty program | warm p50 | over the bare echo | ready for the next |\n\
         |---|---|---|---|---|---|\n",
    );
    for language in list(&document["languages"]) {
        let _infallible = writeln!(text, "| **{}** | | | | | |", string(&language["name"]));
        for row in list(&language["candidates"]) {
            let both = |difference: String, ratio: &Value| {
                cell(ratio, |ratio| format!("{difference}, {ratio:.2} ×"))
            };
            let over_start = cell(&row["cold_over_start_ms"], |value| format!("{value:+.1} ms"));
            let over_echo = cell(&row["warm_over_echo_us"], |value| format!("{value:+.0} µs"));
            let _infallible = writeln!(
                text,
                "| {} | {} | {} | {} | {} | {} |",
                string(&row["name"]),
                cell(&row["cold_p50_ms"], |value| format!("{value:.1} ms")),
                both(over_start, &row["cold_to_start"]),
                cell(&row["warm_p50_us"], |value| format!("{value:.0} µs")),
                both(over_echo, &row["warm_to_echo"]),
                cell(&row["next_p50_us"], |value| format!("{value:.0} µs")),
            );
        }
    }
    text.push('\n');
    for language in list(&document["languages"]) {
        for verdict in verdicts(language) {
            let _infallible = writeln!(text, "- {}: {verdict}", string(&language["name"]));
        }
    }
    for note in list(&document["notes"]) {
        let _infallible = writeln!(text, "- not measured: {}", string(note));
    }
    text
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

fn string(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// A number, or a dash without one.
fn cell(value: &Value, shown: impl Fn(f64) -> String) -> String {
    value.as_f64().map_or_else(|| "–".to_owned(), shown)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::candidate::Role;
    use super::super::{Languages, Measured, Series};
    use super::markdown;

    fn series(role: Role, name: &str, cold_ms: u64, warm_us: u64) -> Series {
        let warm = vec![Duration::from_micros(warm_us); 3];
        Series {
            role,
            name: name.into(),
            cold: vec![Duration::from_millis(cold_ms)],
            ready: warm.clone(),
            warm,
        }
    }

    #[test]
    fn the_tables_show_differences_ratios_and_promises() {
        let languages = Languages {
            measured: vec![Measured {
                name: "Python 3".into(),
                series: vec![
                    series(Role::Start, "empty program", 10, 0),
                    series(Role::Echo, "bare echo", 11, 40),
                    series(Role::Lambd, "lambd", 14, 100),
                    series(Role::Official, "awslambdaric", 70, 200),
                ],
            }],
            notes: vec!["the client of Ruby".into()],
        };
        let table = languages.table();
        for part in [
            "+4.0 ms",
            "+60 µs",
            "2.50",
            "cold +4.0 ms of 5 kept (+3.0 ms over the bare echo), warm +60 µs of 50 missed",
            "5.00 x as long",
        ] {
            assert!(table.contains(part), "{part} in {table}");
        }
        assert!(table.ends_with("not measured: the client of Ruby\n"), "{table}");
        let markdown = markdown(&languages.json());
        assert!(
            markdown.contains("| lambd | 14.0 ms | +4.0 ms, 1.40 × | 100 µs | +60 µs, 2.50 × | 100 µs |")
        );
        assert!(markdown.contains("| empty program | 10.0 ms | – | – | – | – |"), "{markdown}");
    }
}
