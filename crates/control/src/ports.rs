//! What the rules need from the engine.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use lambd_types::invocation::{Event, Outcome, Wants};
use lambd_types::{FunctionKey, FunctionName, FunctionSnapshot, FunctionTarget, Scope};

/// Why the engine did not take an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EngineError {
    /// A limit is used up.
    Throttled {
        /// Which one.
        limit: Limit,
        /// When it is worth another try.
        retry_after: Duration,
    },
    /// This machine cannot run the function's runtime.
    Runtime(String),
    /// The daemon or its machine failed.
    Fault(String),
}

/// A limit of the engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Limit {
    /// The account's concurrency, or how fast it may grow.
    Account,
    /// The function's own concurrency.
    Function,
    /// Synchronous requests in a second, of functions that share the account's concurrency.
    Requests,
    /// The same of a function with concurrency of its own.
    FunctionRequests,
    /// Asynchronous requests in a second.
    Events,
    /// Room on this machine, and what there is too little of.
    Machine(String),
}

/// Instances that a version is to have ready.
#[derive(Debug, Clone)]
pub struct Provision {
    /// The version.
    pub key: FunctionKey,
    /// How many.
    pub executions: u32,
    /// What they run: `None` while the version is not ready, an error when it never will be.
    pub function: Result<Option<Arc<FunctionSnapshot>>, String>,
}

/// Instances that a version has ready.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Provisioned {
    /// Those that are initialised.
    pub allocated: u32,
    /// Those of them that have no event.
    pub available: u32,
    /// Why there are not as many as wanted.
    pub failure: Option<ProvisionFailure>,
}

/// Why an instance could not be made ready.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProvisionFailure {
    /// The function's own initialisation failed.
    Initialisation,
    /// The daemon or its machine failed.
    Environment(String),
}

/// Runs functions.
pub trait Engine: Send + Sync + 'static {
    /// Processes one event and waits for its end. It goes on if the future is dropped.
    fn invoke(
        &self,
        function: Arc<FunctionSnapshot>,
        event: Event,
        wants: Wants,
    ) -> BoxFuture<'_, Result<Outcome, EngineError>>;
    /// Accepts an event to be processed later; it is on disk when this resolves. `caller` says who sent it.
    fn enqueue(
        &self,
        target: FunctionTarget,
        event: Event,
        caller: String,
    ) -> BoxFuture<'_, Result<(), EngineError>>;
    /// `function` is the new state of its version.
    fn supersede(&self, function: &FunctionSnapshot);
    /// The function has this many executions of its own from now on, and no more; `None`: it shares those of the
    /// account.
    fn reserve(&self, scope: &Scope, name: &FunctionName, executions: Option<u32>);
    /// The versions of a function have these instances ready from now on, and its other versions none.
    fn provision(&self, scope: &Scope, name: &FunctionName, wanted: Vec<Provision>);
    /// What a version has of them; `None` when it is to have none.
    fn provisioned(&self, key: &FunctionKey) -> Option<Provisioned>;
    /// Makes what instances of a published version begin with (SnapStart), before any is needed. It may be that there is
    /// nothing to make.
    fn optimise(&self, function: Arc<FunctionSnapshot>) -> BoxFuture<'_, ()>;
    /// The version is gone.
    fn remove_version(&self, key: &FunctionKey);
    /// The function is gone with all its versions.
    fn remove(&self, scope: &Scope, name: &FunctionName);
}
