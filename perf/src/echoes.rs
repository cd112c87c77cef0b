//! Bare loopback echoes: what the interpreters of this machine can do when there is nothing but a socket.

use std::path::Path;
use std::time::Instant;

use serde_json::{Value, json};

use crate::error::Error;
use crate::invoke::PAYLOAD;
use crate::languages::{self, Candidate};
use crate::options::Plan;
use crate::report::values;
use crate::stats;

/// Languages by the beginning of their names, and what they are called in the document.
const LANGUAGES: [(&str, &str); 2] = [("Python ", "python"), ("Node.js ", "node")];
/// Echoes until a compiler at run time has done its work.
const WARM_UP: usize = 500;

/// One connection to each, one message after the other.
#[derive(Debug)]
pub(crate) struct Echoes(Vec<Echo>);

#[derive(Debug)]
struct Echo {
    language: &'static str,
    candidate: Candidate,
    /// Microseconds, one median for each round.
    p50: Vec<f64>,
}

impl Echoes {
    /// Those that the document of languages has.
    pub(crate) fn read(file: &Path) -> Result<Self, Error> {
        let mut echoes = Vec::new();
        for (begins, language) in LANGUAGES {
            if let Some(candidate) = languages::bare_echo(file, begins)? {
                echoes.push(Echo { language, candidate, p50: Vec::new() });
            }
        }
        Ok(Self(echoes))
    }

    /// Measures a round of each.
    pub(crate) fn round(&mut self, plan: Plan) -> Result<(), Error> {
        for echo in &mut self.0 {
            let mut connected = echo.candidate.connected()?;
            let mut back = [0; PAYLOAD.len()];
            for _ in 0..WARM_UP {
                connected.echo(PAYLOAD, &mut back)?;
            }
            let mut times = Vec::with_capacity(plan.warm_requests);
            for _ in 0..plan.warm_requests {
                let start = Instant::now();
                connected.echo(PAYLOAD, &mut back)?;
                times.push(start.elapsed());
            }
            echo.p50.push(stats::percentile(&mut times, 0.5).as_secs_f64() * 1e6);
        }
        Ok(())
    }

    pub(crate) fn json(&self) -> Value {
        let p50 = |echo: &Echo| (echo.language.to_owned(), values(&echo.p50));
        json!(self.0.iter().map(p50).collect::<serde_json::Map<_, _>>())
    }
}
