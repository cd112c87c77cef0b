//! Deployment packages: inspected, stored under their digest, unpacked once.
//!
//! `packages/<sha256>.zip` is what was uploaded, synced to disk before anything refers to it.
//! `unpacked/<boot id>/<sha256>/`, here or elsewhere, is a cache of its content, shared read-only by all instances. It is
//! not synced, which is why it belongs to one boot of the machine: after a power cut it may be
//! incomplete, and is made again from the zip.

mod arriving;
mod layers;
mod merge;
mod unpack;

use std::fs::{self, File};
use std::io::{self, BufReader, Read, Seek};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use lambd_types::{Sha256Digest, random};

pub use arriving::{Arrived, Arriving};
pub use unpack::{PackageError, UnpackLimits};

use crate::StoreError;

/// Bytes of a package that are read at once to be sent.
const READ_AHEAD: usize = 64 * 1024;

/// A package that is stored.
#[derive(Debug, Clone, Copy)]
pub struct StoredPackage {
    /// Its digest.
    pub digest: Sha256Digest,
    /// Bytes of the zip.
    pub size: u64,
    /// Bytes of all that it unpacks to.
    pub unpacked: u64,
}

/// The store of packages.
#[derive(Debug, Clone)]
pub struct Packages {
    dirs: Arc<Dirs>,
}

#[derive(Debug)]
struct Dirs {
    packages: PathBuf,
    unpacked: PathBuf,
    incoming: PathBuf,
    /// As `incoming`, in the file system of `unpacked`.
    unpacking: PathBuf,
}

impl Packages {
    /// Opens the store in `root`, with unpacked code in `shared`.
    pub(crate) fn open(root: &Path, shared: &Path) -> Result<Self, StoreError> {
        let boot_id = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        let all_unpacked = shared.join("unpacked");
        let dirs = Dirs {
            packages: root.join("packages"),
            unpacked: all_unpacked.join(boot_id.trim()),
            incoming: root.join("incoming"),
            unpacking: shared.join("incoming"),
        };
        let io = |path: &Path| {
            let path = path.to_owned();
            move |source| StoreError::Io { path, source }
        };
        // What a killed daemon left half-written, and what an earlier boot unpacked.
        tidy(&dirs.incoming);
        tidy(&dirs.unpacking);
        for dir in [&dirs.packages, &dirs.unpacked, &dirs.incoming, &dirs.unpacking] {
            fs::create_dir_all(dir).map_err(io(dir))?;
        }
        // A function that runs as a user of its own finds its code, and not that of others.
        for dir in [&all_unpacked, &dirs.unpacked, &dirs.unpacking] {
            rustix::fs::chmod(dir, rustix::fs::Mode::from_raw_mode(0o711)).map_err(|e| io(dir)(e.into()))?;
        }
        for entry in fs::read_dir(&all_unpacked).map_err(io(&all_unpacked))?.flatten() {
            if entry.path() != dirs.unpacked {
                tidy(&entry.path());
            }
        }
        Ok(Self { dirs: Arc::new(dirs) })
    }

    /// Begins to take in a package.
    pub fn receive(&self) -> Arriving {
        Arriving::new(&self.dirs)
    }

    /// Inspects and stores a package; it is on disk when this resolves, and not unpacked yet. When it fails, nothing
    /// of it remains.
    pub async fn add(&self, package: Arrived, limits: UnpackLimits) -> Result<StoredPackage, PackageError> {
        let dirs = self.dirs.clone();
        blocking(move || {
            let unpacked = unpack::inspect(&package.file, limits)?;
            dirs.add(&package, unpacked)
        })
        .await
    }

