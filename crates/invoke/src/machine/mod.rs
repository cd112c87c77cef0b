//! Decisions without effects.

pub(crate) mod pool;
pub(crate) mod retry;
