//! The Python environment of the tests: pinned AWS clients and pytest, apart from the machine's.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::error::Error;
use crate::process;
use crate::workspace::Workspace;

/// A virtual environment that holds what `tests/requirements.txt` pins.
#[derive(Debug)]
pub(crate) struct Environment {
    python: PathBuf,
    /// Says what it was made from.
    stamp: PathBuf,
}

impl Environment {
    /// The environment, made anew only if the requirements or the interpreter changed.
    pub(crate) fn ensure(workspace: &Workspace) -> Result<Self, Error> {
        let requirements = workspace.root().join("tests/requirements.txt");
        let folder = workspace.test_env().join("venv");
        let stamp = workspace.test_env().join("venv.stamp");
        let environment = Self { python: folder.join("bin/python"), stamp: stamp.clone() };
        let wanted = wanted(&requirements)?;
        if fs::read_to_string(&stamp).is_ok_and(|found| found == wanted) && environment.works() {
            return Ok(environment);
        }
        println!("making the Python environment of the tests in {}", folder.display());
        for stale in [fs::remove_file(&stamp), fs::remove_dir_all(&folder)] {
            match stale {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(Error::file(&folder, error));
                }
                _ => {}
            }
        }
        fs::create_dir_all(workspace.test_env()).map_err(|e| Error::file(&folder, e))?;
        process::must(Command::new("python3").args(["-m", "venv"]).arg(&folder))?;
        let mut pip = Command::new(&environment.python);
        pip.args([
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
            "--no-deps",
            "--requirement",
        ]);
        process::must(pip.arg(&requirements))?;
        fs::write(&stamp, wanted).map_err(|e| Error::file(&stamp, e))?;
        Ok(environment)
    }

    /// A command that runs this environment's interpreter.
    pub(crate) fn python(&self) -> Command {
        Command::new(&self.python)
    }

    /// A file that changes with what is in it.
    pub(crate) fn stamp(&self) -> &Path {
        &self.stamp
    }

    fn works(&self) -> bool {
        process::quietly(self.python().args(["-c", "import awscli, boto3, pytest"]))
    }
}

/// What the stamp of an up-to-date environment says.
fn wanted(requirements: &Path) -> Result<String, Error> {
    let pins = fs::read_to_string(requirements).map_err(|e| Error::file(requirements, e))?;
    let version =
        process::text(Command::new("python3").args(["-c", "import sys; print(sys.version, sys.prefix)"]))?;
    Ok(format!("{version}{pins}"))
}
