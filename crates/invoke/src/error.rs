//! Why an event did not reach its function.

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
    /// This machine cannot run the function's runtime.
    #[error("{0}")]
    Runtime(String),
    /// No execution environment could be made.
    #[error("{0}")]
    Environment(String),
}
