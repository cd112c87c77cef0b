//! What runtimes cost, language by language, without a sandbox around them.
//!
//! Each language has an empty program, a bare loopback echo, lambd's bootstrap and AWS's own client, on one
//! interpreter. They take turns, so that a machine that slows down slows down all alike. `cargo xtask bench` says how
//! each is started.

mod candidate;
mod report;
mod runtime_api;

use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use crate::error::Error;
use crate::options::Plan;
use candidate::{Language, Role, Running};

pub(crate) use candidate::Candidate;
pub(crate) use report::markdown;

/// Events of a candidate in a row.
const TURN: usize = 50;

/// What was measured of each language, and what could not be.
#[derive(Debug)]
pub(crate) struct Languages {
    measured: Vec<Measured>,
    /// What is not there, and why.
    notes: Vec<String>,
}

#[derive(Debug)]
struct Measured {
    name: String,
    series: Vec<Series>,
}

/// Measurements of one candidate.
#[derive(Debug)]
struct Series {
    role: Role,
    name: String,
    cold: Vec<Duration>,
    warm: Vec<Duration>,
    ready: Vec<Duration>,
}

/// The bare echo of the language whose name begins so, if the document in a file has one.
pub(crate) fn bare_echo(file: &Path, language: &str) -> Result<Option<Candidate>, Error> {
    let document = read(file)?;
    let all = document["languages"].as_array().map(Vec::as_slice).unwrap_or_default();
    let named = |one: &&Value| one["name"].as_str().is_some_and(|name| name.starts_with(language));
    let Some(found) = all.iter().find(named) else { return Ok(None) };
    let found = Language::read(found)?;
    Ok(found.candidates.into_iter().find(|candidate| candidate.role == Role::Echo))
}

fn read(file: &Path) -> Result<Value, Error> {
    let text = std::fs::read_to_string(file).map_err(|e| Error::file(file, e))?;
    serde_json::from_str(&text).map_err(|e| Error::Usage(format!("{}: {e}", file.display())))
}

impl Languages {
    /// Measures what the document in a file names: `{"languages": […], "notes": […]}`.
    pub(crate) fn measure(file: &Path, plan: Plan) -> Result<Self, Error> {
        let document = read(file)?;
        let list = |key: &str| document[key].as_array().map(Vec::as_slice).unwrap_or_default();
        let notes = list("notes").iter().filter_map(Value::as_str).map(str::to_owned).collect();
        let mut languages = Self { measured: Vec::new(), notes };
        for language in list("languages") {
            let language = Language::read(language)?;
            eprintln!("starting {} ...", language.name);
            match Measured::take(&language, plan) {
                Ok(measured) => languages.measured.push(measured),
                Err(error) => {
                    let error = error.to_string();
                    languages.notes.push(format!("{} was not measured: {}", language.name, error.trim()));
                }
            }
        }
        Ok(languages)
    }
}

impl Measured {
    fn take(language: &Language, plan: Plan) -> Result<Self, Error> {
        let new = |candidate: &candidate::Candidate| Series {
            role: candidate.role,
            name: candidate.name.clone(),
            cold: Vec::new(),
            warm: Vec::new(),
            ready: Vec::new(),
        };
        let mut series: Vec<Series> = language.candidates.iter().map(new).collect();
        // What the first start of each leaves in caches, of files and of bytecode, all later ones find.
        for candidate in &language.candidates {
            candidate.cold()?;
        }
        for _ in 0..plan.rounds {
            for _ in 0..plan.language_starts {
                for (candidate, series) in language.candidates.iter().zip(&mut series) {
                    series.cold.push(candidate.cold()?);
                }
            }
            warm(language, plan, &mut series)?;
        }
        Ok(Self { name: language.name.clone(), series })
    }
}

/// One process of each candidate, in turns.
fn warm(language: &Language, plan: Plan, series: &mut [Series]) -> Result<(), Error> {
    let mut running: Vec<(usize, Running)> = Vec::new();
    for (number, candidate) in language.candidates.iter().enumerate() {
        if candidate.role != Role::Start {
            let process = candidate.start()?;
            // Until a compiler at run time has done its work.
            process.repeat(plan.language_events)?;
            running.push((number, process));
        }
    }
    for _ in 0..plan.language_events.div_ceil(TURN) {
        for (number, process) in &running {
            let events = process.repeat(TURN)?;
            series[*number].warm.extend(events.answered);
            series[*number].ready.extend(events.ready);
        }
    }
    Ok(())
}
