//! How many programs of a kind should wait.

use std::time::Duration;

use tokio::time::Instant;

/// Nothing waits any more for what was not asked for in this time.
const IDLE: Duration = Duration::from_secs(600);

/// In this time what was asked for at once counts for a third of it.
const FADES_IN: Duration = Duration::from_secs(10);

/// How many more wait for each that was asked for just before. Less than one, so that one alone, when it was used,
/// is followed by one.
const MORE: f64 = 0.75;

/// What was asked for of one kind.
pub(super) struct Demand {
    /// How many in the last seconds, those before counting for less.
    level: f64,
    last: Instant,
}

impl Demand {
    /// Of a kind that is expected to be asked for.
    pub(super) fn expected(now: Instant) -> Self {
        Self { level: 0.0, last: now }
    }

    /// One more was asked for.
    pub(super) fn rises(&mut self, now: Instant) {
        self.level = self.level(now) + 1.0;
        self.last = now;
    }

    /// It is expected still.
    pub(super) fn lasts(&mut self, now: Instant) {
        self.level = self.level(now);
        self.last = now;
    }

    /// How many should wait.
    pub(super) fn wanted(&self, now: Instant) -> usize {
        match now.saturating_duration_since(self.last) {
            idle if idle >= IDLE => 0,
            _ => 1 + (self.level(now) * MORE) as usize,
        }
    }

    /// When it was last asked for, or expected.
    pub(super) fn last(&self) -> Instant {
        self.last
    }

    fn level(&self, now: Instant) -> f64 {
        let since = now.saturating_duration_since(self.last);
        self.level * (-since.as_secs_f64() / FADES_IN.as_secs_f64()).exp()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_wait_as_were_asked_for_in_the_last_seconds() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut demand = Demand::expected(start);
        assert_eq!(demand.wanted(start), 1, "nobody has asked yet");
        demand.rises(start);
        assert_eq!(demand.wanted(start), 1, "one alone");
        (0..7).for_each(|_| demand.rises(start));
        assert_eq!(demand.wanted(start), 7);
        assert_eq!(demand.wanted(at(10)), 3);
        assert_eq!(demand.wanted(at(60)), 1);
        assert_eq!(demand.wanted(at(599)), 1);
        assert_eq!(demand.wanted(at(600)), 0);
        demand.lasts(at(600));
        assert_eq!(demand.wanted(at(601)), 1);
        demand.rises(at(700));
        assert_eq!(demand.wanted(at(700)), 1, "what was long ago does not count");
    }
}
