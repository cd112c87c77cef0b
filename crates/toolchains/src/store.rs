//! The directory of toolchains: listing, removing, and adding whole or not at all.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock, syncfs};

use crate::manifest::{self, Manifest};
use crate::{Place, ToolchainError};

/// The directory that toolchains are in. It need not be there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Toolchains {
    directory: PathBuf,
}

/// A toolchain that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Installed {
    /// What it says about itself.
    pub manifest: Manifest,
    /// Where it is.
    pub directory: PathBuf,
}

impl Installed {
    /// The name of its directory.
    pub fn name(&self) -> String {
        self.directory.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    /// Its program, if it has one.
    pub fn program(&self) -> Option<PathBuf> {
        match &self.manifest.place {
            Place::Prefix { program } => Some(self.directory.join(program)),
            Place::Root { .. } | Place::Jars {} | Place::Sdk { .. } => None,
        }
    }

    /// The root file system that it is, if it is one.
    pub fn root(&self) -> Option<PathBuf> {
        match &self.manifest.place {
            Place::Root { root } => Some(self.directory.join(root)),
            Place::Prefix { .. } | Place::Jars {} | Place::Sdk { .. } => None,
        }
    }
}

impl Toolchains {
    /// Those in a directory.
    pub fn at(directory: &Path) -> Self {
        Self { directory: directory.to_owned() }
    }

    /// The directory.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// All of them, by name. A directory that says nothing about itself is none.
    pub fn list(&self) -> Vec<Installed> {
        let directory = self.directory.canonicalize().unwrap_or_else(|_| self.directory.clone());
        let entries = fs::read_dir(&directory).into_iter().flatten().flatten();
        let mut all: Vec<Installed> = entries
            .filter(|entry| !entry.file_name().as_encoded_bytes().starts_with(b"."))
            .filter_map(|entry| {
                let directory = entry.path();
                Some(Installed { manifest: Manifest::read(&directory)?, directory })
            })
            .collect();
        all.sort_by(|a, b| a.directory.cmp(&b.directory));
        all
    }

    /// Removes the toolchains of a runtime, or the one of this name, and tells their names. Instances that run on one
    /// lose it.
    ///
    /// # Errors
    /// There is none, or it cannot be removed.
    pub fn remove(&self, id: &str) -> Result<Vec<String>, ToolchainError> {
        let all = self.list();
        let (chosen, others): (Vec<Installed>, Vec<Installed>) =
            all.into_iter().partition(|one| one.name() == id || one.manifest.runtime == id);
        if chosen.is_empty() {
            let installed = others.iter().map(Installed::name).collect();
            return Err(ToolchainError::NotInstalled { id: id.to_owned(), installed });
        }
        let adding = self.lock(|| {})?;
        for one in &chosen {
            // Under the other name first: half of one must not be found.
            let gone = adding.path.join(one.name());
            fs::rename(&one.directory, &gone).map_err(|source| store_error(&one.directory, source))?;
        }
        adding.clear()?;
        Ok(chosen.iter().map(Installed::name).collect())
    }

    /// Waits until nobody else adds or removes, calling `wait` first if it takes time, and removes what one who was
    /// killed left.
    pub(crate) fn lock(&self, wait: impl FnOnce()) -> Result<Adding, ToolchainError> {
        let failed = |source| store_error(&self.directory, source);
        DirBuilder::new().recursive(true).mode(0o755).create(&self.directory).map_err(failed)?;
        let directory = self.directory.canonicalize().map_err(failed)?;
        let path = directory.join("lock");
        let failed = |source| store_error(&path, source);
        let lock = OpenOptions::new().create(true).truncate(false).write(true).open(&path).map_err(failed)?;
        if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err() {
            wait();
            flock(&lock, FlockOperation::LockExclusive).map_err(|error| failed(error.into()))?;
        }
        let adding = Adding { path: directory.join(".incoming"), directory, _lock: lock };
        adding.clear()?;
        DirBuilder::new().mode(0o755).create(&adding.path).map_err(|e| store_error(&adding.path, e))?;
        Ok(adding)
    }
}

/// What is being added. What is not kept is removed.
#[derive(Debug)]
pub(crate) struct Adding {
    /// A directory for it, not yet seen by anybody.
    pub(crate) path: PathBuf,
    /// The directory of all toolchains.
    pub(crate) directory: PathBuf,
    _lock: File,
}

impl Adding {
    /// Gives a complete toolchain, which is below [`Self::path`], its name.
    pub(crate) fn keep(
        &self,
        prefix: &Path,
        name: &str,
        manifest: &Manifest,
    ) -> Result<Installed, ToolchainError> {
        let file = prefix.join(manifest::FILE);
        let text = serde_json::to_string_pretty(manifest).unwrap_or_default();
        let written = File::create(&file).and_then(|mut file| writeln!(file, "{text}"));
        written.map_err(|source| store_error(&file, source))?;
        let directory = self.directory.join(name);
        let lasting = || -> io::Result<()> {
            syncfs(File::open(prefix)?)?;
            fs::rename(prefix, &directory)?;
            File::open(&self.directory)?.sync_all()
        };
        lasting().map_err(|source| store_error(&directory, source))?;
        Ok(Installed { manifest: manifest.clone(), directory })
    }

    /// Removes what is there.
    fn clear(&self) -> Result<(), ToolchainError> {
        match fs::remove_dir_all(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            removed => removed.map_err(|source| store_error(&self.path, source)),
        }
    }
}

impl Drop for Adding {
    fn drop(&mut self) {
        if let Err(error) = self.clear() {
            tracing::debug!(%error, "it will be removed next time");
        }
    }
}

pub(crate) fn store_error(path: &Path, source: io::Error) -> ToolchainError {
    ToolchainError::Store { path: path.to_owned(), source }
}
