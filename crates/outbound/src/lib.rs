//! Requests to elsewhere: signed ones to AWS endpoints, real ones or whatever speaks their protocols, and unsigned ones
//! to registries of packages.
//!
//! Nothing in here knows what a request is for. One [`Client`] keeps connections for all endpoints; each request
//! says where it goes ([`Endpoint`]) and who sends it ([`Credentials`]).
//!
//! | module        | idea                                                    |
//! |---------------|---------------------------------------------------------|
//! | `endpoint`    | a base URL, which may depend on the region              |
//! | `credentials` | keys, and Signature Version 4                           |
//! | `client`      | HTTP and HTTPS connections                              |
//! | `fetch`       | getting what is published, unsigned, through proxies    |
//! | `service`     | what services answer when they do not do what is asked  |
//! | [`s3`]        | reading and writing objects                             |
//! | [`sqs`]       | sending messages to queues                              |
//! | [`sns`]       | publishing to topics                                    |
//! | [`events`]    | putting events on buses                                 |
//! | [`lambda`]    | handing events to functions                             |
//!
//! HTTPS is rustls with ring and the machine's own certificates: what the operator's other programs trust, so does
//! this, also on premises.

mod client;
mod credentials;
mod endpoint;
pub mod events;
mod fetch;
pub mod lambda;
pub mod s3;
mod service;
pub mod sns;
pub mod sqs;

pub use client::{Client, OutboundError};
pub use credentials::Credentials;
pub use endpoint::{Endpoint, EndpointError};
pub use fetch::{fetch, resolve};
pub use service::ServiceError;
