//! Decisions without effects.

pub(crate) mod pool;
pub(crate) mod provisioned;
pub(crate) mod retry;
