//! Benchmark of lambd: a load generator, a raw HTTP floor beside it, and the report.
//!
//! `cargo xtask bench` builds everything and starts this program. It talks to the daemon over the
//! wire only, like any client, and imports none of its crates. All measurements of one run are
//! interleaved over several rounds, so that a machine that slows down slows down everything alike;
//! reported are medians of the rounds and ratios to the floor.
//!
//! The floor is a hyper server in a process of its own that echoes request bodies, and streams on request: what the same
//! HTTP stack can do on this machine when nothing happens behind it.

mod api;
mod asynchronous;
mod client;
mod crowd;
mod daemon;
mod echoes;
mod error;
mod floor;
mod goals;
mod invoke;
mod lambda;
mod languages;
mod least;
mod markdown;
mod options;
mod packages;
mod peers;
mod plot;
mod profile;
mod report;
mod run;
mod sandboxes;
mod snapstart;
mod stats;
mod streaming;

use std::process::ExitCode;

use error::Error;
use options::Options;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let result = match arguments.split_first() {
        Some((task, [])) if task == floor::TASK => floor::serve(),
        Some((task, [])) if task == least::EMPTY => Ok(()),
        Some((task, [])) if task == least::ECHO => least::echo(),
        Some((task, [file])) if task == "markdown" => {
            markdown::of_file(file.as_ref()).map(|text| print!("{text}"))
        }
        Some((task, [file, picture])) if task == "plot" => plot::of_file(file.as_ref(), picture.as_ref()),
        Some((task, rest)) if task == "profile" => profile::record(rest),
        Some((task, rest)) if task == "run" => Options::parse(rest).and_then(|options| measure(&options)),
        _ => Err(Error::Usage(options::USAGE.to_owned())),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn measure(options: &Options) -> Result<(), Error> {
    let report = run::run(options)?;
    print!("{}", report.table());
    std::fs::write(&options.json, report.json()).map_err(|e| Error::file(&options.json, e))
}
