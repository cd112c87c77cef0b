//! Application Auto Scaling, embedded: what scales the provisioned concurrency of functions.
//!
//! SDKs come through [`ScalingService`], the API over AWS JSON 1.1, which stores targets, policies and scheduled actions.
//! One task ([`Scaling::start`]) does what they say: each minute it asks how much was used, and `tracking` decides; when a
//! scheduled action is due, it changes the bounds. Both change a capacity through [`ports::Capacities`] and write down
//! what they did as an activity. Everything but the measured minutes is in the store, so that the next daemon goes on.
//!
//! This crate must not know how functions run, nor what makes a capacity valid.

mod actions;
mod activities;
mod alarms;
mod checks;
mod error;
pub mod ports;
mod resource;
mod scaler;
mod schedule;
mod service;
mod shapes;
mod tracking;
mod turn;

pub use scaler::{Scaling, ScalingHandle};
pub use service::ScalingService;
