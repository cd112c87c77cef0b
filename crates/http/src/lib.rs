//! The listener and the AWS protocols: service routing, request ids, body limits, drain.
//!
//! One listener serves every AWS endpoint of lambd. A request is read in three steps: its head is
//! parsed, the service it is for is found (from the credential scope, as AWS's own endpoints are told
//! apart by host name), and its body is collected up to the limit that the service sets. Services are
//! given whole requests and answer with whole responses; packages are streamed in both directions, and
//! responses of functions that stream.
//!
//! This crate knows no service: it must not name an action, an error code of a service or a path of
//! one. What all services of one protocol share is in [`protocol`].

mod body;
mod caller;
mod page;
pub mod protocol;
mod query;
mod request;
mod response;
mod router;
mod server;

pub use body::{BodyError, RequestBody};
pub use caller::{Caller, CallerDefaults};
pub use query::{QueryPairs, percent_decode};
pub use request::{AwsRequest, RequestHead};
pub use response::{AwsResponse, ResponseBody, empty, json, of_type, text};
pub use router::{AwsService, Refusal, Router, ServiceFuture};
pub use server::{BoundListener, Gate, ListenError, Server};
