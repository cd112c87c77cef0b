//! The test suites and how each is run.

use std::collections::VecDeque;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use crate::artefacts::{self, Artefacts, Profile};
use crate::clients::Clients;
use crate::dotnet::DotNet;
use crate::error::Error;
use crate::foreign::{self, Libraries};
use crate::python::Environment;
use crate::summary::{self, Outcome};
use crate::tally::Tally;
use crate::workspace::Workspace;
use crate::{prerequisites, process};

/// The package of the suite that uses the AWS SDK for Rust: it needs a built daemon, so it is
/// not part of the plain workspace run.
const RUST_SDK_PACKAGE: &str = "lambd-rust-sdk-tests";

/// The word that selects the soak, a test of the suite `hostile`, and no other test.
const SOAK: &str = "test_soak";

/// A suite, in the order in which they run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Suite {
    /// Unit and integration tests of the crates.
    Rust,
    /// The runtimes' bootstraps against a Runtime API of the tests.
    Runtimes,
    /// The real daemon, driven by the AWS CLI, boto3 and raw HTTP.
    Conformance,
    /// The real daemon, driven by the AWS SDK for Rust.
    RustSdk,
    /// The real daemon, attacked from inside its sandboxes.
    Hostile,
    /// The sandbox crate's tests and the real daemon in virtual machines with other cgroups.
    Vm,
}

impl Suite {
    const ALL: [Self; 6] =
        [Self::Rust, Self::Runtimes, Self::Conformance, Self::RustSdk, Self::Hostile, Self::Vm];

    fn name(self) -> &'static str {
        match self {
            Self::Rust => "rust",
            Self::Runtimes => "runtimes",
            Self::Conformance => "conformance",
            Self::RustSdk => "rust-sdk",
            Self::Hostile => "hostile",
            Self::Vm => "vm",
        }
    }
}

/// Which tests to run.
#[derive(Debug)]
pub(crate) struct Selection {
    suites: Vec<Suite>,
    filter: Option<String>,
    /// How long the soak lasts, in seconds; else as long as in every run.
    soak: Option<u64>,
}

impl Selection {
    /// The whole suite.
    pub(crate) fn everything() -> Self {
        Self { suites: Suite::ALL.to_vec(), filter: None, soak: None }
    }

    /// Reads `--only SUITE` and `--filter WORD`.
    pub(crate) fn parse(arguments: &[String]) -> Result<Self, Error> {
        let mut only = Vec::new();
        let mut filter = None;
        let mut rest: VecDeque<&str> = arguments.iter().map(String::as_str).collect();
        while let Some(flag) = rest.pop_front() {
            let mut value = || rest.pop_front().ok_or_else(|| Error::usage(format!("{flag} needs a value")));
            match flag {
                "--only" => {
                    let name = value()?;
                    let found = Suite::ALL.into_iter().find(|suite| suite.name() == name);
                    only.push(found.ok_or_else(|| Error::usage(format!("no suite {name:?}")))?);
                }
                "--filter" => filter = Some(value()?.to_owned()),
                other => return Err(Error::usage(format!("test takes no argument {other:?}"))),
            }
        }
        let suites = Suite::ALL.into_iter().filter(|suite| only.is_empty() || only.contains(suite)).collect();
        Ok(Self { suites, filter, soak: None })
    }

    /// Reads `--minutes N` of the soak.
    fn soak(arguments: &[String]) -> Result<Self, Error> {
        let minutes = match arguments {
            [] => 10,
            [flag, minutes] if flag == "--minutes" => {
                let number = minutes.parse().ok().filter(|minutes| (1..=24 * 60).contains(minutes));
                number.ok_or_else(|| Error::usage("--minutes takes a number from 1 to 1440"))?
            }
            _ => return Err(Error::usage("soak takes --minutes N and nothing else")),
        };
        Ok(Self { suites: vec![Suite::Hostile], filter: Some(SOAK.to_owned()), soak: Some(60 * minutes) })
    }

    fn needs_daemon(&self) -> bool {
        self.suites.iter().any(|suite| *suite != Suite::Rust)
    }
}

/// Runs the soak for longer than every run of all tests does. True if nothing failed.
pub(crate) fn soak(workspace: &Workspace, arguments: &[String]) -> Result<bool, Error> {
    run(workspace, &Selection::soak(arguments)?)
}

