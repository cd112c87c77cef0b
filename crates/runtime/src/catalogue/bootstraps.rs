//! The bootstraps of the managed runtimes, carried inside the binary.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use super::trial::{Outcome, Trial};
use super::{Family, Found, Selector};
use crate::layout;
use crate::ports::{Exit, Sandboxes};

/// Writes the compiled bootstrap to standard output, in the form in which Python keeps it beside the
/// source: magic number, flags (none before 3.7), time and size of the source, code (PEP 552).
const COMPILE: &str = "
import importlib.util, marshal, os, struct, sys
path = '/var/runtime/lambd_runtime.py'
source = os.stat(path)
with open(path, 'rb') as file:
    code = compile(file.read(), path, 'exec', dont_inherit=True)
flags = bytes(4) if sys.version_info >= (3, 7) else b''
about = struct.pack('<II', int(source.st_mtime) & 0xFFFFFFFF, source.st_size & 0xFFFFFFFF)
sys.stdout.buffer.write(importlib.util.MAGIC_NUMBER + flags + about + marshal.dumps(code))
";

/// Far more than the bootstrap's.
const COMPILED_MAX: u64 = 4 << 20;

macro_rules! bootstrap {
    ($family:expr, $directory:literal, $file:literal) => {
        ($family, $file, include_bytes!(concat!("../../../../runtimes/", $directory, "/", $file)))
    };
}

const FILES: &[(Family, &str, &[u8])] = &[
    bootstrap!(Family::Python, "python", "bootstrap.py"),
    bootstrap!(Family::Python, "python", "lambd_runtime.py"),
    bootstrap!(Family::Python, "python", "lambd_ahead.py"),
    bootstrap!(Family::Python, "python", "lambd_door.py"),
    bootstrap!(Family::Python, "python", "lambd_snapstart.py"),
    bootstrap!(Family::Python, "python", "snapshot_restore_py.py"),
    bootstrap!(Family::NodeJs, "nodejs", "bootstrap.cjs"),
    bootstrap!(Family::NodeJs, "nodejs", "connection.cjs"),
    bootstrap!(Family::NodeJs, "nodejs", "ahead.cjs"),
    bootstrap!(Family::NodeJs, "nodejs", "streaming.cjs"),
    bootstrap!(Family::NodeJs, "nodejs", "debug.cjs"),
    bootstrap!(Family::NodeJs, "nodejs", "imports.cjs"),
    bootstrap!(Family::Ruby, "ruby", "bootstrap.rb"),
    bootstrap!(Family::Ruby, "ruby", "ahead.rb"),
    bootstrap!(Family::Ruby, "ruby", "debug.rb"),
    bootstrap!(Family::Ruby, "ruby", "gems.rb"),
    bootstrap!(Family::Ruby, "ruby", "lib/logger.rb"),
    bootstrap!(Family::DotNet, "dotnet", "bootstrap.dll"),
    bootstrap!(Family::DotNet, "dotnet", "bootstrap.runtimeconfig.json"),
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
        for files in FILES.chunk_by(|(one, ..), (other, ..)| one == other) {
            let family = files[0].0;
            let dir = bootstraps.directory(family);
            std::fs::create_dir_all(&dir)?;
            if let Some(place) = super::sdk_place(family) {
                std::fs::create_dir_all(dir.join(place))?;
            }
            for (_, file, content) in files {
                let path = dir.join(file);
                if std::fs::read(&path).ok().as_deref() != Some(*content) {
                    write_new(&path, content)?;
                }
            }
        }
        Ok(bootstraps)
    }

    /// The bootstraps for the interpreters of one root file system. They are the same, but compiled by
    /// another interpreter; and what that wrote must not run on any other root file system.
    pub(super) fn of_root(&self, selector: &Selector) -> Self {
        Self { root: self.roots().join(selector.as_str()) }
    }

    /// Removes the bootstraps of root file systems that are not chosen any more.
    pub(super) fn retain_roots(&self, chosen: &[&Selector]) -> io::Result<()> {
        let entries = match std::fs::read_dir(self.roots()) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            entries => entries?,
        };
        for entry in entries {
            let entry = entry?;
            if !chosen.iter().any(|selector| entry.file_name() == selector.as_str()) {
                std::fs::remove_dir_all(entry.path())?;
            }
        }
        Ok(())
    }

    pub(super) fn path(&self) -> &Path {
        &self.root
    }

    fn roots(&self) -> PathBuf {
        self.root.join("roots")
    }

    /// Bootstraps that are already at `root`.
    pub fn at(root: PathBuf) -> Self {
        Self { root }
    }

    /// Compiles the Python bootstrap for one interpreter, because inside a sandbox it lies on a read-only
    /// file system and would be compiled again at every start. Without it starts are some milliseconds
    /// slower, so a failure is only told to those who debug.
    pub(super) async fn compile(&self, python: &Found) {
        let (source, compiled) = self.compiled(python);
        if is_newer(&compiled, &source) {
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

    /// The same for an interpreter of a root file system, which cannot write here.
    pub(super) async fn compile_inside(&self, python: &Found, root: &Path, sandboxes: &dyn Sandboxes) {
        let (source, compiled) = self.compiled(python);
        if is_newer(&compiled, &source) {
            return;
        }
        let trial = Trial {
            root: Some(root),
            program: &python.program,
            args: &|_| ["-I", "-S", "-c", COMPILE].map(str::to_owned).into(),
            binds: vec![layout::runtime(self.directory(Family::Python))],
            output_max: COMPILED_MAX,
            ..Trial::default()
        };
        let failed = match trial.run(sandboxes).await {
            Ok(Outcome { exit: Some(Exit::Exited(0)), output }) => write_new(&compiled, &output).err(),
            Ok(outcome) => Some(io::Error::other(String::from_utf8_lossy(&outcome.output).into_owned())),
            Err(error) => Some(io::Error::other(error)),
        };
        if let Some(error) = failed {
            tracing::debug!(%error, python = %python.program.display(), "cannot compile the bootstrap");
        }
    }

    /// The Python bootstrap, and where an interpreter looks for it compiled.
    fn compiled(&self, python: &Found) -> (PathBuf, PathBuf) {
        let source = self.directory(Family::Python).join("lambd_runtime.py");
        let tag = format!("cpython-{}{}", python.version.0, python.version.1);
        let compiled = source.with_file_name("__pycache__").join(format!("lambd_runtime.{tag}.pyc"));
        (source, compiled)
    }

    pub(super) fn directory(&self, family: Family) -> PathBuf {
        self.root.join(match family {
            Family::Python => "python",
            Family::NodeJs => "nodejs",
            Family::Ruby => "ruby",
            Family::DotNet => "dotnet",
            Family::Java => "java",
        })
    }
}

/// Replaces a file as a whole: running instances may have the old one mapped.
pub(super) fn write_new(path: &Path, content: &[u8]) -> io::Result<()> {
    let incoming = path.with_file_name(".incoming");
    if let Some(directory) = path.parent() {
        std::fs::create_dir_all(directory)?;
    }
    std::fs::write(&incoming, content)?;
    std::fs::rename(&incoming, path)
}

fn is_newer(compiled: &Path, source: &Path) -> bool {
    let modified = |path: &Path| std::fs::metadata(path).and_then(|meta| meta.modified()).ok();
    modified(compiled) >= modified(source)
}
