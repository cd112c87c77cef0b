//! CloudWatch Logs, embedded: the logs of functions and of any client that writes its own. And the X-Ray
//! daemon's address, in [`Traces`].
//!
//! Two ways in, one store. Functions' logs come through [`LogWriter`], which never waits: what is
//! appended is queued, and one task writes whatever has queued up in one transaction. SDKs come through
//! [`LogsService`], the CloudWatch Logs API over AWS JSON 1.1. A read waits for what was appended
//! before it, so that a client that has its function's answer also finds its log.
//!
//! This crate must not know what a function is: group and stream names are given to it.

mod actions;
mod error;
mod names;
mod observe;
mod pattern;
mod service;
mod sweep;
mod token;
mod traces;
mod writer;

pub use observe::{Observe, ObserveHandle};
pub use service::LogsService;
pub use traces::{ServingTraces, Traces};
pub use writer::{BACKLOG_LIMIT, LogWriter, StreamId};
