//! What the services of one AWS protocol share.

pub mod event_stream;
pub mod json;
pub mod query;
pub mod validation;