/// Prepares, runs the selected suites, prints the summary. True if nothing failed.
pub(crate) fn run(workspace: &Workspace, selection: &Selection) -> Result<bool, Error> {
    prerequisites::ensure()?;
    fs::create_dir_all(workspace.test_env()).map_err(|e| Error::file(&workspace.test_env(), e))?;
    let python = Environment::ensure(workspace)?;
    let of_conformance = selection.suites.contains(&Suite::Conformance);
    let clients = of_conformance.then(|| Clients::install(workspace, &python)).transpose()?;
    let artefacts =
        if selection.needs_daemon() { Some(artefacts::build(workspace, Profile::Debug)?) } else { None };
    let dotnet =
        if selection.needs_daemon() { Some(crate::dotnet::build(workspace, &python)?) } else { None };
    let libraries = of_conformance.then(|| foreign::ensure(workspace, &python)).transpose()?;
    let clients = clients.map(Clients::ready).transpose()?;
    let mut outcomes = Vec::new();
    for &suite in &selection.suites {
        println!("\n== {} ==", suite.name());
        let start = Instant::now();
        let (artefacts, libraries) = (artefacts.as_ref(), libraries.as_ref());
        let (clients, dotnet) = (clients.as_deref(), dotnet.as_ref());
        let runner = Runner { workspace, python: &python, artefacts, libraries, dotnet, clients, selection };
        let tally = runner.run(suite)?;
        let tally = if selection.filter.is_some() { tally } else { tally.not_empty() };
        outcomes.push(Outcome { suite: suite.name(), tally, took: start.elapsed() });
    }
    print!("{}", summary::render(&outcomes));
    Ok(outcomes.iter().all(|outcome| outcome.tally.failed == 0))
}

struct Runner<'a> {
    workspace: &'a Workspace,
    python: &'a Environment,
    artefacts: Option<&'a Artefacts>,
    libraries: Option<&'a Libraries>,
    dotnet: Option<&'a DotNet>,
    clients: Option<&'a Path>,
    selection: &'a Selection,
}

impl Runner<'_> {
    fn run(&self, suite: Suite) -> Result<Tally, Error> {
        match suite {
            Suite::Rust => self.cargo(&["--workspace", "--exclude", RUST_SDK_PACKAGE]),
            Suite::RustSdk => self.cargo(&["--package", RUST_SDK_PACKAGE]),
            Suite::Runtimes => {
                self.npm("tests/runtimes")?;
                self.pytest("runtimes")
            }
            Suite::Conformance => self.pytest("conformance"),
            Suite::Hostile => self.pytest("hostile"),
            Suite::Vm => self.vm(),
        }
    }

    fn cargo(&self, packages: &[&str]) -> Result<Tally, Error> {
        let mut command = process::cargo();
        command.current_dir(self.workspace.root()).args(["test", "--no-fail-fast"]).args(packages);
        command.args(self.selection.filter.iter());
        self.give_artefacts(&mut command);
        let (well, output) = shown_and_kept(&mut command)?;
        Ok(Tally::of_cargo(&output).ended(well))
    }

    fn pytest(&self, suite: &str) -> Result<Tally, Error> {
        let report = self.workspace.test_env().join(format!("{suite}.xml"));
        match fs::remove_file(&report) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(Error::file(&report, error));
            }
            _ => {}
        }
        let mut command = self.python.python();
        command.current_dir(self.workspace.root()).args([
            "-m",
            "pytest",
            "-p",
            "no:cacheprovider",
            "--durations=5",
        ]);
        command.arg(format!("--junitxml={}", report.display())).arg(format!("tests/{suite}"));
        if let Some(word) = &self.selection.filter {
            command.args(["-k", word]);
        }
        self.give_artefacts(&mut command);
        let status = command.stdin(Stdio::null()).status().map_err(|e| process::not_started(&command, &e))?;
        let found = fs::read_to_string(&report).unwrap_or_default();
        // pytest ends with 5 when a filter leaves nothing to run.
        let well = status.success() || (self.selection.filter.is_some() && status.code() == Some(5));
        Ok(Tally::of_junit(&found).ended(well))
    }

    /// Runs the driver of the virtual machines, which prints what `cargo test` would.
    fn vm(&self) -> Result<Tally, Error> {
        let mut command = self.python.python();
        command.arg(self.workspace.root().join("tests/vm/run.py")).args(self.selection.filter.iter());
        command
            .env("LAMBD_SANDBOX_TESTS", artefacts::test_program(self.workspace, "lambd-sandbox", "sandbox")?);
        command.env("LAMBD_SANDBOX_HELPER", self.workspace.program("debug", "lambd-sandbox-helper"));
        command.env("LAMBD_VM_CACHE", self.workspace.test_env().join("vm"));
        self.give_artefacts(&mut command);
        let (well, output) = shown_and_kept(&mut command)?;
        Ok(Tally::of_cargo(&output).ended(well))
    }

    /// Installs the npm packages of a suite that has any, unless its lock file is unchanged.
    fn npm(&self, suite: &str) -> Result<(), Error> {
        let folder = self.workspace.root().join(suite);
        let Ok(lock) = fs::read(folder.join("package-lock.json")) else { return Ok(()) };
        let stamp = folder.join("node_modules/.installed-from");
        if fs::read(&stamp).is_ok_and(|installed| installed == lock) {
            return Ok(());
        }
        process::must(Command::new("npm").current_dir(&folder).args(["ci", "--no-audit", "--no-fund"]))?;
        fs::create_dir_all(folder.join("node_modules")).map_err(|e| Error::file(&folder, e))?;
        fs::write(&stamp, lock).map_err(|e| Error::file(&stamp, e))
    }

    fn give_artefacts(&self, command: &mut Command) {
        if let Some(artefacts) = self.artefacts {
            command.env("LAMBD_BIN", &artefacts.lambd).env("LAMBD_RUST_ECHO_ZIP", &artefacts.rust_echo);
            command.env("LAMBD_RUST_EXTENSION_ZIP", &artefacts.rust_extension);
            command.env("LAMBD_RUST_HTTP", &artefacts.rust_http);
            command.env("LAMBD_CPP_FUNCTION", &artefacts.cpp_function);
            command.env("LAMBD_GO_FUNCTIONS", &artefacts.go_functions);
            command.env("LAMBD_JAVA_FUNCTIONS", &artefacts.java_functions);
        }
        if let Some(seconds) = self.selection.soak {
            command.env("SOAK_SECONDS", seconds.to_string());
        }
        if let Some(libraries) = self.libraries {
            command.env("LAMBD_PYTHON_LIBRARIES", &libraries.python);
            command.env("LAMBD_NODE_LIBRARIES", &libraries.node);
            command.env("LAMBD_SDKS", &libraries.sdks);
        }
        if let Some(dotnet) = self.dotnet {
            // The daemon finds it there as well.
            command.env("DOTNET_ROOT", &dotnet.root).env("LAMBD_DOTNET_ASSEMBLIES", &dotnet.assemblies);
        }
        if let Some(clients) = self.clients {
            command.env("LAMBD_RUNTIME_CLIENTS", clients);
        }
        let no_bytecode_in_the_source_tree: PathBuf = self.workspace.test_env().join("pycache");
        command.env("PYTHONPYCACHEPREFIX", no_bytecode_in_the_source_tree);
    }
}

