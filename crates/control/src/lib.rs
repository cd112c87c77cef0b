//! The rules of functions: one file per API action in `actions`.
//!
//! [`LambdaService`] is the Lambda endpoint: it finds the operation of a request, runs its action and
//! shapes the answer or the error. Actions read and write through `store`, and reach the engine through
//! [`ports`]. The crate must not know how a function runs, nor any SQL.

mod actions;
mod checks;
mod condition;
mod context;
mod download;
mod event_settings;
mod functions;
mod layer_policy;
mod logging;
mod mappings;
mod options;
mod paging;
mod policy;
pub mod ports;
mod preparing;
mod provisioning;
mod publication;
mod routing;
mod service;
mod settings;
mod snapshots;
mod streamed;
mod tags;
mod unsupported;
mod uploads;

pub use actions::capacity::ProvisionedCapacity;
pub use context::{Control, LookupError};
pub use download::DownloadService;
pub use event_settings::EventSettings;
pub use options::{ControlOptions, RuntimeDeprecation};
pub use service::LambdaService;
pub use snapshots::Found;
