//! What the engine needs from its neighbours.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use lambd_types::invocation::{Event, InitializationType, Outcome, Wants};
use lambd_types::{FunctionKey, FunctionName, FunctionSnapshot, FunctionTarget, Scope, UnixMillis};

use crate::InvokeError;

/// Starts instances.
pub trait Instances: Send + Sync + 'static {
    /// Starts one; it may still be initialising when this resolves.
    fn start(
        &self,
        function: Arc<FunctionSnapshot>,
        initialization: InitializationType,
    ) -> BoxFuture<'_, Result<Arc<dyn Instance>, InvokeError>>;
    /// A function that is likely to need one soon: what can be done for that now may be done in the background.
    fn expect(&self, _function: &FunctionSnapshot) {}
    /// Makes what instances of a published version begin with (SnapStart). It may be that there is nothing to make.
    fn optimise(&self, _function: Arc<FunctionSnapshot>) -> BoxFuture<'_, ()> {
        Box::pin(std::future::ready(()))
    }
    /// Drops what was made for versions that are gone.
    fn forget(&self, _is_gone: &dyn Fn(&FunctionKey) -> bool) {}
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
    /// How events for a target are treated now. It is asked for each event: the answer should come from memory.
    fn event_settings(&self, target: &FunctionTarget) -> BoxFuture<'_, Result<EventSettings, PortError>>;
}

/// How events for a function, a version or an alias are treated.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EventSettings {
    /// Attempts after a function error; `None` for the engine's own number.
    pub retries: Option<u32>,
    /// Milliseconds since it was accepted after which an event is given up; `None` for the engine's own limit.
    pub max_age: Option<i64>,
    /// ARN of where successes are told.
    pub on_success: Option<String>,
    /// ARN of where failures are told.
    pub on_failure: Option<String>,
    /// Whether it may cause itself again and again.
    pub may_recurse: bool,
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

/// An event that is accepted.
#[derive(Debug, Clone)]
pub struct NewEvent {
    /// What to invoke.
    pub target: FunctionTarget,
    /// The event itself; its request id is the same for all attempts.
    pub event: Event,
    /// Who sent it, for people.
    pub caller: String,
    /// ARN of where its failure is told should the function be gone by then.
    pub on_failure: Option<String>,
    /// ARN of its dead letter queue or topic, likewise.
    pub dead_letter: Option<String>,
    /// When it was accepted.
    pub accepted_at: UnixMillis,
}

/// What is to be done with an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Stage {
    /// The function is to be invoked.
    Invoke,
    /// Its outcome is to be delivered.
    Deliver,
    /// Nothing: it has failed, and is kept for an operator until it is due.
    Failed,
    /// Nothing: the store could not read it.
    Unreadable,
}

/// What has become of an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// What is to be done with it.
    pub stage: Stage,
    /// When.
    pub due_at: UnixMillis,
    /// Attempts that ended in a function error.
    pub function_errors: u32,
    /// Attempts of this stage that ended in throttling or a fault.
    pub system_errors: u32,
    /// Why the last attempt failed.
    pub last_error: Option<String>,
    /// The outcome, opaque to the store.
    pub outcome: Option<Vec<u8>>,
}

/// An event in the durable queue.
#[derive(Debug, Clone)]
pub struct QueuedEvent {
    /// Its identity in the store.
    pub seq: i64,
    /// What it was accepted with.
    pub new: NewEvent,
    /// What has become of it.
    pub progress: Progress,
}

/// The queue of a function.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FunctionQueue {
    /// Its identity in the store.
    pub id: i64,
    /// Account and region.
    pub scope: Scope,
    /// The function.
    pub name: FunctionName,
    /// Whether an operator has stopped it.
    pub paused: bool,
}

/// An event without its payload, for people.
#[derive(Debug, Clone)]
pub struct EventSummary {
    /// Its identity in the store.
    pub seq: i64,
    /// The id of its request.
    pub request_id: String,
    /// Version or alias.
    pub qualifier: String,
    /// Who sent it.
    pub caller: String,
    /// When it was accepted.
    pub accepted_at: UnixMillis,
    /// Bytes of its payload.
    pub bytes: u64,
    /// What has become of it, without its outcome.
    pub progress: Progress,
}

