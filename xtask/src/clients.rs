//! The official runtime interface clients, unmodified, which tests run inside lambd as custom runtimes.
//!
//! Both have native parts. Python's comes in wheels; Node.js's is compiled when it is installed (curl and
//! aws-lambda-cpp, about a minute on two cores), so it is kept in the build directory and made while cargo builds.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::JoinHandle;

use crate::error::Error;
use crate::foreign::installed;
use crate::process;
use crate::python::Environment;
use crate::workspace::Workspace;

/// The interpreter that functions with a runtime of their own find.
pub(crate) const PYTHON: &str = "/usr/bin/python3";

/// The clients, while they are being installed.
pub(crate) struct Clients {
    folder: PathBuf,
    node: JoinHandle<Result<(), Error>>,
}

impl Clients {
    /// Installs Python's, and begins with Node.js's, unless they are there.
    pub(crate) fn install(workspace: &Workspace, environment: &Environment) -> Result<Self, Error> {
        let folder = workspace.test_env().join("clients");
        let sources = workspace.root().join("tests/clients");
        let (python, pins) = (folder.join("python"), sources.join("python.txt"));
        installed(&python, &[&pins, environment.stamp()], || python_client(&python, &pins, environment))?;
        let node = folder.join("node");
        let node = std::thread::spawn(move || {
            let files = ["package.json", "package-lock.json"].map(|file| sources.join(file));
            installed(&node, &[&files[0], &files[1]], || node_client(&node, &files))
        });
        Ok(Self { folder, node })
    }

    /// Waits until all are there: in the folders `python` and `node` of this one.
    pub(crate) fn ready(self) -> Result<PathBuf, Error> {
        match self.node.join() {
            Ok(done) => done.map(|()| self.folder),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }
}

fn python_client(folder: &Path, pins: &Path, environment: &Environment) -> Result<(), Error> {
    const VERSION: &str = "import sys; print('%d.%d' % sys.version_info[:2])";
    let version = process::text(Command::new(PYTHON).args(["-c", VERSION]))?;
    let mut pip = environment.python();
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]);
    pip.args(["--only-binary", ":all:", "--python-version", version.trim(), "--target"]).arg(folder);
    process::must(pip.arg("--requirement").arg(pins))
}

fn node_client(folder: &Path, files: &[PathBuf]) -> Result<(), Error> {
    for file in files {
        let copy = folder.join(file.file_name().unwrap_or_default());
        fs::copy(file, copy).map_err(|e| Error::file(file, e))?;
    }
    let mut npm = Command::new("npm");
    npm.current_dir(folder).args(["ci", "--no-audit", "--no-fund", "--loglevel", "error"]);
    // The headers that came with this Node.js, where they did; node-gyp fetches them otherwise.
    let program = process::text(Command::new("node").args(["-p", "process.execPath"]))?;
    let prefix = Path::new(program.trim()).ancestors().nth(2);
    if let Some(prefix) = prefix.filter(|prefix| prefix.join("include/node/node.h").exists()) {
        npm.env("npm_config_nodedir", prefix);
    }
    process::must(&mut npm)
}
