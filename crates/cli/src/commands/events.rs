//! `lambd events`.

use serde_json::{Value, json};

use crate::args::{EventsAction, EventsArgs, Output};
use crate::client::Client;
use crate::console::{Console, Paint, table};
use crate::failure::{Exit, Failure};

const FUNCTIONS: [&str; 6] = ["FUNCTION", "QUEUED", "RUNNING", "DELIVERING", "FAILED", ""];
const EVENTS: [&str; 6] = ["REQUEST", "STATE", "ACCEPTED", "NEXT", "ERRORS", "LAST ERROR"];
/// Characters of an error that are shown.
const ERROR_SHOWN: usize = 60;

pub(crate) async fn run(args: EventsArgs, console: &Console) -> Result<Exit, Failure> {
    if let Some(action) = args.action {
        return act(action, console).await;
    }
    let client = Client::from_flags(&args.client)?;
    let shown = match &args.name {
        Some(name) => client.events(name, args.limit.get()).await?,
        None => client.event_queues().await?,
    };
    if args.json || args.output == Output::Json {
        console.out(&format!("{shown:#}"))?;
        return Ok(Exit::Good);
    }
    let paint = console.out_paint();
    match &args.name {
        Some(_) => console.out(&function_text(&shown, paint))?,
        None if list(&shown["functions"]).is_empty() => {
            console.err("no function has had asynchronous events")?;
        }
        None => {
            let rows: Vec<Vec<String>> = list(&shown["functions"]).iter().map(function_row).collect();
            console.out(&table(&FUNCTIONS, &rows, paint))?;
        }
    }
    Ok(Exit::Good)
}

async fn act(action: EventsAction, console: &Console) -> Result<Exit, Failure> {
    let (name, flags, asked, done) = match action {
        EventsAction::Purge { name, failed, client } => {
            (name, client, json!({ "action": "purge", "failed": failed }), "removed")
        }
        EventsAction::Replay { name, request_id: Some(id), client } => {
            (name, client, json!({ "action": "replay", "requestId": id }), "begun again")
        }
        EventsAction::Replay { name, request_id: None, client } => {
            (name, client, json!({ "action": "replay" }), "begun again")
        }
        EventsAction::Pause { name, client } => (name, client, json!({ "action": "pause" }), ""),
        EventsAction::Resume { name, client } => (name, client, json!({ "action": "resume" }), ""),
    };
    let events = Client::from_flags(&flags)?.act_on_events(&name, &asked).await?;
    if !done.is_empty() {
        console.out(&format!("{events} events {done}"))?;
    }
    Ok(Exit::Good)
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn word(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn function_row(function: &Value) -> Vec<String> {
    let paused = if function["paused"] == true { "paused" } else { "" };
    let columns = ["function", "queued", "inFlight", "delivering", "failed"];
    columns.iter().map(|name| word(&function[*name])).chain([paused.to_owned()]).collect()
}

fn function_text(shown: &Value, paint: Paint) -> String {
    let mut text = table(&FUNCTIONS, &[function_row(shown)], paint);
    let events = list(&shown["events"]);
    if !events.is_empty() {
        let rows: Vec<Vec<String>> = events.iter().map(event_row).collect();
        text.push_str("\n\n");
        text.push_str(&table(&EVENTS, &rows, paint));
    }
    let metrics = shown["metrics"].as_object().filter(|metrics| !metrics.is_empty());
    if let Some(metrics) = metrics {
        text.push('\n');
        for (name, value) in metrics {
            let value = match value.get("last") {
                Some(last) => format!("{last} ms (longest {} ms)", value["maximum"]),
                None => word(value),
            };
            text.push_str(&format!("\n{name} {value}"));
        }
    }
    text
}

fn event_row(event: &Value) -> Vec<String> {
    let errors = event["functionErrors"].as_u64().unwrap_or(0) + event["systemErrors"].as_u64().unwrap_or(0);
    let next = match event["state"].as_str() {
        Some("retrying" | "delivering") => word(&event["nextAt"]),
        _ => "-".to_owned(),
    };
    let error = word(&event["lastError"]);
    let short: String = error.lines().next().unwrap_or_default().chars().take(ERROR_SHOWN).collect();
    let shown = if short.len() < error.len() { format!("{short}…") } else { short };
    vec![
        word(&event["requestId"]),
        word(&event["state"]),
        word(&event["acceptedAt"]),
        next,
        errors.to_string(),
        shown,
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_told_with_their_next_time_and_last_error() {
        let event = |id: &str, state: &str, error: Value| {
            json!({ "requestId": id, "state": state, "acceptedAt": "then", "nextAt": "soon", "functionErrors": 1,
                    "systemErrors": 2, "lastError": error })
        };
        let shown = json!({
            "function": "f", "paused": true, "queued": 2, "inFlight": 0, "delivering": 0, "failed": 1,
            "metrics": { "AsyncEventsReceived": 3, "AsyncEventAge": { "last": 4, "maximum": 9 } },
            "events": [event("a", "retrying", json!("no\nmore")), event("b", "failed", Value::Null)],
        });
        let expected = "\
FUNCTION  QUEUED  RUNNING  DELIVERING  FAILED
f         2       0        0           1       paused

REQUEST  STATE     ACCEPTED  NEXT  ERRORS  LAST ERROR
a        retrying  then      soon  3       no…
b        failed    then      -     3       -

AsyncEventAge 4 ms (longest 9 ms)
AsyncEventsReceived 3";
        assert_eq!(function_text(&shown, Paint(false)), expected);
    }
}