    /// The same for a package that must be known to be whole when this resolves: it is unpacked as well.
    pub async fn add_unpacked(
        &self,
        package: Arrived,
        limits: UnpackLimits,
    ) -> Result<StoredPackage, PackageError> {
        let dirs = self.dirs.clone();
        blocking(move || {
            let unpacked = unpack::inspect(&package.file, limits)?;
            if !dirs.directory(package.digest).is_dir() {
                dirs.check_room(unpacked)?;
                dirs.unpack(buffered(&package.file), package.digest, limits)?;
            }
            dirs.add(&package, unpacked)
        })
        .await
    }

    /// Inspects a package and tells what it unpacks to, in bytes.
    pub async fn inspect(
        &self,
        package: Arrived,
        limits: UnpackLimits,
    ) -> Result<(Arrived, u64), PackageError> {
        blocking(move || {
            let unpacked = unpack::inspect(&package.file, limits)?;
            Ok((package, unpacked))
        })
        .await
    }

    /// What a stored package unpacks to, in bytes.
    pub async fn unpacked_size(&self, digest: Sha256Digest) -> Result<u64, PackageError> {
        let dirs = self.dirs.clone();
        blocking(move || {
            let path = dirs.zip(digest);
            let zip = File::open(&path).map_err(|source| PackageError::Io { path, source })?;
            unpack::inspect(&zip, UnpackLimits::NONE)
        })
        .await
    }

    /// Unpacks a stored package, unless that was done before. When it fails, nothing unpacked remains.
    pub async fn prepare(&self, digest: Sha256Digest, limits: UnpackLimits) -> Result<(), PackageError> {
        let dirs = self.dirs.clone();
        blocking(move || match dirs.directory(digest).is_dir() {
            true => Ok(()),
            false => dirs.unpack_stored(digest, limits),
        })
        .await
    }

    /// Checks a package as [`Self::add`] and [`Self::prepare`] would, and keeps nothing.
    pub async fn check(&self, package: Arrived, limits: UnpackLimits) -> Result<StoredPackage, PackageError> {
        let dirs = self.dirs.clone();
        blocking(move || {
            let incoming = Incoming::new(&dirs.unpacking);
            let unpacked = unpack::inspect(&package.file, limits)?;
            unpack::unpack(buffered(&package.file), &incoming.0, limits)?;
            Ok(StoredPackage { digest: package.digest, size: package.size, unpacked })
        })
        .await
    }

    /// The unpacked content of a stored package, made again if this boot has not unpacked it yet.
    pub async fn directory(&self, digest: Sha256Digest) -> Result<PathBuf, PackageError> {
        let directory = self.dirs.directory(digest);
        if directory.is_dir() {
            return Ok(directory);
        }
        let dirs = self.dirs.clone();
        blocking(move || {
            // It was within the limits when it was accepted; they may have been lowered since.
            dirs.unpack_stored(digest, UnpackLimits::NONE)?;
            Ok(dirs.directory(digest))
        })
        .await
    }

