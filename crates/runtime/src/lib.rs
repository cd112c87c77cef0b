//! The Runtime API, one instance's protocol machine, and the catalogue of managed runtimes.
//!
//! An [`Instance`] is one instance of one function version from its start to its end: it asks a sandbox of
//! its [`ports`] (a second one when the first failed to initialise), serves the Runtime API to the process
//! inside, hands it one event at a time, keeps the log in order and turns every way in which a process can
//! fail into the documented error. The [`Catalogue`] knows which managed runtimes this machine can run, and how.
//!
//! It must not know how a sandbox is made, where logs are kept, or which instance an event should go to.

mod ahead;
mod api;
mod beginning;
mod catalogue;
mod debugging;
mod environment;
mod error_document;
mod extensions;
mod images;
mod instance;
mod layout;
mod log;
mod log_filter;
pub mod ports;
mod report;
mod running;
mod snapstart;
mod telemetry;
mod wrapper;

pub use catalogue::{
    Bootstraps, Catalogue, DotNet, Family, Found, LanguageVersion, LaunchPlan, Launcher, LiveCatalogue,
    Provision, RootError, RootOrigin, RuntimeRoot, Sdk, Selector, Substitution, Support, Unavailable,
    UnknownRuntime, java,
};
pub use debugging::Debuggers;
pub use instance::{Delivery, InitFailed, Instance, Instances, InstancesOptions, StartError};
