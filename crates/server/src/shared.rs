//! The directory that functions read and write in.
//!
//! It is the data directory, unless functions run as users who cannot enter that one: then it is one beside it, in
//! a directory of the system. All that is in it can be made again, so what a daemon left that was killed is removed by
//! the next one on this machine, whatever data directory that has.

use std::fs::{File, Permissions};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use lambd_types::Sha256Digest;
use rustix::fs::{FlockOperation, Mode, OFlags, flock};

/// Directories of the system in which only root can make something, and which everybody may pass.
const PARENTS: [&str; 2] = ["/var/cache/lambd", "/run/lambd"];

/// Digits of a name, which is a digest of the data directory's path.
const DIGITS: usize = 16;

/// A directory beside the data directory.
#[derive(Debug)]
pub(crate) struct Shared {
    path: PathBuf,
    /// Held as long as the daemon lives, however it ends.
    _lock: File,
}

impl Shared {
    /// Makes the one that belongs to a data directory, and removes those that nobody holds any more.
    ///
    /// # Errors
    /// The directory that could not be made, and why.
    pub(crate) fn beside(data: &Path) -> Result<Self, (PathBuf, io::Error)> {
        let digest = Sha256Digest::of(data.as_os_str().as_bytes()).to_hex();
        let name = &digest[..DIGITS];
        let [first, second] = PARENTS.map(Path::new);
        let made = Self::make(first, name);
        let made = made.or_else(|error| Self::make(second, name).map_err(|_| (first.to_owned(), error)))?;
        if let Some(parent) = made.path.parent() {
            remove_abandoned(parent);
        }
        Ok(made)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    fn make(parent: &Path, name: &str) -> io::Result<Self> {
        let path = parent.join(name);
        loop {
            std::fs::create_dir_all(&path)?;
            let lock = open(&path)?;
            // Another daemon, with another data directory, may hold it for the moment in which it removes it.
            flock(&lock, FlockOperation::LockExclusive)?;
            if !is_still(&path, &lock) {
                continue;
            }
            for directory in [parent, &path] {
                // To be passed, and not to be listed.
                std::fs::set_permissions(directory, Permissions::from_mode(0o711))?;
            }
            return Ok(Self { path, _lock: lock });
        }
    }
}

/// Removes the directories whose daemons were killed.
fn remove_abandoned(parent: &Path) {
    for entry in std::fs::read_dir(parent).into_iter().flatten().flatten() {
        let name = entry.file_name();
        // What lambd has not made is not lambd's to remove.
        if name.len() != DIGITS || !name.as_bytes().iter().all(u8::is_ascii_hexdigit) {
            continue;
        }
        let path = entry.path();
        let Ok(lock) = open(&path) else { continue };
        if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err() || !is_still(&path, &lock) {
            continue;
        }
        match lambd_sandbox::remove_tree(&path) {
            Ok(()) => tracing::info!(directory = %path.display(), "removed what a killed daemon had left"),
            Err(error) => tracing::warn!(directory = %path.display(), %error, "cannot remove"),
        }
    }
}

fn open(directory: &Path) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(rustix::fs::open(directory, flags, Mode::empty())?.into())
}

/// Whether a path still leads to the directory that was opened.
fn is_still(path: &Path, opened: &File) -> bool {
    match (std::fs::symlink_metadata(path), opened.metadata()) {
        (Ok(now), Ok(then)) => (now.dev(), now.ino()) == (then.dev(), then.ino()),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_nobody_holds_is_removed() {
        let top = tempfile::tempdir().unwrap();
        let parent = top.path().join("lambd");
        let (living, dead) = ("0123456789abcdef", "fedcba9876543210");
        let held = Shared::make(&parent, living).unwrap();
        std::fs::write(held.path().join("code"), "").unwrap();
        let killed = Shared::make(&parent, dead).unwrap();
        std::fs::create_dir(killed.path().join("tmp")).unwrap();
        drop(killed);
        std::fs::create_dir(parent.join("somebody-elses")).unwrap();
        std::os::unix::fs::symlink("/etc", parent.join("aaaaaaaaaaaaaaaa")).unwrap();

        remove_abandoned(&parent);

        assert!(held.path().join("code").exists());
        assert!(!parent.join(dead).exists());
        assert!(parent.join("somebody-elses").exists());
        assert!(parent.join("aaaaaaaaaaaaaaaa/passwd").exists());
        assert_eq!(std::fs::metadata(&parent).unwrap().permissions().mode() & 0o777, 0o711);
        // And can be made anew.
        assert_eq!(Shared::make(&parent, dead).unwrap().path(), parent.join(dead));
    }
}
