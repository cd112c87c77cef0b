//! `cargo xtask bench`: builds for release, packs the echo functions, starts the load generator.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use crate::artefacts::{self, Profile};
use crate::error::Error;
use crate::workspace::Workspace;
use crate::{languages, prerequisites, process};

/// Runs the benchmark. True if it ran to its end: whether the numbers are good is not decided here.
pub(crate) fn run(workspace: &Workspace, arguments: &[String]) -> Result<bool, Error> {
    let mut flags = Vec::new();
    let mut json: PathBuf = workspace.target().join("bench.json");
    let mut markdown = false;
    let mut rest = arguments.iter();
    while let Some(flag) = rest.next() {
        match flag.as_str() {
            "--quick" | "--api-only" | "--languages-only" => flags.push(flag.as_str()),
            "--markdown" => markdown = true,
            "--json" => json = rest.next().ok_or_else(|| Error::usage("--json needs a file"))?.into(),
            other => return Err(Error::usage(format!("bench takes no argument {other:?}"))),
        }
    }
    if markdown {
        let mut perf = process::cargo();
        perf.current_dir(workspace.root()).args([
            "run",
            "--quiet",
            "--release",
            "--package",
            "lambd-perf",
            "--",
        ]);
        return process::passes(perf.arg("markdown").arg(&json));
    }
    prerequisites::ensure()?;
    let mut build = process::cargo();
    build.current_dir(workspace.root()).args(["build", "--quiet", "--release"]);
    build.args(["--package", "lambd-perf", "--bin", "lambd-perf"]);
    build.args(["--package", "lambd-rust-echo", "--bin", "rust-echo"]);
    process::must(&mut build)?;
    let built = |name: &str| workspace.program(Profile::Release.folder(), name);
    let mut perf = Command::new(built("lambd-perf"));
    perf.arg("run").arg("--json").arg(&json).arg("--languages").arg(languages::prepare(workspace)?);
    if !flags.contains(&"--languages-only") {
        let artefacts = artefacts::build(workspace, Profile::Release)?;
        let mut build = process::cargo();
        build.current_dir(workspace.root()).args(["build", "--quiet", "--release"]);
        process::must(build.args(["--package", "lambd-sandbox"]))?;
        let packages = workspace.test_env().join("bench");
        fs::create_dir_all(&packages).map_err(|e| Error::file(&packages, e))?;
        let functions = workspace.root().join("perf/functions");
        let python = artefacts::package(&packages.join("python.zip"), &functions.join("app.py"))?;
        let node = artefacts::package(&packages.join("node.zip"), &functions.join("index.js"))?;
        perf.arg("--lambd").arg(&artefacts.lambd).arg("--sandbox-helper").arg(built("lambd-sandbox-helper"));
        perf.arg("--rust").arg(&artefacts.rust_echo).arg("--python").arg(&python).arg("--node").arg(&node);
    }
    perf.args(flags);
    let well = process::passes(&mut perf)?;
    if well {
        println!("\nwritten: {}", json.display());
    }
    Ok(well)
}
