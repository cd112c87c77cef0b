//! `cargo xtask bench --flamegraph`: where the daemon's time goes while one function is invoked again and again.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::error::Error;
use crate::process;
use crate::workspace::Workspace;

/// The version of the crate `inferno`, whose programs draw the picture.
const INFERNO: &str = "0.12.8";

/// Samples the warm path of a daemon that was built for release, and draws the picture into a file. `perf` is the
/// load generator.
pub(crate) fn draw(
    workspace: &Workspace,
    perf: &Path,
    [lambd, function]: [&Path; 2],
    picture: &Path,
) -> Result<(), Error> {
    if process::on_path("perf").is_none() {
        return Err(Error::Missing("a flame graph needs perf (Debian: linux-perf)".to_owned()));
    }
    let tools = inferno(workspace)?;
    let samples = workspace.test_env().join("bench/perf.data");
    let mut record = Command::new(perf);
    record
        .arg("profile")
        .arg("--lambd")
        .arg(lambd)
        .arg("--rust")
        .arg(function)
        .arg("--samples")
        .arg(&samples);
    process::must(&mut record)?;
    let folded = workspace.test_env().join("bench/folded");
    let mut script = Command::new("perf");
    // Without names of inlined functions: looking those up takes minutes.
    script.args(["script", "--no-inline", "--input"]).arg(&samples);
    piped(&mut script, &mut Command::new(tools.join("inferno-collapse-perf")), &folded)?;
    let mut graph = Command::new(tools.join("inferno-flamegraph"));
    graph.args(["--nojs", "--title", "lambd, warm invocations of a Rust function", "--colors", "rust"]);
    graph.args(["--minwidth", "0.3"]).arg(&folded);
    let output = File::create(picture).map_err(|e| Error::file(picture, e))?;
    let status =
        graph.stdin(Stdio::null()).stdout(output).status().map_err(|e| process::not_started(&graph, &e))?;
    if status.success() { Ok(()) } else { Err(Error::Program(format!("{} failed", process::shown(&graph)))) }
}

/// Installs the programs, unless they are there.
fn inferno(workspace: &Workspace) -> Result<PathBuf, Error> {
    let folder = workspace.test_env().join("inferno");
    let listed = std::fs::read_to_string(folder.join(".crates.toml")).unwrap_or_default();
    if !listed.contains(&format!("inferno {INFERNO} ")) {
        println!("installing inferno in {}", folder.display());
        let mut cargo = process::cargo();
        cargo.args(["install", "inferno", "--version", INFERNO, "--locked", "--quiet", "--force", "--root"]);
        process::must(cargo.arg(&folder))?;
    }
    Ok(folder.join("bin"))
}

/// What the first writes goes through the second into a file.
fn piped(first: &mut Command, second: &mut Command, file: &Path) -> Result<(), Error> {
    let output = File::create(file).map_err(|e| Error::file(file, e))?;
    first.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut from = first.spawn().map_err(|e| process::not_started(first, &e))?;
    let pipe = from.stdout.take().map_or_else(Stdio::null, Stdio::from);
    let to = second.stdin(pipe).stdout(output).status().map_err(|e| process::not_started(second, &e))?;
    let from = from.wait().map_err(|e| Error::Program(format!("{}: {e}", process::shown(first))))?;
    match (from.success(), to.success()) {
        (true, true) => Ok(()),
        (false, _) => Err(Error::Program(format!("{} failed", process::shown(first)))),
        (_, false) => Err(Error::Program(format!("{} failed", process::shown(second)))),
    }
}
