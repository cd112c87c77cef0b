//! Ports of one crate implemented by another. Nothing here decides: each function translates.

pub(crate) mod capacities;
pub(crate) mod destinations;
pub(crate) mod endpoint;
pub(crate) mod engine;
pub(crate) mod events;
pub(crate) mod instances;
pub(crate) mod logs;
pub(crate) mod memory;
pub(crate) mod sandboxes;
pub(crate) mod traces;
