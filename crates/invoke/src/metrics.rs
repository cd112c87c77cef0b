//! What the engine counts. Others read it; nothing is sent from here.

use std::sync::atomic::{AtomicU64, Ordering};

use lambd_types::{FunctionKey, Scope};

use crate::InvokeError;

/// Where the numbers are read; [`crate::Invoker`] has them.
pub trait Metrics: Send + Sync + 'static {
    /// Counters since the daemon's start.
    fn counters(&self) -> Snapshot;
    /// What there is now of instances.
    fn instances(&self) -> InstancesNow;
    /// Events in progress in an account and region (CORE-309).
    fn concurrency(&self, scope: &Scope) -> ConcurrencyNow;
    /// What became of a version's provisioned executions (CORE-181); `None` where it has none.
    fn provisioned(&self, key: &FunctionKey) -> Option<ProvisionedMetrics>;
    /// The same of all versions that have any, in no order.
    fn all_provisioned(&self) -> Vec<(FunctionKey, ProvisionedMetrics)>;
}

/// Events in progress of an account and region, by the names of the service's metrics.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ConcurrencyNow {
    /// `ConcurrentExecutions`.
    pub concurrent_executions: usize,
    /// `UnreservedConcurrentExecutions`.
    pub unreserved_concurrent_executions: usize,
}

/// A version's provisioned executions. Those of an alias are those of its version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProvisionedMetrics {
    /// `ProvisionedConcurrentExecutions`: events that use them now.
    pub concurrent_executions: usize,
    /// How many there are.
    pub executions: usize,
    /// `ProvisionedConcurrencyInvocations`, since they were first asked for in this daemon.
    pub invocations: u64,
    /// `ProvisionedConcurrencySpilloverInvocations`, in the same time: events that used others because all were in
    /// use, or because they came too fast.
    pub spillover_invocations: u64,
}

impl ProvisionedMetrics {
    /// `ProvisionedConcurrencyUtilization`: the part of them in use, from 0 to 1.
    pub fn utilization(&self) -> f64 {
        self.concurrent_executions as f64 / self.executions.max(1) as f64
    }
}

/// Instances of now.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct InstancesNow {
    /// All that hold memory, those that are starting or ending among them.
    pub total: usize,
    /// Without an event, provisioned ones apart.
    pub idle: usize,
    /// Most that there may be.
    pub most: usize,
    /// Events that wait for room on the machine.
    pub waiting: usize,
    /// Whether free memory is short: idle instances are ended.
    pub memory_is_short: bool,
}

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// Counters of what happened, since the daemon's start.
        #[derive(Debug, Default)]
        pub(crate) struct Counters {
            $($(#[$doc])* pub(crate) $name: Counter,)*
        }

        /// The values of counters, since the daemon's start.
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
        pub struct Snapshot {
            $($(#[$doc])* pub $name: u64,)*
        }

        impl Counters {
            pub(crate) fn snapshot(&self) -> Snapshot {
                Snapshot { $($name: self.$name.0.load(Ordering::Relaxed),)* }
            }
        }

        impl Snapshot {
            /// All of them, with their names.
            pub fn named(&self) -> impl Iterator<Item = (&'static str, u64)> {
                [$((stringify!($name), self.$name),)*].into_iter()
            }
        }
    };
}

counters! {
    /// Events refused because all executions of the account were in use.
    throttled_account,
    /// Events refused because all executions reserved for the function were in use.
    throttled_reserved,
    /// Requests refused because they came too fast.
    throttled_rate,
    /// Events refused because instances would have become more too fast.
    throttled_scaling,
    /// Events refused because the machine had no room in time.
    throttled_machine,
    /// Instances that were started for events.
    started,
    /// Instances that were ended because they had no event for long.
    expired,
    /// Instances that were ended because of their age.
    recycled,
    /// Idle instances that were ended because free memory was short.
    evicted_for_memory,
    /// Idle instances that were ended to make room for others.
    evicted_for_room,
    /// Events that had to wait for room on the machine.
    waited,
}

/// One number that only grows.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn add(&self, more: u64) {
        self.0.fetch_add(more, Ordering::Relaxed);
    }
}

impl Counters {
    /// Counts an event that was not taken.
    pub(crate) fn refused(&self, error: &InvokeError) {
        let counter = match error {
            InvokeError::Throttled { .. } => &self.throttled_account,
            InvokeError::Reserved { .. } => &self.throttled_reserved,
            InvokeError::TooFast { .. } | InvokeError::EventsTooFast { .. } => &self.throttled_rate,
            InvokeError::Scaling { .. } => &self.throttled_scaling,
            InvokeError::MachineFull { .. } => &self.throttled_machine,
            InvokeError::Runtime(_) | InvokeError::Environment(_) => return,
        };
        counter.add(1);
    }
}
