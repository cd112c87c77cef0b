//! How much of something there may be in a time.

use std::time::Duration;

use tokio::time::Instant;

/// A number at once, and a pace at which it comes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rate {
    /// In which one comes back.
    interval: Duration,
    /// In which all of them come back.
    depth: Duration,
}

/// What has been used of a [`Rate`]. It is one point in time: when all of it will be back.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Bucket(Option<Instant>);

impl Rate {
    /// `at_once`, of which `count` come back in each `period`.
    pub(crate) fn new(at_once: u64, count: u64, period: Duration) -> Self {
        // In 64 bits, for this is on the way of every event; periods are short.
        let nanos = u64::try_from(period.as_nanos()).unwrap_or(u64::MAX);
        let interval = Duration::from_nanos(nanos.div_ceil(count.max(1)));
        let times = u32::try_from(at_once).unwrap_or(u32::MAX);
        Self { interval, depth: interval.saturating_mul(times) }
    }

    /// So many in a second, all of which may come at once.
    pub(crate) fn per_second(count: u64) -> Self {
        Self::new(count, count, Duration::from_secs(1))
    }
}

impl Bucket {
    /// Uses one, or tells how long it takes until there is one.
    pub(crate) fn take(&mut self, rate: Rate, now: Instant) -> Result<(), Duration> {
        let full = self.0.map_or(now, |at| at.max(now)) + rate.interval;
        let wait = (full - now).saturating_sub(rate.depth);
        if wait > Duration::ZERO {
            return Err(wait);
        }
        self.0 = Some(full);
        Ok(())
    }

    /// Puts one back that is not needed any more.
    pub(crate) fn put_back(&mut self, rate: Rate) {
        self.0 = self.0.and_then(|at| at.checked_sub(rate.interval));
    }

    /// Whether nothing is used.
    pub(crate) fn is_full(&self, now: Instant) -> bool {
        self.0.is_none_or(|at| at <= now)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn so_many_at_once_and_then_one_after_the_other() {
        let (mut bucket, rate, start) =
            (Bucket::default(), Rate::new(3, 60, Duration::from_secs(60)), Instant::now());
        let second = Duration::from_secs(1);
        for _ in 0..3 {
            bucket.take(rate, start).unwrap();
        }
        assert_eq!(bucket.take(rate, start), Err(second));
        assert_eq!(bucket.take(rate, start + second / 4), Err(second * 3 / 4));
        bucket.take(rate, start + second).unwrap();
        assert_eq!(bucket.take(rate, start + second), Err(second));
        bucket.put_back(rate);
        bucket.take(rate, start + second).unwrap();
        assert!(!bucket.is_full(start + second * 3));
        assert!(bucket.is_full(start + second * 4));
        // What was not used for long is not saved up.
        for _ in 0..3 {
            bucket.take(rate, start + second * 100).unwrap();
        }
        bucket.take(rate, start + second * 100).unwrap_err();
    }

    #[tokio::test(start_paused = true)]
    async fn a_rate_of_none_gives_nothing() {
        assert!(Bucket::default().take(Rate::per_second(0), Instant::now()).is_err());
    }

    proptest! {
        /// However requests come: in no stretch of time are there more than may come at once and come back in it, and
        /// one that waits as long as it was told gets through.
        #[test]
        fn never_more_than_the_rate(at_once in 1u64..20, count in 1u64..200, pauses in prop::collection::vec(0u64..200, 1..200)) {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
            let start = runtime.block_on(async { Instant::now() });
            let (mut bucket, mut now, mut taken) = (Bucket::default(), start, Vec::new());
            let rate = Rate::new(at_once, count, Duration::from_secs(1));
            for pause in pauses {
                now += Duration::from_millis(pause);
                match bucket.take(rate, now) {
                    Ok(()) => taken.push(now),
                    Err(wait) => {
                        let mut later = bucket;
                        prop_assert!(later.take(rate, now + wait - Duration::from_nanos(1)).is_err());
                        prop_assert!(later.take(rate, now + wait).is_ok());
                    }
                }
            }
            for (i, first) in taken.iter().enumerate() {
                for (j, last) in taken.iter().enumerate().skip(i) {
                    let back = (*last - *first).as_nanos() * u128::from(count) / 1_000_000_000;
                    prop_assert!((j - i + 1) as u128 <= u128::from(at_once) + back);
                }
            }
        }
    }
}
