//! Why there is no volume.

use std::io;
use std::path::PathBuf;

use lambd_jail::StepError;

/// Why a volume could not be made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ScratchError {
    /// The kernel refused something about devices or mounts.
    #[error(transparent)]
    Kernel(#[from] StepError),
    /// Something about files failed.
    #[error("{step}: {source}")]
    Io { step: &'static str, source: io::Error },
    /// mke2fs did not do what was asked of it.
    #[error("mke2fs failed ({status}): {message}")]
    Mke2fs { status: std::process::ExitStatus, message: String },
    /// No size of the image gave the wanted room.
    #[error("mke2fs makes no file system with room for {bytes} bytes")]
    Size { bytes: u64 },
    /// What is written there takes memory.
    #[error("{} is in memory", directory.display())]
    NoDisk { directory: PathBuf },
    /// The disk has too little room left.
    #[error("{} has {free} bytes left, and {needed} are needed", directory.display())]
    DiskFull { directory: PathBuf, free: u64, needed: u64 },
}

impl ScratchError {
    pub(crate) fn io(step: &'static str, source: io::Error) -> Self {
        Self::Io { step, source }
    }
}
