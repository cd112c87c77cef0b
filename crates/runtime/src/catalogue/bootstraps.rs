//! The bootstraps of the managed runtimes, carried inside the binary.

use std::io;
use std::path::{Path, PathBuf};

use super::Family;

macro_rules! bootstrap {
    ($family:expr, $directory:literal, $file:literal) => {
        ($family, $file, include_str!(concat!("../../../../runtimes/", $directory, "/", $file)))
    };
}

const FILES: &[(Family, &str, &str)] = &[
    bootstrap!(Family::Python, "python", "bootstrap.py"),
    bootstrap!(Family::Python, "python", "lambd_runtime.py"),
    bootstrap!(Family::NodeJs, "nodejs", "bootstrap.cjs"),
];

/// Where the bootstraps are on disk; each language has a directory that becomes `/var/runtime`.
#[derive(Debug, Clone)]
pub struct Bootstraps {
    root: PathBuf,
}

impl Bootstraps {
    /// Writes the bootstraps of this lambd below `root`, replacing those of another version.
    ///
    /// # Errors
    /// When the directory cannot be written.
    pub fn install(root: &Path) -> io::Result<Self> {
        let bootstraps = Self { root: root.to_owned() };
        for (family, file, content) in FILES {
            let dir = bootstraps.directory(*family);
            std::fs::create_dir_all(&dir)?;
            let path = dir.join(file);
            // Running instances may have the file mapped: replace it, never write into it.
            if std::fs::read_to_string(&path).ok().as_deref() != Some(*content) {
                let incoming = dir.join(".incoming");
                std::fs::write(&incoming, content)?;
                std::fs::rename(&incoming, &path)?;
            }
        }
        Ok(bootstraps)
    }

    /// Bootstraps that are already at `root`.
    pub fn at(root: PathBuf) -> Self {
        Self { root }
    }

    pub(super) fn directory(&self, family: Family) -> PathBuf {
        self.root.join(match family {
            Family::Python => "python",
            Family::NodeJs => "nodejs",
        })
    }
}