/// Keeps accepted events across restarts. What is written is on disk when its future resolves.
pub trait EventStore: Send + Sync + 'static {
    /// Adds an event, due at once. Returns the identities of its queue and of itself, which count up.
    fn push(&self, new: NewEvent) -> BoxFuture<'_, Result<(i64, i64), PortError>>;
    /// All queues.
    fn queues(&self) -> BoxFuture<'_, Result<Vec<FunctionQueue>, PortError>>;
    /// The first events of a stage by the time at which they are due, due already or not.
    fn first(
        &self,
        queue: i64,
        stage: Stage,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<(i64, UnixMillis)>, PortError>>;
    /// Events of a queue in the order of `seqs`, without those that are gone or cannot be read; these are set aside.
    fn load<'a>(
        &'a self,
        queue: &'a FunctionQueue,
        seqs: &'a [i64],
    ) -> BoxFuture<'a, Result<Vec<QueuedEvent>, PortError>>;
    /// Records what has become of an event; nothing happens to one that is gone.
    fn change(&self, seq: i64, progress: Progress) -> BoxFuture<'_, Result<(), PortError>>;
    /// Removes an event after its outcome.
    fn remove(&self, seq: i64) -> BoxFuture<'_, Result<(), PortError>>;
    /// Stops a queue, which is made if there is none, or lets it go on; returns its identity.
    fn pause(
        &self,
        scope: &Scope,
        name: &FunctionName,
        paused: bool,
    ) -> BoxFuture<'_, Result<i64, PortError>>;
    /// Removes all events of a stage; returns their number.
    fn purge(&self, queue: i64, stage: Stage) -> BoxFuture<'_, Result<u64, PortError>>;
    /// Removes failed events that were kept long enough, and the oldest beyond `most`.
    fn trim(&self, queue: i64, now: UnixMillis, most: usize) -> BoxFuture<'_, Result<(), PortError>>;
    /// How many events there are of each stage; stages without any may be missing.
    fn count(&self, queue: i64) -> BoxFuture<'_, Result<Vec<(Stage, u64)>, PortError>>;
    /// The first events of a stage, for people.
    fn list(
        &self,
        queue: i64,
        stage: Stage,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<EventSummary>, PortError>>;
}

/// What is sent to where outcomes are told.
#[derive(Debug, Clone)]
pub struct Parcel {
    /// ARN of a queue, a topic, an event bus or a bucket.
    pub destination: String,
    /// Account and region of the function.
    pub scope: Scope,
    /// The function.
    pub name: FunctionName,
    /// Its ARN with version or alias.
    pub function_arn: String,
    /// The id of the event's request; the same if the parcel is sent again.
    pub request_id: String,
    /// When the outcome was there.
    pub at: UnixMillis,
    /// The trace that the event belongs to.
    pub trace: String,
    /// What it holds.
    pub content: Content,
}

/// What a parcel holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// The record of an invocation.
    Record {
        /// Whether the function succeeded.
        success: bool,
        /// JSON.
        document: String,
    },
    /// The event itself, for a dead letter queue or topic.
    DeadLetter {
        /// The event's payload.
        event: String,
        /// An HTTP status.
        code: u16,
        /// Why it failed, not empty.
        message: String,
    },
}

/// A parcel was not delivered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DeliveryError {
    /// It never will be, unless somebody changes something.
    #[error("{0}")]
    Refused(String),
    /// It may be later.
    #[error("{0}")]
    Later(String),
}

/// Delivers what is told about events. Functions are none of its destinations: the engine has its own way to them.
pub trait Destinations: Send + Sync + 'static {
    /// Delivers one parcel.
    fn deliver(&self, parcel: Parcel) -> BoxFuture<'_, Result<(), DeliveryError>>;
}

/// A metric of asynchronous invocation, named as the service does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Metric {
    /// Events that were accepted.
    AsyncEventsReceived,
    /// Milliseconds between acceptance and attempt.
    AsyncEventAge,
    /// Events that were given up without success.
    AsyncEventsDropped,
    /// Records that could not be delivered to a destination.
    DestinationDeliveryFailures,
    /// Events that could not be delivered to a dead letter queue or topic.
    DeadLetterErrors,
    /// Events that were stopped because their function caused them again and again.
    RecursiveInvocationsDropped,
}

/// Takes metrics.
pub trait Metrics: Send + Sync + 'static {
    /// Something was counted or measured.
    fn record(&self, scope: &Scope, name: &FunctionName, metric: Metric, value: u64);
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
