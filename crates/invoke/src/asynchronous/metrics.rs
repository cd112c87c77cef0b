//! Metrics of asynchronous invocation, counted in memory.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, PoisonError};

use lambd_types::{FunctionName, Scope};

use crate::ports::{Metric, Metrics};

/// What was recorded of one metric of one function.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Measured {
    /// How often.
    pub count: u64,
    /// All values together.
    pub sum: u64,
    /// The largest value.
    pub max: u64,
    /// The last value.
    pub last: u64,
}

type ByFunction = HashMap<(Scope, FunctionName), BTreeMap<Metric, Measured>>;

/// Metrics since the daemon started, by function.
#[derive(Debug, Default)]
pub struct Counters(Mutex<ByFunction>);

impl Counters {
    /// What was recorded of a function.
    pub fn of(&self, scope: &Scope, name: &FunctionName) -> BTreeMap<Metric, Measured> {
        let functions = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        functions.get(&(scope.clone(), name.clone())).cloned().unwrap_or_default()
    }
}

impl Metrics for Counters {
    fn record(&self, scope: &Scope, name: &FunctionName, metric: Metric, value: u64) {
        let mut functions = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let function = functions.entry((scope.clone(), name.clone())).or_default();
        let measured = function.entry(metric).or_default();
        measured.count += 1;
        measured.sum = measured.sum.saturating_add(value);
        measured.max = measured.max.max(value);
        measured.last = value;
    }
}
