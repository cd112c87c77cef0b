//! Packages on their way in: written to disk while they arrive, so that their size costs no memory.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::PathBuf;

use bytes::Bytes;
use lambd_types::{Sha256Digest, Sha256Hasher};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::{Dirs, Incoming, PackageError};

/// Parts that may wait for the disk.
const WAITING: usize = 4;

/// A package of which more is to come. Dropping it removes what there is.
#[derive(Debug)]
pub struct Arriving {
    parts: mpsc::Sender<Bytes>,
    /// A thread for blocking work, which digests and writes.
    written: JoinHandle<Result<Arrived, PackageError>>,
}

/// A package that is here and has not been looked at. Dropping it removes it.
#[derive(Debug)]
pub struct Arrived {
    pub(super) incoming: Incoming,
    pub(super) file: File,
    pub(super) digest: Sha256Digest,
    pub(super) size: u64,
}

impl Arrived {
    /// Bytes of the zip.
    pub fn size(&self) -> u64 {
        self.size
    }
}

impl Arriving {
    pub(super) fn new(dirs: &Dirs) -> Self {
        let incoming = Incoming::new(&dirs.incoming);
        let (parts, arriving) = mpsc::channel(WAITING);
        Self { parts, written: tokio::task::spawn_blocking(move || write(incoming, arriving)) }
    }

    /// Adds a part. Should the disk fail, [`Self::finish`] tells.
    pub async fn push(&self, part: Bytes) {
        let _ = self.parts.send(part).await;
    }

    /// The whole package.
    ///
    /// # Errors
    /// The disk failed, or is full.
    pub async fn finish(self) -> Result<Arrived, PackageError> {
        drop(self.parts);
        match self.written.await {
            Ok(arrived) => arrived,
            Err(panic) => std::panic::resume_unwind(panic.into_panic()),
        }
    }
}

fn write(incoming: Incoming, mut parts: mpsc::Receiver<Bytes>) -> Result<Arrived, PackageError> {
    let failed = |path: &PathBuf| {
        let path = path.clone();
        move |source: io::Error| PackageError::Io { path, source }
    };
    let open = || File::options().read(true).write(true).create_new(true).open(&incoming.0);
    let mut file = open().map_err(failed(&incoming.0))?;
    let (mut hasher, mut size) = (Sha256Hasher::default(), 0);
    while let Some(part) = parts.blocking_recv() {
        hasher.update(&part);
        file.write_all(&part).map_err(failed(&incoming.0))?;
        size += part.len() as u64;
    }
    Ok(Arrived { incoming, file, digest: hasher.finish(), size })
}
