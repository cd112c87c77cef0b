//! What becomes of an asynchronous event after an attempt (CORE-254, CORE-255).

use lambd_types::UnixMillis;

use crate::ports::EventSettings;

/// How often and when an event is tried again.
#[derive(Debug, Clone)]
pub struct RetryPolicy {
    /// Milliseconds before each retry after a function error: 1 minute, then 2. Their number is the
    /// number of retries.
    pub after_function_error: Vec<i64>,
    /// First wait after throttling or a fault, in milliseconds; it doubles each time.
    pub backoff_first: i64,
    /// Longest such wait.
    pub backoff_max: i64,
    /// Age at which an event is given up: 6 hours.
    pub max_age: i64,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            after_function_error: vec![60_000, 120_000],
            backoff_first: 1_000,
            backoff_max: 300_000,
            max_age: 6 * 3600 * 1000,
        }
    }
}

/// How an attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attempt {
    /// The function returned.
    Succeeded,
    /// The function or its runtime failed.
    FunctionError,
    /// It never ran: throttling or a fault of the system.
    SystemError,
}

/// What to do with the event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    /// It is done.
    Done,
    /// Try again at this time.
    RetryAt(UnixMillis),
    /// All attempts failed.
    GiveUpRetries,
    /// It is too old.
    GiveUpAge,
}

impl RetryPolicy {
    /// The policy with limits that somebody else has set; it never tries longer or more often than by itself.
    pub(crate) fn within(&self, limits: &EventSettings) -> Self {
        let retries = limits.retries.map_or(usize::MAX, |retries| retries as usize);
        Self {
            after_function_error: self.after_function_error.iter().copied().take(retries).collect(),
            max_age: limits.max_age.unwrap_or(i64::MAX).min(self.max_age),
            ..self.clone()
        }
    }

    /// Whether an event has waited too long to be tried at all.
    pub(crate) fn is_too_old(&self, accepted_at: UnixMillis, now: UnixMillis) -> bool {
        now.0.saturating_sub(accepted_at.0) > self.max_age
    }

    /// Decides. The counts are of earlier attempts, without this one.
    pub(crate) fn next(
        &self,
        attempt: Attempt,
        function_errors: u32,
        system_errors: u32,
        accepted_at: UnixMillis,
        now: UnixMillis,
    ) -> Next {
        let wait = match attempt {
            Attempt::Succeeded => return Next::Done,
            Attempt::FunctionError => match self.after_function_error.get(function_errors as usize) {
                Some(wait) => *wait,
                None => return Next::GiveUpRetries,
            },
            Attempt::SystemError => self.backoff(system_errors),
        };
        let at = UnixMillis(now.0.saturating_add(wait));
        if self.is_too_old(accepted_at, at) { Next::GiveUpAge } else { Next::RetryAt(at) }
    }

    /// The wait after a fault that was not the first.
    pub(crate) fn backoff(&self, faults_before: u32) -> i64 {
        // 2^32 times any first wait is past every maximum; more would overflow.
        self.backoff_first.saturating_mul(1_i64 << faults_before.min(32)).min(self.backoff_max)
    }

    /// The longest wait that it orders.
    pub(crate) fn longest_wait(&self) -> i64 {
        self.after_function_error.iter().copied().chain([self.backoff_max]).max().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn next(attempt: Attempt, function_errors: u32, system_errors: u32, now: i64) -> Next {
        RetryPolicy::default().next(attempt, function_errors, system_errors, UnixMillis(0), UnixMillis(now))
    }

    /// API-139.8, CORE-254: two more attempts, after one and after two minutes.
    #[test]
    fn function_errors_are_retried_twice() {
        assert_eq!(next(Attempt::FunctionError, 0, 0, 10), Next::RetryAt(UnixMillis(60_010)));
        assert_eq!(next(Attempt::FunctionError, 1, 5, 10), Next::RetryAt(UnixMillis(120_010)));
        assert_eq!(next(Attempt::FunctionError, 2, 0, 10), Next::GiveUpRetries);
        assert_eq!(next(Attempt::Succeeded, 2, 9, 10), Next::Done);
    }

    /// CORE-261: fewer attempts and a shorter time, never more than by itself.
    #[test]
    fn limits_of_a_function_are_kept() {
        let policy = RetryPolicy::default();
        let within =
            |retries, max_age| policy.within(&EventSettings { retries, max_age, ..EventSettings::default() });
        let first =
            |p: RetryPolicy, now| p.next(Attempt::FunctionError, 0, 0, UnixMillis(0), UnixMillis(now));
        assert_eq!(first(within(Some(0), None), 0), Next::GiveUpRetries);
        assert_eq!(first(within(Some(1), None), 0), Next::RetryAt(UnixMillis(60_000)));
        assert_eq!(first(within(None, Some(60_000)), 0), Next::RetryAt(UnixMillis(60_000)));
        assert_eq!(first(within(None, Some(60_000)), 1), Next::GiveUpAge);
        assert_eq!(within(Some(9), Some(i64::MAX)).after_function_error, policy.after_function_error);
        assert_eq!(within(None, Some(i64::MAX)).max_age, policy.max_age);
        assert!(!within(None, Some(60_000)).is_too_old(UnixMillis(0), UnixMillis(60_000)));
        assert!(within(None, Some(60_000)).is_too_old(UnixMillis(0), UnixMillis(60_001)));
    }

    /// API-139.8, CORE-255: from one second up to five minutes, for six hours.
    #[test]
    fn throttles_back_off_until_the_event_is_too_old() {
        assert_eq!(next(Attempt::SystemError, 0, 0, 0), Next::RetryAt(UnixMillis(1_000)));
        assert_eq!(next(Attempt::SystemError, 0, 3, 0), Next::RetryAt(UnixMillis(8_000)));
        for many in [9, 63, 64, 1000] {
            assert_eq!(next(Attempt::SystemError, 0, many, 0), Next::RetryAt(UnixMillis(300_000)), "{many}");
        }
        assert_eq!(next(Attempt::SystemError, 0, 50, 6 * 3600 * 1000 - 1), Next::GiveUpAge);
    }
}
