//! The Runtime API, version 2018-06-01 (RT-57..72).

mod connection;
mod mailbox;
mod server;
mod streaming;

pub(crate) use mailbox::{Dispatch, Mailbox, Reply, ReportedError};
pub(crate) use server::serve;
