//! `cargo xtask bench`: builds for release, packs the echo functions, starts the load generator.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::artefacts::{self, Artefacts, Profile};
use crate::error::Error;
use crate::workspace::Workspace;
use crate::{flamegraph, languages, peers, prerequisites, process};

/// Where the pictures are that documents show.
const PLOT: &str = "docs/performance.svg";
const FLAMEGRAPH: &str = "docs/flamegraph.svg";

/// What to do.
#[derive(Debug, PartialEq, Eq)]
enum Task {
    Measure,
    Markdown,
    Plot,
    Flamegraph,
}

/// The command line.
#[derive(Debug)]
struct Options {
    task: Task,
    peers: bool,
    /// What the load generator is told.
    flags: Vec<String>,
    /// Where the results are, if not where they are by default.
    json: Option<PathBuf>,
}

impl Options {
    fn parse(arguments: &[String]) -> Result<Self, Error> {
        let mut options = Self { task: Task::Measure, peers: false, flags: Vec::new(), json: None };
        let mut rest = arguments.iter();
        while let Some(flag) = rest.next() {
            match flag.as_str() {
                "--quick" | "--api-only" | "--languages-only" | "--invocations-only" => {
                    options.flags.push(flag.clone());
                }
                "--peers" => options.peers = true,
                "--markdown" => options.task = Task::Markdown,
                "--plot" => options.task = Task::Plot,
                "--flamegraph" => options.task = Task::Flamegraph,
                "--json" => {
                    let file = rest.next().ok_or_else(|| Error::usage("--json needs a file"))?;
                    options.json = Some(file.into());
                }
                other => return Err(Error::usage(format!("bench takes no argument {other:?}"))),
            }
        }
        let without = ["--api-only", "--languages-only"];
        if options.peers && options.flags.iter().any(|flag| without.contains(&flag.as_str())) {
            return Err(Error::usage(
                "--peers are measured with invocations, which another option leaves out",
            ));
        }
        Ok(options)
    }
}

/// Runs the benchmark. True if it ran to its end: whether the numbers are good is not decided here.
pub(crate) fn run(workspace: &Workspace, arguments: &[String]) -> Result<bool, Error> {
    let options = Options::parse(arguments)?;
    let json = options.json.clone().unwrap_or_else(|| workspace.target().join("bench.json"));
    match options.task {
        Task::Measure => measure(workspace, &options, &json),
        Task::Markdown => process::passes(load_generator(workspace).arg("markdown").arg(&json)),
        Task::Plot => {
            let picture = workspace.root().join(PLOT);
            let well = process::passes(load_generator(workspace).arg("plot").arg(&json).arg(&picture))?;
            Ok(written(well, &picture))
        }
        Task::Flamegraph => {
            prerequisites::ensure()?;
            let (built, artefacts) = build(workspace)?;
            let picture = workspace.root().join(FLAMEGRAPH);
            fs::create_dir_all(workspace.test_env().join("bench"))
                .map_err(|e| Error::file(&workspace.test_env(), e))?;
            flamegraph::draw(workspace, &built, [&artefacts.lambd, &artefacts.rust_echo], &picture)?;
            Ok(written(true, &picture))
        }
    }
}

fn measure(workspace: &Workspace, options: &Options, json: &Path) -> Result<bool, Error> {
    prerequisites::ensure()?;
    build_for_release(workspace, &["lambd-perf", "lambd-rust-echo"])?;
    let built = |name: &str| workspace.program(Profile::Release.folder(), name);
    let mut perf = Command::new(built("lambd-perf"));
    perf.arg("run").arg("--json").arg(json).arg("--languages").arg(languages::prepare(workspace)?);
    if !options.flags.iter().any(|flag| flag == "--languages-only") {
        let artefacts = artefacts::build(workspace, Profile::Release)?;
        build_for_release(workspace, &["lambd-sandbox"])?;
        let packages = workspace.test_env().join("bench");
        fs::create_dir_all(&packages).map_err(|e| Error::file(&packages, e))?;
        let functions = workspace.root().join("perf/functions");
        let python = artefacts::package(&packages.join("python.zip"), &functions.join("app.py"))?;
        let node = artefacts::package(&packages.join("node.zip"), &functions.join("index.js"))?;
        perf.arg("--lambd").arg(&artefacts.lambd).arg("--sandbox-helper").arg(built("lambd-sandbox-helper"));
        perf.arg("--rust").arg(&artefacts.rust_echo).arg("--python").arg(&python).arg("--node").arg(&node);
        if options.peers {
            perf.arg("--peers").arg(peers::prepare(workspace, &built("rust-echo"))?);
        }
    }
    let well = process::passes(perf.args(&options.flags))?;
    Ok(written(well, json))
}

/// The load generator, and what it measures.
fn build(workspace: &Workspace) -> Result<(PathBuf, Artefacts), Error> {
    build_for_release(workspace, &["lambd-perf"])?;
    let built = workspace.program(Profile::Release.folder(), "lambd-perf");
    Ok((built, artefacts::build(workspace, Profile::Release)?))
}

fn build_for_release(workspace: &Workspace, packages: &[&str]) -> Result<(), Error> {
    let mut build = process::cargo();
    build.current_dir(workspace.root()).args(["build", "--quiet", "--release", "--bins"]);
    for package in packages {
        build.args(["--package", package]);
    }
    process::must(&mut build)
}

/// The load generator, built if need be, for what measures nothing.
fn load_generator(workspace: &Workspace) -> Command {
    let mut perf = process::cargo();
    perf.current_dir(workspace.root());
    perf.args(["run", "--quiet", "--release", "--package", "lambd-perf", "--"]);
    perf
}

fn written(well: bool, file: &Path) -> bool {
    if well {
        println!("\nwritten: {}", file.display());
    }
    well
}

#[cfg(test)]
mod tests {
    use super::{Options, Task};

    fn parse(line: &str) -> Result<Options, crate::error::Error> {
        Options::parse(&line.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn what_to_measure_is_told_to_the_load_generator() {
        let options = parse("--quick --peers --invocations-only --json a.json").unwrap();
        assert_eq!(options.flags, ["--quick", "--invocations-only"]);
        assert!(options.peers && options.task == Task::Measure);
        assert_eq!(options.json.unwrap().to_str(), Some("a.json"));
        assert_eq!(parse("--plot").unwrap().task, Task::Plot);
    }

    #[test]
    fn nonsense_is_refused() {
        for line in ["--json", "--fast", "--peers --api-only", "--languages-only --peers"] {
            assert!(parse(line).is_err(), "{line}");
        }
    }
}
