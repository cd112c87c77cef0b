//! Places that every sandbox mounts on. A root file system need not have them, but a sandbox is made with
//! fewer mounts from one that does.

use crate::{etc, mounts};

/// Directories, as absolute paths.
pub fn directories() -> impl Iterator<Item = String> {
    mounts::EMPTY_DIRECTORIES.iter().map(|path| (*path).to_owned())
}

/// Files, as absolute paths.
pub fn files() -> impl Iterator<Item = String> {
    etc::names().into_iter().map(|name| format!("/etc/{name}"))
}
