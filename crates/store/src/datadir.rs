//! The data directory: one daemon owns it at a time.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, Mode, flock};

/// What lambd and file systems make in it.
const OWN_ENTRIES: &[&str] =
    &["code", "images", "lock", "lost+found", "runtime", "scratch", "tmp", "toolchains"];
/// How names of databases, and of SQLite's files beside them, begin.
const DATABASES: &[&str] = &["lambd.db", "logs.db", "topics.db", "events.db", "queues.db"];

/// Rights of those who are not the owner.
const OTHERS: u32 = 0o077;

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
    /// Creates the directory if needed (mode 0700, for it holds code and secrets) and locks it. One that was
    /// made beforehand and is open to other users is closed to them, unless it holds other things than lambd's.
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
        close_to_others(&path).map_err(|source| DataDirError::NotWritable { path: path.clone(), source })?;
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

/// Takes the rights of other users away from a directory, if it is lambd's alone.
fn close_to_others(path: &Path) -> io::Result<()> {
    let status = std::fs::metadata(path)?;
    if status.mode() & OTHERS == 0 {
        return Ok(());
    }
    let is_own = |name: &str| {
        OWN_ENTRIES.contains(&name) || DATABASES.iter().any(|database| name.starts_with(database))
    };
    for entry in std::fs::read_dir(path)? {
        let name = entry?.file_name();
        if !name.to_str().is_some_and(is_own) {
            tracing::warn!(
                directory = %path.display(), other = %name.display(),
                "other users may enter the data directory; it is left as it is, because it holds other things"
            );
            return Ok(());
        }
    }
    rustix::fs::chmod(path, Mode::RWXU)?;
    tracing::warn!(directory = %path.display(), "other users could enter the data directory; closed it to them");
    Ok(())
}

/// Makes the file of a database if it is not there, for its owner alone; what SQLite puts beside it gets the same
/// rights.
pub(crate) fn prepare_database(path: &Path) -> io::Result<()> {
    let file = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(path)?;
    let status = file.metadata()?;
    if status.mode() & OTHERS != 0 {
        file.set_permissions(std::fs::Permissions::from_mode(status.mode() & 0o700))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        std::fs::metadata(path).unwrap().mode() & 0o7777
    }

    fn open_to_all(path: &Path) {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }

    #[tokio::test]
    async fn a_directory_that_was_made_beforehand_is_closed_to_others() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str| {
            std::fs::write(dir.path().join(name), "").unwrap();
            open_to_all(&dir.path().join(name));
        };
        // Also one that an earlier lambd has left open.
        for name in ["lambd.db", "logs.db-wal", "lock"] {
            write(name);
        }
        open_to_all(dir.path());
        let store = crate::Store::open(DataDir::open(dir.path()).unwrap()).await.unwrap();
        assert_eq!(mode(dir.path()), 0o700);
        for name in ["lambd.db", "logs.db"] {
            assert_eq!(mode(&dir.path().join(name)) & OTHERS, 0, "{name}");
        }
        store.close().await;
    }

    #[tokio::test]
    async fn a_directory_with_other_things_is_left_as_it_is_and_databases_are_closed() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("website.html"), "").unwrap();
        open_to_all(dir.path());
        let store = crate::Store::open(DataDir::open(dir.path()).unwrap()).await.unwrap();
        assert_eq!(mode(dir.path()), 0o755);
        let databases = std::fs::read_dir(dir.path()).unwrap().flatten();
        let databases: Vec<_> =
            databases.filter(|entry| entry.file_name().to_string_lossy().contains(".db")).collect();
        assert!(databases.len() >= 4, "with SQLite's files beside them: {databases:?}");
        for database in databases {
            assert_eq!(mode(&database.path()) & OTHERS, 0, "{database:?}");
        }
        store.close().await;
    }

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
