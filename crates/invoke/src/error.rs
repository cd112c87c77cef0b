//! Why an event did not reach its function.

use std::time::Duration;

/// The event was not taken; nothing ran.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvokeError {
    /// The account's concurrency is used up.
    #[error("all {limit} concurrent executions of the account are in use")]
    Throttled {
        /// The limit.
        limit: usize,
    },
    /// The executions that the function has reserved are used up; with none reserved it never runs.
    #[error("all {limit} executions reserved for the function are in use")]
    Reserved {
        /// The reservation.
        limit: usize,
    },
    /// Synchronous requests come too fast for the executions that they may use.
    #[error("more than {limit} synchronous requests in a second")]
    TooFast {
        /// Requests in a second.
        limit: u64,
        /// Whether the executions are reserved for the function; else the account's functions share them.
        reserved: bool,
        /// Until one is taken again.
        wait: Duration,
    },
    /// Asynchronous requests come too fast.
    #[error("more than {limit} asynchronous requests in a second")]
    EventsTooFast {
        /// Requests in a second.
        limit: u64,
        /// Until one is taken again.
        wait: Duration,
    },
    /// Instances become more too fast (CORE-305).
    #[error("as many instances as may be started by now")]
    Scaling {
        /// Until one may be started.
        wait: Duration,
    },
    /// This machine has no room for another instance, and none came free in time.
    #[error("{reason}")]
    MachineFull {
        /// What there is too little of.
        reason: String,
    },
    /// This machine cannot run the function's runtime.
    #[error("{0}")]
    Runtime(String),
    /// No execution environment could be made.
    #[error("{0}")]
    Environment(String),
}

impl InvokeError {
    /// When it is worth another try; `None` for what is no throttling.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Throttled { .. } | Self::Reserved { .. } | Self::MachineFull { .. } => {
                Some(Duration::from_secs(1))
            }
            Self::TooFast { wait, .. } | Self::EventsTooFast { wait, .. } | Self::Scaling { wait } => {
                Some(*wait)
            }
            Self::Runtime(_) | Self::Environment(_) => None,
        }
    }
}
