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
}

/// Installs what `tests/foreign` pins, unless it is there already.
pub(crate) fn ensure(workspace: &Workspace, environment: &Environment) -> Result<Libraries, Error> {
    let from = workspace.root().join("tests/foreign");
    let to = workspace.test_env().join("foreign");
    let python = to.join("python");
    let pins = from.join("python/requirements.txt");
    installed(&python, &[&pins, environment.stamp()], || {
        let mut pip = environment.python();
        pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]);
        pip.args(["--only-binary", ":all:", "--requirement"]).arg(&pins).arg("--target").arg(&python);
        process::must(&mut pip)
    })?;
    let node = to.join("node");
    let files = ["package.json", "package-lock.json"].map(|file| from.join("node").join(file));
    installed(&node, &[&files[0], &files[1]], || {
        for file in &files {
            let copy = node.join(file.file_name().unwrap_or_default());
            fs::copy(file, copy).map_err(|e| Error::file(file, e))?;
        }
        let mut npm = Command::new("npm");
        npm.current_dir(&node).args(["ci", "--no-audit", "--no-fund", "--ignore-scripts", "--omit=dev"]);
        process::must(&mut npm)
    })?;
    Ok(Libraries { python, node: node.join("node_modules") })
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
