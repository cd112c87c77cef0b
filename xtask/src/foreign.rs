//! Libraries of others that test functions use, as people have them in packages and layers.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::error::Error;
use crate::process;
use crate::python::Environment;
use crate::workspace::Workspace;

/// Folders of installed libraries.
#[derive(Debug)]
pub(crate) struct Libraries {
    /// Of Python, for the interpreter of the tests: what stands below `python` in a layer.
    pub(crate) python: PathBuf,
    /// Of Node.js: a `node_modules`.
    pub(crate) node: PathBuf,
    /// AWS SDKs that functions do not package, in folders `python` and `node`.
    pub(crate) sdks: PathBuf,
}

/// Installs what `tests/foreign` pins, unless it is there already.
pub(crate) fn ensure(workspace: &Workspace, environment: &Environment) -> Result<Libraries, Error> {
    let from = workspace.root().join("tests/foreign");
    let to = workspace.test_env().join("foreign");
    let (python, node, sdks) = (to.join("python"), to.join("node"), to.join("sdks"));
    of_python(&from.join("python"), &python, environment)?;
    of_python(&from.join("sdk-python"), &sdks.join("python"), environment)?;
    of_node(&from.join("node"), &node)?;
    of_node(&from.join("sdk-node"), &sdks.join("node"))?;
    Ok(Libraries { python, node: node.join("node_modules"), sdks })
}

fn of_python(from: &Path, to: &Path, environment: &Environment) -> Result<(), Error> {
    let pins = from.join("requirements.txt");
    installed(to, &[&pins, environment.stamp()], || {
        let mut pip = environment.python();
        pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]);
        pip.args(["--only-binary", ":all:", "--requirement"]).arg(&pins).arg("--target").arg(to);
        process::must(&mut pip)
    })
}

fn of_node(from: &Path, to: &Path) -> Result<(), Error> {
    let files = ["package.json", "package-lock.json"].map(|file| from.join(file));
    installed(to, &[&files[0], &files[1]], || {
        for file in &files {
            let copy = to.join(file.file_name().unwrap_or_default());
            fs::copy(file, copy).map_err(|e| Error::file(file, e))?;
        }
        let mut npm = Command::new("npm");
        npm.current_dir(to).args(["ci", "--no-audit", "--no-fund", "--ignore-scripts", "--omit=dev"]);
        process::must(&mut npm)
    })
}

/// Fills an empty folder, unless it was filled from the same files before.
pub(crate) fn installed(
    folder: &Path,
    from: &[&Path],
    install: impl FnOnce() -> Result<(), Error>,
) -> Result<(), Error> {
    let mut wanted = Vec::new();
    for file in from {
        wanted.extend(fs::read(file).map_err(|e| Error::file(file, e))?);
    }
    let stamp = folder.with_extension("stamp");
    if fs::read(&stamp).is_ok_and(|found| found == wanted) && folder.is_dir() {
        return Ok(());
    }
    println!("installing libraries for test functions in {}", folder.display());
    for stale in [fs::remove_file(&stamp), fs::remove_dir_all(folder)] {
        match stale {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(Error::file(folder, error));
            }
            _ => {}
        }
    }
    fs::create_dir_all(folder).map_err(|e| Error::file(folder, e))?;
    install()?;
    fs::write(&stamp, wanted).map_err(|e| Error::file(&stamp, e))
}
