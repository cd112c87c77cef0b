//! Settings of the engine.

use std::time::Duration;

use lambd_types::{FunctionName, MemorySize, ScalingRule, limits};

use crate::machine::retry::RetryPolicy;

/// Memory that an instance is taken to need at least: what an idle one of a small function costs, twice.
const LEAST_PER_INSTANCE: u64 = 16 << 20;
/// An instance is taken to need this part of its memory limit: limits are set for the worst case.
const PART_OF_LIMIT: u64 = 8;
/// Bounds of what of the machine's memory stays free.
const LEAST_RESERVE: u64 = 64 << 20;
const MOST_RESERVE: u64 = 1 << 30;

/// Settings of the engine, with the service's defaults.
#[derive(Debug, Clone)]
pub struct InvokeOptions {
    /// Events being processed at one time in an account and region (CORE-071).
    pub concurrent_executions: usize,
    /// Requests in a second for each of them (CORE-080, CORE-081); `None`: as many as come.
    pub requests_per_execution: Option<u32>,
    /// How fast instances may become more (CORE-303, CORE-304).
    pub scaling: ScalingRule,
    /// The machine's memory in bytes, from which the next two follow where they are `None`; 0: it is not known, and
    /// they have no bound.
    pub memory: u64,
    /// Instances that there may be at one time.
    pub max_instances: Option<usize>,
    /// The same of one function.
    pub max_instances_per_function: Option<usize>,
    /// Events that may wait for room for an instance.
    pub max_waiting: usize,
    /// How long they wait.
    pub wait_for_room: Duration,
    /// Bytes of memory that stay free; `None`: a twentieth of it, from 64 MB to 1 GB.
    pub min_free_memory: Option<u64>,
    /// An instance is not reused after this time; up to an eighth of it less, so that those that began together do not
    /// end together. `None`: it may live for ever.
    pub recycle_after: Option<Duration>,
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
            requests_per_execution: Some(limits::REQUESTS_PER_EXECUTION),
            scaling: ScalingRule::default(),
            memory: 0,
            max_instances: None,
            max_instances_per_function: None,
            max_waiting: 256,
            wait_for_room: Duration::from_secs(5),
            min_free_memory: None,
            recycle_after: Some(Duration::from_secs(2 * 3600)),
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

impl InvokeOptions {
    /// Instances that there may be at one time.
    pub fn instances(&self) -> usize {
        self.max_instances.unwrap_or_else(|| self.fitting(LEAST_PER_INSTANCE))
    }

    /// The same of one function, by its memory limit.
    pub fn instances_of(&self, memory: MemorySize) -> usize {
        let need = LEAST_PER_INSTANCE.max(memory.bytes() / PART_OF_LIMIT);
        self.max_instances_per_function.unwrap_or_else(|| self.fitting(need))
    }

    /// Bytes of memory that stay free on a machine with `total`.
    pub fn reserve(&self, total: u64) -> u64 {
        self.min_free_memory.unwrap_or_else(|| (total / 20).clamp(LEAST_RESERVE, MOST_RESERVE))
    }

    fn fitting(&self, need: u64) -> usize {
        match self.memory {
            0 => usize::MAX,
            memory => usize::try_from(memory / need).unwrap_or(usize::MAX).max(1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn caps_follow_from_the_machine_s_memory() {
        let gb = 1u64 << 30;
        let of = |memory| InvokeOptions { memory, ..InvokeOptions::default() };
        assert_eq!([2 * gb, 24 * gb].map(|memory| of(memory).instances()), [128, 1536]);
        let sizes = [128, 1024, 10240].map(|mb| MemorySize::new(mb).unwrap());
        assert_eq!(sizes.map(|size| of(24 * gb).instances_of(size)), [1536, 192, 19]);
        assert_eq!(of(gb / 8).instances_of(sizes[2]), 1, "one always fits");
        assert_eq!(of(0).instances(), usize::MAX);
        let chosen = InvokeOptions {
            max_instances: Some(7),
            max_instances_per_function: Some(3),
            min_free_memory: Some(0),
            ..of(gb)
        };
        assert_eq!((chosen.instances(), chosen.instances_of(sizes[0]), chosen.reserve(gb)), (7, 3, 0));
        let reserves = [gb / 2, 8 * gb, 64 * gb].map(|total| of(total).reserve(total) >> 20);
        assert_eq!(reserves, [64, 409, 1024]);
    }
}
