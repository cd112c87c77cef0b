//! Why a sandbox could not be made.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

/// Why the spawner could not be started or a sandbox could not be made.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// The spawner process could not be started.
    #[error("cannot start the spawner: {step}")]
    StartSpawner {
        /// What was tried.
        step: &'static str,
        /// The kernel's reason.
        source: io::Error,
    },
    /// The spawner process has ended; no sandbox can be made any more.
    #[error("the spawner process has ended")]
    SpawnerGone,
    /// A field of the specification has an unusable value.
    #[error("unusable {field} of sandbox: {reason}")]
    InvalidSpec {
        /// The field of `SandboxSpec`.
        field: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// A cgroup could not be made or set up.
    #[error("cannot use cgroup {}", path.display())]
    Cgroup {
        /// The directory or file.
        path: PathBuf,
        /// The kernel's reason.
        source: io::Error,
    },
    /// Cgroups of the demanded version cannot be used on this machine.
    #[error("cgroup {version} was demanded but cannot be used: {reason}")]
    CgroupUnavailable {
        /// `v1` or `v2`.
        version: &'static str,
        /// What is missing.
        reason: String,
    },
    /// The directory for private directories cannot be used.
    #[error("cannot use the directory {} for temporary files", path.display())]
    TmpDirectory {
        /// The directory.
        path: PathBuf,
        /// The kernel's reason.
        source: io::Error,
    },
    /// A pipe or socket for the sandbox failed.
    #[error("{step} failed")]
    Io {
        /// What was tried.
        step: &'static str,
        /// The kernel's reason.
        source: io::Error,
    },
    /// The kernel refused a step of building the sandbox.
    #[error("cannot build the sandbox: {step}")]
    Setup {
        /// What was tried, for example `mount /proc`.
        step: String,
        /// The kernel's reason.
        source: io::Error,
    },
    /// The sandbox's network could not be connected to the daemon's.
    #[error("cannot connect the sandbox's network: {reason}")]
    Uplink {
        /// What failed, in words for an operator.
        reason: String,
    },
    /// The sandbox ended while it was being built, without a reason.
    #[error("the sandbox ended while it was being built")]
    Died,
    /// Building the sandbox took too long.
    #[error("the sandbox was not ready after {0:?}")]
    Timeout(Duration),
}
