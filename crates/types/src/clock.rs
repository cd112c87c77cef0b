//! Time as a parameter.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::sync::Notify;

use crate::UnixMillis;

/// Longest sleep for a time of day: clocks of machines jump, and none must be slept through.
const LONGEST_SLEEP: Duration = Duration::from_secs(30);

/// Tells the time of day. Durations are measured with the runtime's own monotonic clock instead.
pub trait Clock: Send + Sync + 'static {
    /// Now.
    fn now(&self) -> UnixMillis;

    /// Resolves when the clock shows `at` or later; at once if it does already. If the machine's clock jumps over it,
    /// that is noticed within half a minute.
    fn reaches(&self, at: UnixMillis) -> Pin<Box<dyn Future<Output = ()> + Send + '_>>;
}

/// The machine's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> UnixMillis {
        // A clock before 1970 is a machine fault; count it as the epoch rather than fail a request.
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        UnixMillis(since.as_millis() as i64)
    }

    fn reaches(&self, at: UnixMillis) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(async move {
            loop {
                let left = at.0.saturating_sub(self.now().0);
                if left <= 0 {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(left as u64).min(LONGEST_SLEEP)).await;
            }
        })
    }
}

/// A clock that moves only when told to. Clones are the same clock.
#[derive(Debug, Clone, Default)]
pub struct ManualClock(Arc<Manual>);

#[derive(Debug, Default)]
struct Manual {
    now: AtomicI64,
    moved: Notify,
}

impl ManualClock {
    /// A clock that shows `at`.
    pub fn at(at: UnixMillis) -> Self {
        Self(Arc::new(Manual { now: AtomicI64::new(at.0), moved: Notify::new() }))
    }

    /// Moves the clock forward (or back, with a negative number); it stops at the ends of what it can show.
    /// Whoever waits for a time that it shows then goes on.
    pub fn advance(&self, millis: i64) {
        let moved = |now: i64| Some(now.saturating_add(millis));
        let _ = self.0.now.fetch_update(Ordering::SeqCst, Ordering::SeqCst, moved);
        self.0.moved.notify_waiters();
    }
}

impl Clock for ManualClock {
    fn now(&self) -> UnixMillis {
        UnixMillis(self.0.now.load(Ordering::SeqCst))
    }

    fn reaches(&self, at: UnixMillis) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(async move {
            loop {
                // Listening begins before the look, so that no move falls in between.
                let moved = self.0.moved.notified();
                if self.now() >= at {
                    return;
                }
                moved.await;
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_manual_clock_is_waited_for_until_it_is_moved_far_enough() {
        let clock = ManualClock::at(UnixMillis(1_000));
        let other = clock.clone();
        let waiting = tokio::spawn(async move { other.reaches(UnixMillis(5_000)).await });
        tokio::time::sleep(Duration::from_secs(3600)).await;
        assert!(!waiting.is_finished(), "real time is not its time");
        clock.advance(3_999);
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        clock.advance(1);
        waiting.await.unwrap();
        clock.reaches(UnixMillis(5_000)).await;
        clock.advance(i64::MAX);
        clock.advance(i64::MAX);
        assert_eq!(clock.now(), UnixMillis(i64::MAX));
    }

    #[tokio::test]
    async fn the_machines_clock_is_waited_for() {
        let at = UnixMillis(SystemClock.now().0 + 20);
        SystemClock.reaches(at).await;
        assert!(SystemClock.now() >= at);
    }
}
