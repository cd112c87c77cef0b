//! What lambd wants to reach, what was measured of it, and whether it is reached.

use std::fmt::Write as _;

use serde_json::{Value, json};

/// One line.
struct Goal {
    what: &'static str,
    goal: String,
    /// Empty if it was not measured.
    measured: String,
    /// `None` if what was measured does not decide it.
    met: Option<bool>,
}

/// Peers must be slower by this much.
const PEER_WARM: f64 = 3.0;
/// Peers must have less throughput by this much.
const PEER_RATE: f64 = 4.0;
/// Idle instances that decide about the memory of each.
const IDLE: u64 = 1000;

/// All goals, as a list of `{"what", "goal", "measured", "met"}`.
pub(crate) fn json(document: &Value) -> Value {
    let one = |goal: &Goal| json!({ "what": goal.what, "goal": goal.goal, "measured": goal.measured, "met": goal.met });
    json!(all(document).iter().map(one).collect::<Vec<_>>())
}

/// One line for each goal; nothing if none was measured.
pub(crate) fn table(document: &Value) -> String {
    let goals = all(document);
    if goals.iter().all(|goal| goal.measured.is_empty()) {
        return String::new();
    }
    let mut text = format!("{:<8}{:<52}{:<38}{}\n", "goals", "", "goal", "measured");
    for Goal { what, goal, measured, met } in goals {
        let met = match met {
            Some(true) => "met",
            Some(false) => "MISSED",
            None => "open",
        };
        let measured = if measured.is_empty() { "not measured" } else { &measured };
        let _infallible = writeln!(text, "{met:<8}{what:<52}{goal:<38}{measured}");
    }
    text
}

/// The table for `SPECIFICATION.md`, of the goals that a document has.
pub(crate) fn markdown(goals: &Value) -> String {
    let mut text = String::from("| what | goal | measured | |\n|---|---|---|---|\n");
    for goal in goals.as_array().into_iter().flatten() {
        let field = |key: &str| goal[key].as_str().unwrap_or_default();
        let met = match goal["met"].as_bool() {
            Some(true) => "met",
            Some(false) => "**missed**",
            None => "open",
        };
        let measured = if field("measured").is_empty() { "not measured" } else { field("measured") };
        let _infallible = writeln!(text, "| {} | {} | {measured} | {met} |", field("what"), field("goal"));
    }
    text
}

