//! When free memory is short, and what to do about it.

use std::time::Duration;

use crate::ports::MemoryNow;

/// From this part of the time on that everything waits for memory, it is short, whatever seems to be free.
const STALLED: f64 = 0.1;
/// How often memory is looked at.
pub(crate) const CALM: Duration = Duration::from_secs(1);
/// The same while it is short.
pub(crate) const SHORT: Duration = Duration::from_millis(250);

/// What is to be done now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pressure {
    /// There is enough.
    Enough,
    /// Idle instances are to be ended, a part of them at a time.
    Short,
    /// The same, and nothing is to be started.
    Critical,
}

impl Pressure {
    /// Where at least `reserve` bytes are to stay free. Below half of them nothing is started any more.
    pub(crate) fn of(now: MemoryNow, reserve: u64) -> Self {
        match now.available {
            available if available < reserve / 2 => Self::Critical,
            available if available < reserve || now.stalled >= STALLED => Self::Short,
            _ => Self::Enough,
        }
    }

    /// How many of the idle instances go now: what that frees shows only later.
    pub(crate) fn evictions(self, idle: usize) -> usize {
        match self {
            Self::Enough => 0,
            Self::Short => idle.div_ceil(8),
            Self::Critical => idle.div_ceil(2),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn idle_instances_go_before_nothing_starts() {
        let of = |available, stalled| Pressure::of(MemoryNow { total: 1000, available, stalled }, 100);
        assert_eq!(
            [of(100, 0.0), of(99, 0.0), of(50, 0.0)],
            [Pressure::Enough, Pressure::Short, Pressure::Short]
        );
        assert_eq!(of(49, 0.0), Pressure::Critical);
        assert_eq!([of(900, 0.09), of(900, 0.1)], [Pressure::Enough, Pressure::Short]);
        assert_eq!([0, 1, 8, 9].map(|idle| Pressure::Short.evictions(idle)), [0, 1, 1, 2]);
        assert_eq!(Pressure::Critical.evictions(9), 5);
        assert_eq!(Pressure::Enough.evictions(9), 0);
    }
}
