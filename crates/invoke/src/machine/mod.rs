//! Decisions without effects.

pub(crate) mod pool;
pub(crate) mod pressure;
pub(crate) mod provisioned;
pub(crate) mod rate;
pub(crate) mod retry;
pub(crate) mod room;
pub(crate) mod scaling;
