//! What the rules need from the engine.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use lambd_types::invocation::{Event, LogType, Outcome};
use lambd_types::{FunctionKey, FunctionName, FunctionSnapshot, FunctionTarget, Scope};

/// Why the engine did not take an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EngineError {
    /// The account's concurrency is used up.
    Throttled,
    /// The function's own concurrency is used up.
    Reserved,
    /// This machine cannot run the function's runtime.
    Runtime(String),
    /// The daemon or its machine failed.
    Fault(String),
}

/// Runs functions.
pub trait Engine: Send + Sync + 'static {
    /// Processes one event and waits for its end.
    fn invoke(
        &self,
        function: Arc<FunctionSnapshot>,
        event: Event,
        log_type: LogType,
    ) -> BoxFuture<'_, Result<Outcome, EngineError>>;
    /// Accepts an event to be processed later; it is on disk when this resolves.
    fn enqueue(&self, target: FunctionTarget, event: Event) -> BoxFuture<'_, Result<(), EngineError>>;
    /// `function` is the new state of its version.
    fn supersede(&self, function: &FunctionSnapshot);
    /// The function has this many executions of its own from now on, and no more; `None`: it shares those of the
    /// account.
    fn reserve(&self, scope: &Scope, name: &FunctionName, executions: Option<u32>);
    /// The version is gone.
    fn remove_version(&self, key: &FunctionKey);
    /// The function is gone with all its versions.
    fn remove(&self, scope: &Scope, name: &FunctionName);
}
