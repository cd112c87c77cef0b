//! `lambd logs`.

use std::time::Duration;

use lambd_types::{Clock as _, SystemClock, UnixMillis, iso8601_millis};

use crate::args::{LogsArgs, Output};
use crate::client::{Client, LoggedEvent};
use crate::console::{Console, Paint};
use crate::failure::{Exit, Failure};
use crate::logs::{Cursor, LogLine, group_of, read_new, read_range};

/// How often `--follow` looks for new events.
const POLL: Duration = Duration::from_millis(400);

pub(crate) async fn run(args: LogsArgs, console: &Console) -> Result<Exit, Failure> {
    let client = Client::from_flags(&args.client)?;
    let group = group_of(&args.name);
    let since = SystemClock.now().0.saturating_sub(i64::try_from(args.since.as_millis()).unwrap_or(i64::MAX));
    let mut cursor = Cursor::starting_at(since.max(0));

    let first = match read_range(&client, &group, cursor.start_time()).await {
        Ok(events) => cursor.take_new(events),
        Err(error) if error.is_not_found() && args.follow && client.function(&args.name).await?.is_some() => {
            Vec::new()
        }
        Err(error) if error.is_not_found() && client.function(&args.name).await?.is_some() => {
            console.err(&format!("{} has not been invoked yet", args.name))?;
            return Ok(Exit::Good);
        }
        Err(error) => return Err(error.into()),
    };
    let skipped = args.limit.map_or(0, |limit| first.len().saturating_sub(limit.get()));
    print(&first[skipped..], args.output, console)?;

    if !args.follow {
        if first.is_empty() {
            console.err("no events in that time; --since 7d looks further back")?;
        }
        return Ok(Exit::Good);
    }
    loop {
        tokio::time::sleep(POLL).await;
        print(&read_new(&client, &group, &mut cursor).await?, args.output, console)?;
    }
}

fn print(events: &[LoggedEvent], output: Output, console: &Console) -> Result<(), Failure> {
    for event in events {
        match output {
            Output::Json => console.out(&serde_json::json!(event).to_string())?,
            Output::Text => console.out(&event_text(event, console.out_paint()))?,
        }
    }
    Ok(())
}

/// Time and message, the platform's own lines in the background and errors in red.
fn event_text(event: &LoggedEvent, paint: Paint) -> String {
    let time = paint.dim(&iso8601_millis(UnixMillis(event.timestamp)));
    let message = event.message.trim_end();
    let message = match LogLine::parse(message) {
        LogLine::Start { .. } | LogLine::End | LogLine::Report(_) => paint.dim(message),
        LogLine::Text { level, .. } => coloured_by_level(level, message, paint),
    };
    format!("{time}  {message}")
}

/// Red for errors, yellow for warnings, dim for chatter.
pub(crate) fn coloured_by_level(level: Option<&str>, text: &str, paint: Paint) -> String {
    match level {
        Some("ERROR" | "FATAL" | "CRITICAL") => paint.red(text),
        Some("WARN" | "WARNING") => paint.yellow(text),
        Some("DEBUG" | "TRACE") => paint.dim(text),
        _ => text.to_owned(),
    }
}
