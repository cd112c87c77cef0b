//! What the engine needs from its neighbours.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use lambd_types::invocation::{Event, InitializationType, Outcome, Wants};
use lambd_types::{FunctionName, FunctionSnapshot, FunctionTarget, RequestId, Scope, UnixMillis};

use crate::InvokeError;

/// Starts instances.
pub trait Instances: Send + Sync + 'static {
    /// Starts one; it may still be initialising when this resolves.
    fn start(
        &self,
        function: Arc<FunctionSnapshot>,
        initialization: InitializationType,
    ) -> BoxFuture<'_, Result<Arc<dyn Instance>, InvokeError>>;
}

/// One instance. Dropping the last handle ends it at once.
pub trait Instance: Send + Sync + 'static {
    /// Processes one event; the engine gives the next one only after this. With an error the event was not
    /// taken, and the instance is of no more use.
    fn deliver(&self, event: Event, wants: Wants) -> BoxFuture<'_, Result<Delivery, InvokeError>>;
    /// Waits for the end of an event whose delivery left it open: whether the instance can take another one.
    fn finish(&self) -> BoxFuture<'_, bool>;
    /// Waits until it is initialised, before it has any event. `false`: that failed, and it is of no more use.
    fn initialise(&self) -> BoxFuture<'_, bool>;
    /// Resolves when the process that it has now has ended; does not keep it alive.
    fn ended(&self) -> BoxFuture<'static, ()>;
    /// Stops it where it is until its next event.
    fn freeze(&self);
    /// Whether its process still runs.
    fn is_alive(&self) -> bool;
    /// Ends it in good order: its process may end by itself for a moment. Resolves when nothing is left.
    fn retire(&self) -> BoxFuture<'_, ()>;
}

/// The end of one event.
#[derive(Debug)]
pub struct Delivery {
    /// For the caller.
    pub outcome: Outcome,
    /// Whether the instance can take another event. `None`: it is still busy with this one, although the answer is
    /// there; [`Instance::finish`] tells.
    pub reusable: Option<bool>,
}

/// Finds what an event that waited runs on now. An alias is looked up anew for each attempt.
pub trait Functions: Send + Sync + 'static {
    /// `None` when the function, its version or its alias was deleted; an error when it cannot run now.
    fn snapshot(
        &self,
        target: &FunctionTarget,
    ) -> BoxFuture<'_, Result<Option<Arc<FunctionSnapshot>>, PortError>>;
    /// How long and how often events for a target are tried now.
    fn event_limits(&self, target: &FunctionTarget) -> BoxFuture<'_, Result<EventLimits, PortError>>;
}

/// How long and how often an event is tried; `None` for the engine's own limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct EventLimits {
    /// Attempts after a function error.
    pub retries: Option<u32>,
    /// Milliseconds since it was accepted.
    pub max_age: Option<i64>,
}

/// A neighbour failed.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{text}")]
pub struct PortError {
    /// What happened.
    pub text: String,
    /// Whether the disk is full.
    pub disk_full: bool,
}

/// An asynchronous event in the durable queue.
#[derive(Debug, Clone)]
pub struct QueuedEvent {
    /// What to invoke.
    pub target: FunctionTarget,
    /// The event itself; its request id names it in the queue.
    pub event: Event,
    /// When it was accepted.
    pub accepted_at: UnixMillis,
    /// Attempts that ended in a function error.
    pub function_errors: u32,
    /// Attempts that ended in throttling or a fault of the system.
    pub system_errors: u32,
}

/// What is not to be started now.
#[derive(Debug, Clone, Default)]
pub struct Busy {
    /// Events that are being processed; the store still has them.
    pub events: Vec<RequestId>,
    /// Functions that have enough of them.
    pub functions: Vec<(Scope, FunctionName)>,
}

/// Keeps accepted events across restarts.
pub trait EventStore: Send + Sync + 'static {
    /// Adds an event, due at once. It is on disk when this resolves.
    fn push(&self, event: QueuedEvent) -> BoxFuture<'_, Result<(), PortError>>;
    /// Up to `limit` events due at `now` that `busy` does not hold back, longest due first.
    fn due(
        &self,
        now: UnixMillis,
        limit: usize,
        busy: Busy,
    ) -> BoxFuture<'_, Result<Vec<QueuedEvent>, PortError>>;
    /// When the next event that is not yet due at `now` will be.
    fn next_due(&self, now: UnixMillis) -> BoxFuture<'_, Result<Option<UnixMillis>, PortError>>;
    /// Puts an event back for a later attempt.
    fn postpone(&self, event: QueuedEvent, until: UnixMillis) -> BoxFuture<'_, Result<(), PortError>>;
    /// Removes an event after its outcome.
    fn remove(&self, id: RequestId) -> BoxFuture<'_, Result<(), PortError>>;
}

/// The machine's memory.
pub trait Memory: Send + Sync + 'static {
    /// What there is now; `None` when that cannot be known.
    fn read(&self) -> Option<MemoryNow>;
}

/// Memory in bytes, of the machine or of what of it the daemon may use.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MemoryNow {
    /// All of it.
    pub total: u64,
    /// What can be had without taking it from somebody.
    pub available: u64,
    /// The part of the last ten seconds, from 0 to 1, in which all processes waited for memory; 0 where the kernel does
    /// not tell.
    pub stalled: f64,
}