fn all(document: &Value) -> Vec<Goal> {
    let of = |language: &str, key: &str| {
        let targets = document["targets"].as_array().map(Vec::as_slice).unwrap_or_default();
        targets
            .iter()
            .find(|target| target["language"] == language)
            .map_or(f64::NAN, |target| median(&target[key]))
    };
    let floor = document["targets"].get(0).map_or(f64::NAN, |floor| median(&floor["warm_p50_us"]));
    let rust = of("rust", "warm_p50_us");
    let rate = of("rust", "throughput_16_per_s");
    let mut goals = vec![
        Goal {
            what: "warm p50, Rust function",
            goal: "at most 2.5 x the floor".to_owned(),
            measured: said(rust, |us| format!("{us:.0} µs, {:.2} x", us / floor)),
            met: decided(rust / floor, |ratio| ratio <= 2.5),
        },
        peer(document, "warm p50, Rust function, beside the best peer", "warm_p50_us", |best, of| {
            let ratio = best / rust;
            (
                best < of,
                format!("at most 1/{PEER_WARM:.0} of it"),
                said(ratio, |r| format!("1/{r:.1} of")),
                ratio >= PEER_WARM,
            )
        }),
        echo(document, "warm p50, Python", "python", of("python", "warm_p50_us"), rust),
        echo(document, "warm p50, Node.js", "node", of("node", "warm_p50_us"), rust),
        Goal {
            what: "throughput, 16 connections, Rust function",
            goal: "at least 20000 /s".to_owned(),
            measured: said(rate, |rate| format!("{rate:.0} /s")),
            met: decided(rate, |rate| rate >= 20_000.0),
        },
        peer(document, "the same beside the best peer", "throughput_16_per_s", |best, of| {
            let ratio = rate / best;
            (
                best > of,
                format!("at least {PEER_RATE:.0} x it"),
                said(ratio, |r| format!("{r:.1} x")),
                ratio >= PEER_RATE,
            )
        }),
    ];
    let cold = [
        ("cold start p50, Python, started ahead", "python", "cold_spaced_ms", 5.0),
        ("cold start p50, Python, full", "python", "cold_full_ms", 25.0),
        ("cold start p50, Node.js, started ahead", "node", "cold_spaced_ms", 8.0),
        ("cold start p50, Node.js, full", "node", "cold_full_ms", 70.0),
        ("cold start p50, Rust", "rust", "cold_spaced_ms", 5.0),
    ];
    goals.extend(cold.map(|(what, language, key, goal)| under(what, goal, "ms", of(language, key))));
    let snapstart = median(&document["snapstart"]["cold_ms"]);
    goals.push(under("SnapStart, Python with an init of 1 s", 10.0, "ms", snapstart));
    goals.extend(crowd(document));
    goals.push(under(
        "daemon ready, from the start of its process",
        50.0,
        "ms",
        median(&document["daemon_ready_ms"]),
    ));
    goals.push(under(
        "idle memory of the daemon and its helpers",
        25.0,
        "MiB",
        median(&document["idle_memory_mib"]),
    ));
    goals
}

/// A number below a limit.
fn under(what: &'static str, limit: f64, unit: &str, value: f64) -> Goal {
    Goal {
        what,
        goal: format!("under {limit} {unit}"),
        measured: said(value, |value| format!("{value:.1} {unit}")),
        met: decided(value, |value| value < limit),
    }
}

/// What the best peer reaches. `compare` says of a peer's value and the best so far whether it is better; and of the
/// best, what the goal is, what was measured, and whether it is met.
fn peer(
    document: &Value,
    what: &'static str,
    key: &str,
    compare: impl Fn(f64, f64) -> (bool, String, String, bool),
) -> Goal {
    let rows = document["peers"]["rows"].as_array().map(Vec::as_slice).unwrap_or_default();
    let rows = rows.iter().map(|row| (median(&row[key]), row["name"].as_str().unwrap_or_default()));
    let best = rows
        .filter(|(value, _)| !value.is_nan())
        .reduce(|best, row| if compare(row.0, best.0).0 { row } else { best });
    let (value, name) = best.unwrap_or((f64::NAN, ""));
    let (_, goal, measured, met) = compare(value, value);
    let measured = if measured.is_empty() { measured } else { format!("{measured} {name}") };
    let met = (!measured.is_empty()).then_some(met);
    Goal { what, goal, measured, met }
}

/// A managed runtime beside a bare echo of its interpreter.
fn echo(document: &Value, what: &'static str, language: &str, warm: f64, rust: f64) -> Goal {
    let limit = 1.5 * (median(&document["echoes"][language]) + rust);
    Goal {
        what,
        goal: if limit.is_nan() {
            "1.5 x (bare echo + Rust)".to_owned()
        } else {
            format!("1.5 x (bare echo + Rust): {limit:.0} µs")
        },
        measured: if limit.is_nan() { String::new() } else { said(warm, |us| format!("{us:.0} µs")) },
        met: decided(warm / limit, |ratio| ratio <= 1.0),
    }
}

