//! The bootstraps of the managed runtimes, carried inside the binary.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use super::{Family, Found};

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

    /// Compiles the Python bootstrap for one interpreter, because inside a sandbox it lies on a read-only
    /// file system and would be compiled again at every start. Without it starts are some milliseconds
    /// slower, so a failure is only told to those who debug.
    pub(super) async fn compile(&self, python: &Found) {
        let source = self.directory(Family::Python).join("lambd_runtime.py");
        let tag = format!("cpython-{}{}", python.version.0, python.version.1);
        let compiled = source.with_file_name("__pycache__").join(format!("lambd_runtime.{tag}.pyc"));
        let modified = |path: &Path| std::fs::metadata(path).and_then(|meta| meta.modified()).ok();
        if modified(&compiled) >= modified(&source) {
            return;
        }
        let output = tokio::process::Command::new(&python.program)
            .args(["-I", "-S", "-m", "py_compile"])
            .arg(&source)
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output()
            .await;
        match output {
            Ok(output) if output.status.success() => {}
            failed => {
                tracing::debug!(?failed, python = %python.program.display(), "cannot compile the bootstrap");
            }
        }
    }

    pub(super) fn directory(&self, family: Family) -> PathBuf {
        self.root.join(match family {
            Family::Python => "python",
            Family::NodeJs => "nodejs",
        })
    }
}
