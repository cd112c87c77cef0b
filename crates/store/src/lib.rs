//! The only owner of the database and of stored packages.
//!
//! A data directory holds SQLite databases and the code packages. `lambd.db` keeps what must survive power loss (every
//! commit is synced), and so do `events.db` with asynchronous events, `queues.db` with messages and `topics.db` with topics and what is on its way from them; `logs.db` keeps
//! logs, which survive a killed daemon but may lose their last moments to a power cut, so that logging never waits for a
//! disk. They are files of their own because SQLite has one writer a file, and a flood must not delay a `CreateFunction`.
//!
//! Callers see tables as modules with typed rows; no SQL leaves this crate. It must not know rules of
//! functions (what may change, what is valid): it stores what it is given, atomically.

pub mod aliases;
pub mod attached;
pub mod code_signing;
mod datadir;
mod engine;
pub mod events;
mod fresh;
pub mod functions;
mod group_commit;
pub mod identity;
pub mod layers;
pub mod logs;
pub mod mappings;
pub mod packages;
pub mod queues;
pub mod scaling;
pub mod topics;

pub use datadir::{DataDir, DataDirError};
pub use engine::{Store, StoreError};