/// Bursts with the usual network; idle instances with none, because a `pasta` for each would not fit.
fn crowd(document: &Value) -> [Goal; 2] {
    let of = |network: &str| {
        let rows = document["crowd"].as_array().map(Vec::as_slice).unwrap_or_default();
        rows.iter().find(|row| row["network"] == network).cloned().unwrap_or_default()
    };
    let (usual, none) = (of("auto"), of("none"));
    let (burst, failed) = (median(&usual["burst_s"]), usual["burst_failed"].as_u64().unwrap_or_default());
    let idle = none["idle_instances"].as_u64().unwrap_or_default();
    let each = none["available_mib_each"].as_f64().unwrap_or(f64::NAN);
    let pss = none["pss_mib_each"].as_f64().unwrap_or(f64::NAN);
    [
        Goal {
            what: "200 first invokes of a Python function at once",
            goal: "under 1.5 s, none failed".to_owned(),
            measured: said(burst, |s| {
                format!("{s:.2} s, {failed} failed ({:.2} s without network)", median(&none["burst_s"]))
            }),
            met: decided(burst, |s| s < 1.5 && failed == 0),
        },
        Goal {
            what: "1000 idle Python instances, network none",
            goal: "alive, under 8 MiB each".to_owned(),
            measured: said(each, |each| format!("{idle} alive, {each:.1} MiB each (Pss {pss:.1})")),
            met: decided(each, |each| each < 8.0).filter(|met| idle >= IDLE || !met),
        },
    ]
}

fn median(values: &Value) -> f64 {
    values["median"].as_f64().unwrap_or(f64::NAN)
}

fn said(value: f64, how: impl Fn(f64) -> String) -> String {
    if value.is_nan() { String::new() } else { how(value) }
}

fn decided(value: f64, how: impl Fn(f64) -> bool) -> Option<bool> {
    (!value.is_nan()).then(|| how(value))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{json as goals_of, markdown, table};
    use crate::plot::SAMPLE;

    fn goal(goals: &Value, what: &str) -> Value {
        goals
            .as_array()
            .unwrap()
            .iter()
            .find(|goal| goal["what"].as_str().unwrap().starts_with(what))
            .unwrap()
            .clone()
    }

    #[test]
    fn every_goal_has_a_line_and_is_decided_by_what_was_measured() {
        let document: Value = serde_json::from_str(SAMPLE).unwrap();
        let goals = goals_of(&document);
        let is_met = |what: &str| goal(&goals, what)["met"].as_bool();
        assert_eq!(is_met("warm p50, Rust function"), Some(true), "80 µs are 2 x 40 µs");
        assert_eq!(is_met("warm p50, Rust function, beside"), Some(true), "240 µs are 3 x 80 µs");
        assert_eq!(is_met("warm p50, Python"), Some(true), "195 µs are 1.5 x (50 + 80)");
        assert_eq!(is_met("warm p50, Node.js"), Some(false));
        assert_eq!(is_met("throughput"), Some(true));
        assert_eq!(is_met("the same beside"), Some(false), "21000 is not 4 x 7000");
        assert_eq!(is_met("cold start p50, Python, full"), Some(true));
        assert_eq!(is_met("cold start p50, Rust"), Some(false));
        assert_eq!(is_met("SnapStart"), Some(false));
        assert_eq!(is_met("200 first invokes"), Some(false), "one failed");
        assert_eq!(is_met("1000 idle"), None, "50 do not decide about 1000");
        assert_eq!(is_met("idle memory"), Some(true));
        let text = table(&document);
        assert_eq!(text.lines().count(), 1 + goals.as_array().unwrap().len(), "{text}");
        assert!(
            markdown(&goals)
                .contains("| SnapStart, Python with an init of 1 s | under 10 ms | 1030.0 ms | **missed** |")
        );
    }

    #[test]
    fn what_was_not_measured_is_open() {
        assert_eq!(table(&json!({})), "");
        let goals = goals_of(&json!({ "daemon_ready_ms": { "median": 49.0 } }));
        assert_eq!(goal(&goals, "daemon ready")["met"], true);
        assert_eq!(goal(&goals, "SnapStart")["met"], Value::Null);
        assert_eq!(goal(&goals, "warm p50, Rust function, beside")["measured"], "");
    }
}
