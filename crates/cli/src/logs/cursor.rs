//! A position in a log that grows at its end, but not strictly there.
//!
//! Instances write their streams side by side, so an event may appear shortly after another with a
//! later time. The cursor therefore looks back a little on every read and remembers which events of
//! that stretch it has handed out.

use std::collections::HashMap;

use crate::client::LoggedEvent;

/// How late, in milliseconds, an event may appear behind the newest one.
const LOOK_BACK: i64 = 2_000;

/// What has been read of one log group.
#[derive(Debug, Clone)]
pub(crate) struct Cursor {
    since: i64,
    newest: i64,
    /// Events handed out that the next read returns again, by stream and id.
    seen: HashMap<(String, String), i64>,
}

impl Cursor {
    /// Begins at `since`, in milliseconds since the epoch.
    pub(crate) fn starting_at(since: i64) -> Self {
        Self { since, newest: since, seen: HashMap::new() }
    }

    /// Where the next read must begin.
    pub(crate) fn start_time(&self) -> i64 {
        (self.newest - LOOK_BACK).max(self.since)
    }

    /// Those of `events`, a whole read from [`Self::start_time`], that were not handed out before, by
    /// time and, within the same millisecond, in the order given.
    pub(crate) fn take_new(&mut self, events: Vec<LoggedEvent>) -> Vec<LoggedEvent> {
        let mut new: Vec<LoggedEvent> = Vec::new();
        for event in events {
            let key = (event.log_stream_name.clone(), event.event_id.clone());
            if self.seen.insert(key, event.timestamp).is_none() {
                self.newest = self.newest.max(event.timestamp);
                new.push(event);
            }
        }
        let start = self.start_time();
        self.seen.retain(|_, timestamp| *timestamp >= start);
        new.sort_by_key(|event| event.timestamp);
        new
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(id: &str, timestamp: i64) -> LoggedEvent {
        LoggedEvent { event_id: id.into(), log_stream_name: "s".into(), timestamp, message: id.into() }
    }

    fn ids(events: Vec<LoggedEvent>) -> String {
        events.into_iter().map(|e| e.event_id).collect()
    }

    #[test]
    fn nothing_is_repeated_and_late_events_are_not_missed() {
        let mut cursor = Cursor::starting_at(10_000);
        assert_eq!(cursor.start_time(), 10_000);
        assert_eq!(ids(cursor.take_new(vec![event("a", 20_000), event("b", 20_000)])), "ab");
        assert_eq!(cursor.start_time(), 18_000);
        // The next read returns both again, and one from another instance that was written earlier.
        let read = vec![event("c", 19_500), event("a", 20_000), event("b", 20_000), event("d", 20_001)];
        assert_eq!(ids(cursor.take_new(read)), "cd");
        assert_eq!(ids(cursor.take_new(vec![event("d", 20_001)])), "");
    }

    #[test]
    fn what_is_remembered_stays_small() {
        let mut cursor = Cursor::starting_at(0);
        for at in 0..1000 {
            cursor.take_new(vec![event(&at.to_string(), at * 1_000)]);
        }
        assert!(cursor.seen.len() <= 3, "{}", cursor.seen.len());
    }

    #[test]
    fn the_same_id_in_two_streams_is_two_events() {
        let mut cursor = Cursor::starting_at(0);
        let other = LoggedEvent { log_stream_name: "t".into(), ..event("a", 1) };
        assert_eq!(cursor.take_new(vec![event("a", 1), other]).len(), 2);
    }
}
