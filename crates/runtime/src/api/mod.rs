//! The Runtime API, version 2018-06-01 (RT-57..72), and the APIs of extensions beside it.

mod connection;
mod extensions;
mod mailbox;
mod server;
mod streaming;

pub(crate) use extensions::ExtensionsApi;
pub(crate) use mailbox::{Dispatch, Mailbox, Reply, ReportedError};
pub(crate) use server::serve;
