//! The wire contract of the Lambda API: shapes, routes, errors, paging.
//!
//! Everything that a client sees is written here and nowhere else: paths in [`Operation::route`], bodies
//! in [`requests`] and [`responses`], error codes and their JSON in [`ApiError`], texts of constraint
//! violations in [`Violations`]. The crate decides nothing: it must not know the store, the engine or
//! which settings are supported.

mod error;
pub mod mappings;
mod marker;
mod operation;
mod violations;

pub mod archive;
pub mod requests;
pub mod responses;
pub mod runtimes;

pub use error::{ApiError, ThrottleReason, Throttling};
pub use marker::Marker;
pub use operation::{Effect, Operation, Route, Routed, Unoffered, compatibility_table};
pub use violations::{Violations, patterns};
