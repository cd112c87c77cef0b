//! The official runtime interface clients, unmodified, which tests run inside lambd as custom runtimes; the Lambda
//! Web Adapter, an extension that is one too; and Delve, which debugs functions in Go.
//!
//! Both clients have native parts. Python's comes in wheels; Node.js's is compiled when it is installed (curl and
//! aws-lambda-cpp, about a minute on two cores), so it is kept in the build directory and made while cargo builds;
//! so is the adapter. Its crate needs other versions of its dependencies than the functions of the tests, so it is built apart.

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

/// The version of the crate `lambda_web_adapter`.
const ADAPTER: &str = "1.0.0-rc1";
/// That of Delve.
const DELVE: &str = "v1.27.2";

/// The clients, the adapter and Delve, while they are being installed.
pub(crate) struct Clients {
    folder: PathBuf,
    others: Vec<JoinHandle<Result<(), Error>>>,
}

impl Clients {
    /// Installs Python's, and begins with Node.js's, unless they are there.
    pub(crate) fn install(workspace: &Workspace, environment: &Environment) -> Result<Self, Error> {
        let folder = workspace.test_env().join("clients");
        let sources = workspace.root().join("tests/clients");
        let (python, pins) = (folder.join("python"), sources.join("python.txt"));
        installed(&python, &[&pins, environment.stamp()], || python_client(&python, &pins, environment))?;
        let node = folder.join("node");
        let files = ["package.json", "package-lock.json"].map(|file| sources.join(file));
        let node = std::thread::spawn(move || {
            installed(&node, &[&files[0], &files[1]], || node_client(&node, &files))
        });
        let adapter = folder.join("adapter");
        let adapter = std::thread::spawn(move || web_adapter(&adapter));
        let delve = folder.join("delve");
        let delve = std::thread::spawn(move || delve_for_go(&delve));
        Ok(Self { folder, others: vec![node, adapter, delve] })
    }

    /// Waits until all are there: in the folders `python`, `node`, `adapter` and `delve` of this one.
    pub(crate) fn ready(self) -> Result<PathBuf, Error> {
        for other in self.others {
            other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        }
        Ok(self.folder)
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

/// Builds the adapter as its users do who take it from crates.io, with the dependencies that its makers locked.
fn web_adapter(folder: &Path) -> Result<(), Error> {
    let program = folder.join("bin/lambda-adapter");
    let listed = fs::read_to_string(folder.join(".crates.toml")).unwrap_or_default();
    if listed.contains(&format!("lambda_web_adapter {ADAPTER} ")) && program.is_file() {
        return Ok(());
    }
    println!("building the Lambda Web Adapter in {}", folder.display());
    let build = folder.join("build");
    let mut cargo = process::cargo();
    cargo.args([
        "install",
        "lambda_web_adapter",
        "--version",
        ADAPTER,
        "--locked",
        "--debug",
        "--quiet",
        "--force",
    ]);
    cargo.arg("--root").arg(folder).arg("--target-dir").arg(&build);
    process::must(cargo.env("CARGO_PROFILE_DEV_DEBUG", "0"))?;
    fs::remove_dir_all(&build).map_err(|e| Error::file(&build, e))
}

/// Installs it as its users do.
fn delve_for_go(folder: &Path) -> Result<(), Error> {
    let stamp = folder.join("version");
    if fs::read_to_string(&stamp).is_ok_and(|version| version == DELVE) && folder.join("dlv").is_file() {
        return Ok(());
    }
    println!("building Delve in {}", folder.display());
    let module = format!("github.com/go-delve/delve/cmd/dlv@{DELVE}");
    process::must(Command::new("go").env("GOBIN", folder).args(["install", &module]))?;
    fs::write(&stamp, DELVE).map_err(|e| Error::file(&stamp, e))
}
