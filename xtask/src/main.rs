//! Development tasks of lambd, run as `cargo xtask TASK`.
//!
//! `generate` writes what the documents take from the code, `test` runs every suite, `check` holds the sources to the house rules, `ci` does both, `bench`
//! measures. The tasks only arrange: they prepare what is needed, start the real tools (cargo,
//! pytest, the load generator in `perf/`) and read their reports. No behaviour of lambd is known
//! here beyond the names of its packages.

mod artefacts;
mod bench;
mod check;
mod clients;
mod dotnet;
mod edges;
mod error;
mod flamegraph;
mod foreign;
mod generate;
mod house;
mod languages;
mod licences;
mod markdown;
mod metadata;
mod peers;
mod prerequisites;
mod process;
mod python;
mod requirements;
mod suites;
mod summary;
mod tally;
mod workspace;

use std::process::ExitCode;

use error::Error;
use workspace::Workspace;

const HELP: &str = "\
Development tasks of lambd.

Usage: cargo xtask <TASK> [OPTIONS]

Tasks:
  test    set up everything that the tests need and run the whole suite
            --only SUITE      one suite only (may be repeated); see below
            --filter WORD     only tests whose name contains WORD
  check   formatting, lints, crate edges, licences, generated documents, requirements, house rules
  generate  write what docs/compatibility.md takes from elsewhere
  dotnet  compile runtimes/dotnet/bootstrap.dll, after a change of its sources (needs mono-mcs)
  ci      check, then test
  bench   measure lambd next to a raw HTTP echo server
            --quick           a short run that shows the shape, not the numbers
            --api-only        nothing but the API of daemons with functions
            --languages-only  nothing but runtimes without a sandbox, beside bare programs and AWS's clients
            --invocations-only  nothing but invocations, cold starts, crowds and the daemon at rest
            --peers           beside other programs that run functions, which are installed
            --markdown        measure nothing: the results of the last run as tables for SPECIFICATION.md
            --plot            measure nothing: the results of the last run as docs/performance.svg
            --flamegraph      measure nothing: where the daemon's time goes, as docs/flamegraph.svg (needs perf)
            --json FILE       where to write the results (default: target/bench.json)
  soak    10 minutes of mixed load with updates, deletes, throttles and kills; nothing may leak or be wrong
            --minutes N       another length

Suites: rust, runtimes, conformance, rust-sdk, hostile, vm

The build directory is cargo's own (CARGO_TARGET_DIR is honoured); test tools are kept in its
folder test-env between runs.";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match run(&arguments) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[String]) -> Result<ExitCode, Error> {
    let Some((task, rest)) = arguments.split_first() else {
        println!("{HELP}");
        return Ok(ExitCode::FAILURE);
    };
    if matches!(task.as_str(), "help" | "-h" | "--help") || rest.iter().any(|a| a == "-h" || a == "--help") {
        println!("{HELP}");
        return Ok(ExitCode::SUCCESS);
    }
    let workspace = Workspace::find()?;
    let good = match task.as_str() {
        "test" => suites::run(&workspace, &suites::Selection::parse(rest)?)?,
        "check" => {
            nothing_more(task, rest)?;
            check::run(&workspace)?
        }
        "generate" => {
            nothing_more(task, rest)?;
            generate::write(&workspace)?;
            true
        }
        "dotnet" => {
            nothing_more(task, rest)?;
            dotnet::write_runtime(&workspace)?;
            true
        }
        "ci" => {
            nothing_more(task, rest)?;
            let checked = check::run(&workspace)?;
            let tested = suites::run(&workspace, &suites::Selection::everything())?;
            if !checked {
                println!("the checks failed, see above");
            }
            checked && tested
        }
        "bench" => bench::run(&workspace, rest)?,
        "soak" => suites::soak(&workspace, rest)?,
        other => return Err(Error::usage(format!("no task {other:?}; `cargo xtask help` lists them"))),
    };
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn nothing_more(task: &str, rest: &[String]) -> Result<(), Error> {
    match rest.first() {
        None => Ok(()),
        Some(extra) => Err(Error::usage(format!("{task} takes no argument {extra:?}"))),
    }
}
