//! The data directory: one daemon owns it at a time.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, Mode, flock};

/// The directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DataDirError {
    /// It cannot be created or written.
    #[error(
        "the data directory {path} cannot be written: {source}; choose another with --data or change its permissions"
    )]
    NotWritable {
        /// The directory.
        path: PathBuf,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// Another daemon holds its lock.
    #[error("the data directory {path} is in use by another lambd{}; stop it or choose another with --data", owner(.pid))]
    Locked {
        /// The directory.
        path: PathBuf,
        /// Process id of the owner, when its lock file tells.
        pid: Option<u32>,
    },
}

fn owner(pid: &Option<u32>) -> String {
    pid.map(|pid| format!(" (process {pid})")).unwrap_or_default()
}

/// A data directory that this process has locked. The lock goes with the value, or with the process.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    shared: Option<PathBuf>,
    _lock: File,
}

impl DataDir {
    /// Creates the directory if needed (mode 0700, for it holds code and secrets) and locks it.
    pub fn open(path: &Path) -> Result<Self, DataDirError> {
        let not_writable = |source| DataDirError::NotWritable { path: path.to_owned(), source };
        if !path.exists() {
            std::fs::create_dir_all(path).map_err(not_writable)?;
            rustix::fs::chmod(path, Mode::RWXU).map_err(|e| not_writable(e.into()))?;
        }
        let path = path.canonicalize().map_err(not_writable)?;
        let lock_path = path.join("lock");
        let mut lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(&lock_path)
            .map_err(|source| DataDirError::NotWritable { path: path.clone(), source })?;
        if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err() {
            let mut text = String::new();
            let _ = lock.read_to_string(&mut text);
            return Err(DataDirError::Locked { path, pid: text.trim().parse().ok() });
        }
        let record = |lock: &mut File| -> io::Result<()> {
            lock.set_len(0)?;
            lock.rewind()?;
            write!(lock, "{}", std::process::id())
        };
        record(&mut lock).map_err(|source| DataDirError::NotWritable { path: path.clone(), source })?;
        Ok(Self { path, shared: None, _lock: lock })
    }

    /// The absolute path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Keeps what functions read in another directory: a cache that nobody misses when it is gone. For
    /// functions that run as users who cannot enter the data directory.
    #[must_use]
    pub fn sharing(self, directory: PathBuf) -> Self {
        Self { shared: Some(directory), ..self }
    }

    /// Where unpacked code is kept.
    pub(crate) fn shared_code(&self) -> PathBuf {
        self.shared.as_deref().unwrap_or(&self.path).join("code")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_daemon_is_told_who_owns_the_directory() {
        let dir = tempfile::tempdir().unwrap();
        let held = DataDir::open(dir.path()).unwrap();
        match DataDir::open(dir.path()) {
            Err(DataDirError::Locked { pid, .. }) => assert_eq!(pid, Some(std::process::id())),
            other => panic!("{other:?}"),
        }
        drop(held);
        DataDir::open(dir.path()).unwrap();
    }
}
