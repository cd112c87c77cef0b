//! The command line, and how long each part of a run takes.

use std::path::PathBuf;
use std::time::Duration;

use crate::error::Error;

pub(crate) const USAGE: &str =
    "usage: lambd-perf run --lambd PROGRAM --sandbox-helper PROGRAM --rust ZIP --python ZIP --node ZIP --languages FILE --json FILE [--peers FILE] [--quick] [--api-only | --languages-only | --invocations-only]
       lambd-perf markdown FILE
       lambd-perf plot FILE PICTURE
       lambd-perf profile --lambd PROGRAM --rust ZIP --samples FILE
(cargo xtask bench builds all of these and calls this)";

/// What to measure and for how long.
#[derive(Debug)]
pub(crate) struct Options {
    pub(crate) lambd: PathBuf,
    pub(crate) sandbox_helper: PathBuf,
    pub(crate) rust: PathBuf,
    pub(crate) python: PathBuf,
    pub(crate) node: PathBuf,
    /// How each language is started.
    pub(crate) languages: PathBuf,
    pub(crate) json: PathBuf,
    /// How others that run functions are started.
    pub(crate) peers: Option<PathBuf>,
    pub(crate) quick: bool,
    /// Nothing but the API of daemons with functions.
    pub(crate) api_only: bool,
    /// Nothing but runtimes without a sandbox.
    pub(crate) languages_only: bool,
    /// Nothing but invocations.
    pub(crate) invocations_only: bool,
}

/// The amount of work of one run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    /// How often everything is measured.
    pub(crate) rounds: usize,
    /// One connection, one request after the other: stops at whichever comes first.
    pub(crate) warm_requests: usize,
    pub(crate) warm_time: Duration,
    /// Length of a throughput measurement.
    pub(crate) load_time: Duration,
    /// Cold starts of each function in a round, and as many with a rest before each.
    pub(crate) cold_starts: usize,
    /// Instances of one function that are idle at the same time.
    pub(crate) idle_instances: usize,
    /// Starts of a daemon in a round.
    pub(crate) daemon_starts: usize,
    /// Asynchronous events that wait at one time.
    pub(crate) backlog: u64,
    /// Functions of the daemon whose API is measured.
    pub(crate) functions: usize,
    /// Requests of each kind to that API; a tenth as many creations.
    pub(crate) api_requests: usize,
    /// Functions with large packages.
    pub(crate) packages: usize,
    /// Starts of each program of a language in a round.
    pub(crate) language_starts: usize,
    /// Events of each in a round, and as many before they are counted.
    pub(crate) language_events: usize,
}

impl Options {
    pub(crate) fn parse(arguments: &[String]) -> Result<Self, Error> {
        let usage = |what: String| Error::Usage(format!("{what}\n{USAGE}"));
        let mut values = std::collections::HashMap::new();
        let (mut quick, mut api_only, mut languages_only, mut invocations_only) =
            (false, false, false, false);
        let mut rest = arguments.iter();
        while let Some(flag) = rest.next() {
            if flag == "--quick" {
                quick = true;
            } else if flag == "--api-only" {
                api_only = true;
            } else if flag == "--languages-only" {
                languages_only = true;
            } else if flag == "--invocations-only" {
                invocations_only = true;
            } else {
                let value = rest.next().ok_or_else(|| usage(format!("{flag} needs a value")))?;
                values.insert(flag.as_str(), PathBuf::from(value));
            }
        }
        let peers = values.remove("--peers");
        let mut take = |flag: &str| values.remove(flag).ok_or_else(|| usage(format!("{flag} is missing")));
        let (languages, json) = (take("--languages")?, take("--json")?);
        // Languages need nothing of lambd's.
        let mut take = |flag: &str| if languages_only { Ok(PathBuf::new()) } else { take(flag) };
        let options = Self {
            lambd: take("--lambd")?,
            sandbox_helper: take("--sandbox-helper")?,
            rust: take("--rust")?,
            python: take("--python")?,
            node: take("--node")?,
            languages,
            json,
            peers,
            quick,
            api_only,
            languages_only,
            invocations_only,
        };
        match values.keys().next() {
            Some(extra) => Err(usage(format!("no option {extra}"))),
            None => Ok(options),
        }
    }

    pub(crate) fn plan(&self) -> Plan {
        if self.quick { Plan::quick() } else { Plan::full() }
    }
}

impl Plan {
    /// For the shape.
    pub(crate) fn quick() -> Self {
        Self {
            rounds: 2,
            warm_requests: 300,
            warm_time: Duration::from_millis(1500),
            load_time: Duration::from_millis(700),
            cold_starts: 2,
            idle_instances: 50,
            daemon_starts: 2,
            backlog: 20_000,
            functions: 1000,
            api_requests: 200,
            packages: 3,
            language_starts: 3,
            language_events: 200,
        }
    }

    /// For the record.
    fn full() -> Self {
        Self {
            rounds: 5,
            warm_requests: 3000,
            warm_time: Duration::from_secs(3),
            load_time: Duration::from_secs(3),
            cold_starts: 6,
            idle_instances: 1000,
            daemon_starts: 4,
            backlog: 1_000_000,
            functions: 10_000,
            api_requests: 1000,
            packages: 10,
            language_starts: 8,
            language_events: 1000,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Options;

    #[test]
    fn every_path_is_required_and_nothing_else_is_taken() {
        let parse = |line: &str| Options::parse(&line.split(' ').map(str::to_owned).collect::<Vec<_>>());
        let all = "--lambd l --sandbox-helper s --rust r --python p --node n --languages x --json j";
        assert!(parse(all).is_ok_and(|options| !options.quick));
        assert!(parse(&format!("{all} --quick")).is_ok_and(|options| options.quick && !options.api_only));
        assert!(parse(&format!("{all} --api-only")).is_ok_and(|options| options.api_only));
        let peers = parse(&format!("{all} --peers p --invocations-only")).unwrap();
        assert!(peers.invocations_only && peers.peers.is_some_and(|file| file.ends_with("p")));
        assert!(parse(&format!("{all} --fast yes")).is_err());
        assert!(parse("--lambd l --rust r").is_err());
        assert!(parse("--languages x --json j").is_err());
        assert!(parse("--languages x --json j --languages-only").is_ok_and(|options| options.languages_only));
    }
}
