//! The parts of `cargo metadata` that the checks read.

use std::path::PathBuf;

use serde_json::Value;

use crate::error::Error;
use crate::process;
use crate::workspace::Workspace;

/// One package, ours or foreign.
#[derive(Debug, Clone, Default)]
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) licence: Option<String>,
    /// The folder of its `Cargo.toml`.
    pub(crate) folder: PathBuf,
    pub(crate) description: Option<String>,
    /// Root source files of its targets.
    pub(crate) roots: Vec<PathBuf>,
    /// Names of the packages that it depends on, of every kind.
    pub(crate) dependencies: Vec<String>,
    /// Whether it belongs to this workspace.
    pub(crate) ours: bool,
}

/// Every package of the build, ours first.
pub(crate) fn packages(workspace: &Workspace) -> Result<Vec<Package>, Error> {
    let mut command = process::cargo();
    command.current_dir(workspace.root()).args(["metadata", "--format-version", "1", "--quiet"]);
    let metadata = process::json(&mut command)?;
    let members: Vec<&str> = list(&metadata, "workspace_members").iter().filter_map(Value::as_str).collect();
    let mut packages: Vec<Package> = list(&metadata, "packages")
        .iter()
        .map(|package| Package {
            name: string(package, "name"),
            licence: package.get("license").and_then(Value::as_str).map(str::to_owned),
            folder: PathBuf::from(string(package, "manifest_path"))
                .parent()
                .map(PathBuf::from)
                .unwrap_or_default(),
            description: package.get("description").and_then(Value::as_str).map(str::to_owned),
            roots: list(package, "targets").iter().map(|target| string(target, "src_path").into()).collect(),
            dependencies: list(package, "dependencies")
                .iter()
                .map(|dependency| string(dependency, "name"))
                .collect(),
            ours: members.contains(&string(package, "id").as_str()),
        })
        .collect();
    packages.sort_by_key(|package| !package.ours);
    Ok(packages)
}

fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value.get(key).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

fn string(value: &Value, key: &str) -> String {
    value.get(key).and_then(Value::as_str).unwrap_or_default().to_owned()
}