    /// The zip as it was uploaded, and its size in bytes; `None` when there is no such package. What was opened stays
    /// whole, also if the package is deleted while it is read.
    pub async fn open_zip(&self, digest: Sha256Digest) -> io::Result<Option<(tokio::fs::File, u64)>> {
        match tokio::fs::File::open(self.dirs.zip(digest)).await {
            Ok(mut file) => {
                // It holds a part in memory, by itself up to 2 MB.
                file.set_max_buf_size(READ_AHEAD);
                let size = file.metadata().await?.len();
                Ok(Some((file, size)))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Deletes the packages that neither `in_use` nor a list of layers names, and what was merged for other lists;
    /// returns how many packages went. Only safe while nothing is being added and no instance runs: at start.
    pub(crate) async fn retain(
        &self,
        mut in_use: Vec<Sha256Digest>,
        layers: Vec<Vec<Sha256Digest>>,
    ) -> io::Result<usize> {
        in_use.extend(layers.iter().flatten());
        let dirs = self.dirs.clone();
        blocking(move || {
            let keep: std::collections::HashSet<String> =
                in_use.into_iter().map(Sha256Digest::to_hex).collect();
            let mut removed = 0;
            for entry in fs::read_dir(&dirs.packages)?.flatten() {
                let path = entry.path();
                let digest = path.file_stem().and_then(|s| s.to_str()).unwrap_or_default();
                if !keep.contains(digest) {
                    fs::remove_file(&path)?;
                    removed += 1;
                }
            }
            dirs.retain_unpacked(&keep, &layers)?;
            Ok(removed)
        })
        .await
    }
}

impl Dirs {
    fn zip(&self, digest: Sha256Digest) -> PathBuf {
        self.packages.join(format!("{}.zip", digest.to_hex()))
    }

    fn directory(&self, digest: Sha256Digest) -> PathBuf {
        self.unpacked.join(digest.to_hex())
    }

    /// Stores a package that was inspected.
    fn add(&self, package: &Arrived, unpacked: u64) -> Result<StoredPackage, PackageError> {
        let target = self.zip(package.digest);
        if !target.exists() {
            self.check_room(unpacked)?;
            self.keep(package, &target).map_err(|source| PackageError::Io { path: target, source })?;
        }
        Ok(StoredPackage { digest: package.digest, size: package.size, unpacked })
    }

    fn unpack_stored(&self, digest: Sha256Digest, limits: UnpackLimits) -> Result<(), PackageError> {
        let path = self.zip(digest);
        let zip = File::open(&path).map_err(|source| PackageError::Io { path, source })?;
        self.unpack(buffered(&zip), digest, limits)
    }

    fn unpack(
        &self,
        zip: impl Read + Seek,
        digest: Sha256Digest,
        limits: UnpackLimits,
    ) -> Result<(), PackageError> {
        let incoming = Incoming::new(&self.unpacking);
        unpack::unpack(zip, &incoming.0, limits)?;
        let target = self.directory(digest);
        match fs::rename(&incoming.0, &target) {
            Ok(()) => Ok(()),
            // Another task unpacked the same package in the meantime.
            Err(_) if target.is_dir() => Ok(()),
            Err(source) => Err(PackageError::Io { path: target, source }),
        }
    }

    /// Refuses at once what there would be no room for when it is unpacked behind the answer.
    fn check_room(&self, bytes: u64) -> Result<(), PackageError> {
        let path = &self.unpacking;
        let stat = rustix::fs::statvfs(path)
            .map_err(|error| PackageError::Io { path: path.clone(), source: error.into() })?;
        if stat.f_bavail.saturating_mul(stat.f_frsize) < bytes {
            return Err(PackageError::Io { path: path.clone(), source: io::ErrorKind::StorageFull.into() });
        }
        Ok(())
    }

    fn keep(&self, package: &Arrived, target: &Path) -> io::Result<()> {
        package.file.sync_all()?;
        fs::rename(&package.incoming.0, target)?;
        File::open(&self.packages)?.sync_all()
    }
}

fn buffered(zip: &File) -> impl Read + Seek {
    BufReader::with_capacity(64 * 1024, zip)
}

/// A name in an incoming directory; whatever still has it at the end is removed.
#[derive(Debug)]
struct Incoming(PathBuf);

impl Incoming {
    fn new(dir: &Path) -> Self {
        Self(dir.join(random::uuid()))
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        let _ = remove_tree(&self.0);
    }
}

/// Removes what an earlier process left. What cannot be removed only takes space: it stops no start.
fn tidy(path: &Path) {
    if let Err(error) = remove_tree(path) {
        tracing::warn!(%error, path = %path.display(), "cannot remove leftovers; remove them by hand");
    }
}

/// Removes a file or directory with all its content; absence is fine.
fn remove_tree(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
        Ok(meta) if meta.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
    }
}

/// On a thread that may wait for the disk.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(value) => value,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // The process ends, as it does when its start is refused: there is nothing to go on with.
            Err(_cancelled) => std::future::pending().await,
        },
    }
}

#[cfg(test)]
#[path = "packages_tests.rs"]
mod tests;