/// Runs a command, shows its standard output while it comes and returns it at the end.
fn shown_and_kept(command: &mut Command) -> Result<(bool, String), Error> {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|e| process::not_started(command, &e))?;
    let mut kept = String::new();
    if let Some(stdout) = child.stdout.take() {
        for line in BufReader::new(stdout).split(b'\n').map_while(Result::ok) {
            let line = String::from_utf8_lossy(&line);
            println!("{line}");
            kept.push_str(&line);
            kept.push('\n');
        }
    }
    let status = child.wait().map_err(|e| Error::Program(format!("{}: {e}", process::shown(command))))?;
    Ok((status.success(), kept))
}

#[cfg(test)]
mod tests {
    use super::{Selection, Suite};

    fn parse(line: &str) -> Result<Selection, crate::error::Error> {
        Selection::parse(&line.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn selections_keep_the_order_of_the_suites() {
        let selection = parse("--only conformance --filter zip --only rust").unwrap();
        assert_eq!(selection.suites, [Suite::Rust, Suite::Conformance]);
        assert_eq!(selection.filter.as_deref(), Some("zip"));
        assert_eq!(parse("").unwrap().suites.len(), Suite::ALL.len());
        assert_eq!(parse("--only hostile").unwrap().suites, [Suite::Hostile]);
    }

    #[test]
    fn a_soak_lasts_ten_minutes_or_as_long_as_wanted() {
        let soak =
            |line: &str| Selection::soak(&line.split_whitespace().map(str::to_owned).collect::<Vec<_>>());
        assert_eq!(soak("").unwrap().soak, Some(600));
        let hour = soak("--minutes 60").unwrap();
        assert_eq!((hour.suites, hour.soak), (vec![Suite::Hostile], Some(3600)));
        for line in ["--minutes", "--minutes 0", "--minutes many", "--hours 1"] {
            assert!(soak(line).is_err(), "{line}");
        }
    }

    #[test]
    fn nonsense_is_refused() {
        for line in ["--only", "--only nothing", "--fast"] {
            assert!(parse(line).is_err(), "{line}");
        }
    }
}
