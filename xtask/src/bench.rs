//! `cargo xtask bench`: builds for release, packs the echo functions, starts the load generator.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use crate::artefacts::{self, Profile};
use crate::error::Error;
use crate::workspace::Workspace;
use crate::{prerequisites, process};

/// Runs the benchmark. True if it ran to its end: whether the numbers are good is not decided here.
pub(crate) fn run(workspace: &Workspace, arguments: &[String]) -> Result<bool, Error> {
    let mut flags = Vec::new();
    let mut json: PathBuf = workspace.target().join("bench.json");
    let mut rest = arguments.iter();
    while let Some(flag) = rest.next() {
        match flag.as_str() {
            "--quick" | "--api-only" => flags.push(flag),
            "--json" => json = rest.next().ok_or_else(|| Error::usage("--json needs a file"))?.into(),
            other => return Err(Error::usage(format!("bench takes no argument {other:?}"))),
        }
    }
    prerequisites::ensure()?;
    let artefacts = artefacts::build(workspace, Profile::Release)?;
    let mut build = process::cargo();
    build.current_dir(workspace.root()).args(["build", "--quiet", "--release"]);
    build.args(["--package", "lambd-perf", "--package", "lambd-sandbox"]);
    process::must(&mut build)?;
    let packages = workspace.test_env().join("bench");
    fs::create_dir_all(&packages).map_err(|e| Error::file(&packages, e))?;
    let functions = workspace.root().join("perf/functions");
    let python = artefacts::package(&packages.join("python.zip"), &functions.join("app.py"))?;
    let node = artefacts::package(&packages.join("node.zip"), &functions.join("index.js"))?;

    let mut perf = Command::new(workspace.program(Profile::Release.folder(), "lambd-perf"));
    perf.arg("run").arg("--lambd").arg(&artefacts.lambd).arg("--json").arg(&json);
    perf.arg("--sandbox-helper").arg(workspace.program(Profile::Release.folder(), "lambd-sandbox-helper"));
    perf.arg("--rust")
        .arg(&artefacts.rust_echo)
        .arg("--python")
        .arg(&python)
        .arg("--node")
        .arg(&node)
        .args(flags);
    let well = process::passes(&mut perf)?;
    if well {
        println!("\nwritten: {}", json.display());
    }
    Ok(well)
}
