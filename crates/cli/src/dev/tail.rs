//! The functions' logs, as they come.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use lambd_types::{Clock as _, SystemClock};
use tokio::sync::watch;

use super::screen::Screen;
use crate::client::{Client, LoggedEvent};
use crate::logs::{Cursor, LogLine, group_of, read_new};

const POLL: Duration = Duration::from_millis(200);

/// What to follow. Changed by the session, read by the task.
#[derive(Debug, Clone, Default)]
pub(super) struct Followed {
    pub(super) functions: Vec<String>,
    /// Invocations whose log was shown with their response.
    pub(super) shown: HashSet<String>,
    /// Set while an invocation runs whose id is not known yet.
    pub(super) paused: bool,
}

/// Follows the logs until the sender of `followed` is gone.
pub(super) async fn follow(client: Client, screen: Screen, mut followed: watch::Receiver<Followed>) {
    let since = SystemClock.now().0;
    let mut cursors: BTreeMap<String, Cursor> = BTreeMap::new();
    let mut streams = Streams::default();
    while followed.has_changed().is_ok() {
        let functions = followed.borrow_and_update().functions.clone();
        for name in functions {
            let cursor = cursors.entry(name.clone()).or_insert_with(|| Cursor::starting_at(since));
            // A daemon that does not answer is reported by the call that needs it.
            let events = read_new(&client, &group_of(&name), cursor).await.unwrap_or_default();
            // During a pause the invocations that these may belong to have no known id.
            let Ok(now) = followed.wait_for(|followed| !followed.paused).await else { return };
            for event in events.iter().filter(|event| streams.lets_pass(event, &now.shown)) {
                screen.log(&name, &event.message);
            }
        }
        tokio::time::sleep(POLL).await;
    }
}

/// Leaves out what lies between START and REPORT of the invocations that were shown already.
#[derive(Debug, Default)]
struct Streams {
    hidden: HashMap<String, bool>,
}

impl Streams {
    fn lets_pass(&mut self, event: &LoggedEvent, shown: &HashSet<String>) -> bool {
        let hidden = self.hidden.entry(event.log_stream_name.clone()).or_default();
        match LogLine::parse(&event.message) {
            LogLine::Start { request_id } => *hidden = shown.contains(request_id),
            LogLine::Report(_) => return !std::mem::take(hidden),
            LogLine::End | LogLine::Text { .. } => {}
        }
        !*hidden
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn invocations_that_were_shown_are_left_out() {
        let shown = HashSet::from(["b".to_owned()]);
        let mut streams = Streams::default();
        let mut passes = |message: &str| {
            let event = LoggedEvent {
                log_stream_name: "s".into(),
                message: message.into(),
                ..LoggedEvent::default()
            };
            streams.lets_pass(&event, &shown)
        };
        assert!(passes("loading"));
        for (id, expected) in [("a", true), ("b", false), ("c", true)] {
            assert_eq!(passes(&format!("START RequestId: {id} Version: $LATEST")), expected);
            assert_eq!(passes("text"), expected);
            assert_eq!(passes(&format!("END RequestId: {id}")), expected);
            assert_eq!(passes(&format!("REPORT RequestId: {id}\tDuration: 1 ms")), expected);
        }
    }
}
