//! Admission, instance pools, synchronous and asynchronous invocation.
//!
//! Every invocation, whoever asks for it, goes through [`Invoker`]: a concurrency permit, then a warm instance of the
//! version or else a new one, for which there must be room on the machine, then the event. Asynchronous events wait in a durable
//! queue behind [`ports::EventStore`] and end in the same call. Versions may have provisioned instances, which are
//! kept initialised for them and take their events first. Decisions (which instance, when to retry)
//! are plain state machines in `machine`; the rest performs them.
//!
//! It must not know what an instance is made of, how functions are stored, or anything of HTTP.

mod asynchronous;
mod concurrency;
mod error;
#[cfg(test)]
mod fixtures;
mod invoker;
mod machine;
pub mod metrics;
mod options;
pub mod ports;
mod provisioning;
mod retiring;
mod shelf;
mod to_the_end;
mod turns;

pub use asynchronous::{AsyncParts, AsyncQueue, Counters, Measured, QueueError, QueueReport, QueuedReport};
pub use error::InvokeError;
pub use invoker::Invoker;
pub use machine::provisioned::{Allocation, Failure, Usage, Wanted};
pub use machine::retry::{Attempt, RetryPolicy};
pub use options::InvokeOptions;
