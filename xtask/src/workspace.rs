//! Where things are: the source tree and cargo's build directory.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::error::Error;
use crate::process;

/// The paths that every task starts from.
#[derive(Debug)]
pub(crate) struct Workspace {
    root: PathBuf,
    target: PathBuf,
}

impl Workspace {
    /// Asks cargo, so that `CARGO_TARGET_DIR` and cargo's configuration are honoured.
    pub(crate) fn find() -> Result<Self, Error> {
        let mut command = process::cargo();
        command.args(["metadata", "--no-deps", "--format-version", "1"]);
        let metadata = process::json(&mut command)?;
        let path = |key: &str| {
            metadata
                .get(key)
                .and_then(Value::as_str)
                .map(PathBuf::from)
                .ok_or_else(|| Error::Output(format!("cargo metadata has no {key}")))
        };
        Ok(Self { root: path("workspace_root")?, target: path("target_directory")? })
    }

    /// The top of the source tree.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Cargo's build directory.
    pub(crate) fn target(&self) -> &Path {
        &self.target
    }

    /// What the tests need besides cargo's own output; survives between runs.
    pub(crate) fn test_env(&self) -> PathBuf {
        self.target.join("test-env")
    }

    /// Where cargo puts the program `name` of a profile (`debug`, `release`).
    pub(crate) fn program(&self, profile: &str, name: &str) -> PathBuf {
        self.target.join(profile).join(name)
    }
}
