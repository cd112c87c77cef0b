//! The official runtime interface clients, unmodified, which tests run inside lambd as custom runtimes.
//!
//! Both have native parts. Python's comes in wheels; Node.js's is compiled when it is installed (curl and
//! aws-lambda-cpp, about a minute on two cores), so it is kept in the build directory and made while cargo builds.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::JoinHandle;

use crate::error::Error;
use crate::process;
use crate::python::Environment;
use crate::workspace::Workspace;

/// The interpreter that functions of a runtime of their own find.
const PYTHON: &str = "/usr/bin/python3";

/// The clients, while they are being installed.
pub(crate) struct Clients {
    folder: PathBuf,
    node: JoinHandle<Result<(), Error>>,
}

impl Clients {
    /// Installs Python's, and begins with Node.js's, unless they are there.
    pub(crate) fn install(workspace: &Workspace, python: &Environment) -> Result<Self, Error> {
        let folder = workspace.test_env().join("foreign");
        let sources = workspace.root().join("tests/foreign");
        python_client(&folder.join("python"), &sources.join("python.txt"), python)?;
        let node = folder.join("node");
        let node = std::thread::spawn(move || node_client(&node, &sources));
        Ok(Self { folder, node })
    }

    /// Waits until all are there: in the folders `python` and `node` of this one.
    pub(crate) fn ready(self) -> Result<PathBuf, Error> {
        match self.node.join() {
            Ok(installed) => installed.map(|()| self.folder),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }
}

fn python_client(folder: &Path, pins: &Path, python: &Environment) -> Result<(), Error> {
    let printed = process::text(
        Command::new(PYTHON).args(["-c", "import sys; print('%d.%d' % sys.version_info[:2])"]),
    )?;
    let version = printed.trim();
    once(folder, &[pins], version, || {
        let mut pip = python.python();
        pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]);
        pip.args(["--only-binary", ":all:", "--python-version", version, "--target"]).arg(folder);
        process::must(pip.arg("--requirement").arg(pins))
    })
}

fn node_client(folder: &Path, sources: &Path) -> Result<(), Error> {
    let files = ["package.json", "package-lock.json"].map(|name| sources.join(name));
    let printed =
        process::text(Command::new("node").args(["-p", "process.version + ' ' + process.execPath"]))?;
    let (version, program) = printed.trim().split_once(' ').unwrap_or_default();
    once(folder, &[&files[0], &files[1]], version, || {
        for file in &files {
            let copy = folder.join(file.file_name().unwrap_or_default());
            fs::copy(file, copy).map_err(|e| Error::file(file, e))?;
        }
        let mut npm = Command::new("npm");
        npm.current_dir(folder).args(["ci", "--no-audit", "--no-fund", "--loglevel", "error"]);
        // The headers that came with this Node.js, where they did; node-gyp fetches them otherwise.
        let prefix = Path::new(program).ancestors().nth(2).filter(|p| p.join("include/node/node.h").exists());
        if let Some(prefix) = prefix {
            npm.env("npm_config_nodedir", prefix);
        }
        process::must(&mut npm)
    })
}

/// Fills a folder anew if its sources or the interpreter's version have changed since it was.
fn once(
    folder: &Path,
    sources: &[&Path],
    version: &str,
    fill: impl FnOnce() -> Result<(), Error>,
) -> Result<(), Error> {
    let stamp = folder.join(".installed-from");
    let mut wanted = version.to_owned();
    for source in sources {
        wanted.push_str(&fs::read_to_string(source).map_err(|e| Error::file(source, e))?);
    }
    if fs::read_to_string(&stamp).is_ok_and(|found| found == wanted) {
        return Ok(());
    }
    println!("installing into {}", folder.display());
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(Error::file(folder, error)),
        _ => fs::create_dir_all(folder).map_err(|e| Error::file(folder, e))?,
    }
    fill()?;
    fs::write(&stamp, wanted).map_err(|e| Error::file(&stamp, e))
}
