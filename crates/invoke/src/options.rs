//! Settings of the engine.

use std::time::Duration;

use lambd_types::{FunctionName, limits};

use crate::machine::retry::RetryPolicy;

/// Settings of the engine, with the service's defaults.
#[derive(Debug, Clone)]
pub struct InvokeOptions {
    /// Events being processed at one time in an account and region (CORE-071).
    pub concurrent_executions: usize,
    /// An instance without work for this long is frozen; back-to-back events do not pay for it.
    pub freeze_after: Duration,
    /// An instance without work for this long is stopped.
    pub idle_timeout: Duration,
    /// Provisioned instances that are started and initialised at one time.
    pub provisioning_at_once: usize,
    /// Retries of asynchronous events.
    pub retry: RetryPolicy,
    /// Asynchronous events being processed at one time.
    pub async_in_flight: usize,
    /// The same of one function, so that a slow one leaves room for others.
    pub async_in_flight_per_function: usize,
    /// Milliseconds for which an outcome is tried to be delivered.
    pub delivery_age: i64,
    /// Milliseconds for which events that have failed are kept for an operator.
    pub failed_events_age: i64,
    /// Most of them of one function.
    pub failed_events_kept: usize,
    /// Functions of which one event at a time is processed; others wait for it. For debugging: whoever follows one
    /// event does not want the next beside it.
    pub one_at_a_time: Vec<FunctionName>,
}

impl Default for InvokeOptions {
    fn default() -> Self {
        Self {
            concurrent_executions: limits::CONCURRENT_EXECUTIONS,
            freeze_after: Duration::from_millis(100),
            idle_timeout: Duration::from_secs(600),
            provisioning_at_once: 16,
            retry: RetryPolicy::default(),
            async_in_flight: 64,
            async_in_flight_per_function: 16,
            delivery_age: 6 * 3600 * 1000,
            failed_events_age: 7 * 24 * 3600 * 1000,
            failed_events_kept: 1_000,
            one_at_a_time: Vec::new(),
        }
    }
}
