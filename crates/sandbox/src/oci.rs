//! OCI runtimes of this machine: finding one, what each wants on its command line, trying it.

use std::error::Error as _;
use std::ffi::OsStr;
use std::fmt;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use lambd_jail::protocol;

use crate::cgroups::CgroupMode;
use crate::error::SandboxError;
use crate::isolation::Isolation;
use crate::probe::Availability;
use crate::sandbox::{ExitStatus, Sandbox};
use crate::spawner::{Spawner, SpawnerOptions};
use crate::spec::SandboxSpec;

/// Looked for in this order where none is named.
const DEFAULTS: &[&str] = &["crun", "runc"];

/// Where runtimes are even if `PATH` does not say so: `sbin` is not in that of ordinary users.
const USUAL_PLACES: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Options that make a runtime content with the namespaces and cgroups of the sandbox it runs in.
struct Known {
    name: &'static str,
    args: &'static [&'static str],
    detaches: bool,
    takes_compiled_filter: bool,
}

/// Others get no options but the operator's.
const KNOWN: &[Known] = &[
    Known { name: "crun", args: &["--cgroup-manager=disabled"], detaches: true, takes_compiled_filter: true },
    // It looks for cgroups that it may write and goes on when there is none.
    Known { name: "runc", args: &[], detaches: true, takes_compiled_filter: false },
    // Its network is that of the sandbox, where the listeners are.
    Known {
        name: "runsc",
        args: &["--network=host", "--ignore-cgroups"],
        detaches: false,
        takes_compiled_filter: false,
    },
];

/// A trial container starts in milliseconds, a virtual machine in seconds.
const TRIAL_TIMEOUT: Duration = Duration::from_secs(30);

/// What the trial container prints of itself, see proc_pid_status(5).
const TRIAL: &str = "while read -r line; do echo \"$line\"; done </proc/self/status";

/// Lines of that in every container.
const USER: &str = "Uid:\t993";

/// The same in those that the host's kernel runs: a runtime can be built without seccomp, and then says nothing.
const RESTRICTIONS: &[&str] =
    &["CapEff:\t0000000000000000", "CapBnd:\t0000000000000000", "NoNewPrivs:\t1", "Seccomp:\t2"];

/// Of what a failed trial printed, so much is told.
const LONGEST_MESSAGE: usize = 300;

/// An OCI runtime of this machine.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct OciRuntime {
    name: String,
    version: String,
    program: PathBuf,
    args: Vec<String>,
    detaches: bool,
    takes_compiled_filter: bool,
}

impl OciRuntime {
    /// What helps where none can be used.
    pub const REMEDY: &str = "install crun or runc, or name a runtime that works here with --oci-runtime";

    /// Finds the runtime of this name in `PATH`, or at this path; without either, crun or runc. `args` are
    /// further options before `run`.
    ///
    /// # Errors
    /// What is missing, for a person; [`Self::REMEDY`] says what helps.
    pub fn find(runtime: Option<&str>, args: &[String]) -> Result<Self, String> {
        let (name, program) = match runtime {
            None => {
                let found = DEFAULTS.iter().find_map(|name| Some((*name, search(name)?)));
                found.ok_or_else(|| format!("neither {} is installed", DEFAULTS.join(" nor ")))?
            }
            Some(path) if path.contains('/') => (path, PathBuf::from(path)),
            Some(name) => (name, search(name).ok_or_else(|| format!("{name} is not in PATH"))?),
        };
        let failed = |reason: String| format!("{name} cannot be used: {reason}");
        let program = std::path::absolute(program).map_err(|error| failed(error.to_string()))?;
        let (name, version) = version(&program).map_err(failed)?;
        let known = KNOWN.iter().find(|known| known.name == name);
        let own = known.map_or(&[][..], |known| known.args).iter().map(|arg| (*arg).to_owned());
        Ok(Self {
            name,
            version,
            program,
            args: own.chain(args.iter().cloned()).collect(),
            detaches: known.is_some_and(|known| known.detaches),
            takes_compiled_filter: known.is_some_and(|known| known.takes_compiled_filter),
        })
    }

    pub(crate) fn to_jail(&self) -> protocol::OciRuntime {
        protocol::OciRuntime {
            program: self.program.clone(),
            args: self.args.clone(),
            detaches: self.detaches,
            takes_compiled_filter: self.takes_compiled_filter,
        }
    }

    /// Runs a container that does nothing.
    pub(crate) fn availability(&self, spawner: &Path) -> Availability {
        // A thread with an event loop of its own: the caller may be in one, or in none.
        let tried = std::thread::scope(|scope| scope.spawn(|| try_out(self, spawner)).join());
        match tried.unwrap_or_else(|_| Err("it could not be tried".into())) {
            Ok(()) => Availability::Available,
            Err(reason) => Availability::Unavailable {
                reason: format!("a trial container of {self} failed: {reason}"),
                remedy: Self::REMEDY.into(),
            },
        }
    }
}

impl fmt::Display for OciRuntime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.name, self.version)
    }
}

fn search(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let places = std::env::split_paths(&path).chain(std::env::split_paths(OsStr::new(USUAL_PLACES)));
    places.map(|place| place.join(name)).find(|path| is_executable(path))
}

fn is_executable(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
}

/// Name and version as the program tells them, whatever its file is called: `crun version 1.8.1`.
fn version(program: &Path) -> Result<(String, String), String> {
    let output = Command::new(program)
        .arg("--version")
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("{}: {error}", program.display()))?;
    if !output.status.success() {
        return Err(format!("{} --version ended with {}", program.display(), output.status));
    }
    let text = String::from_utf8_lossy(&output.stdout);
    let first = text.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
    let mut words = first.split_ascii_whitespace();
    match (words.next(), words.next_back()) {
        (Some(name), Some(version)) => Ok((name.to_owned(), version.to_owned())),
        _ => Err(format!("{} --version does not tell a version: {first:?}", program.display())),
    }
}

fn try_out(runtime: &OciRuntime, spawner: &Path) -> Result<(), String> {
    let event_loop = tokio::runtime::Builder::new_current_thread().enable_all().build();
    event_loop.map_err(|error| error.to_string())?.block_on(async {
        let options = SpawnerOptions {
            isolation: Isolation::Oci(runtime.clone()),
            cgroup: CgroupMode::Off,
            ..SpawnerOptions::default()
        };
        let spawner = Spawner::start_with_program(spawner, options).map_err(with_cause)?;
        let tried = match spawner.spawn(trial()).await {
            Ok(sandbox) => end_of(sandbox).await.and_then(|status| check(runtime, &status)),
            Err(error) => Err(with_cause(error)),
        };
        spawner.shutdown().await;
        tried
    })
}

fn trial() -> SandboxSpec {
    SandboxSpec {
        id: "trial".into(),
        command: "/bin/sh".into(),
        args: vec!["-c".into(), TRIAL.into()],
        cwd: "/".into(),
        memory_bytes: 256 << 20,
        tmp_bytes: 1 << 20,
        ..SandboxSpec::default()
    }
}

/// What the trial printed, if it ended well.
async fn end_of(mut sandbox: Sandbox) -> Result<String, String> {
    let output = sandbox.take_output();
    let Ok(status) = tokio::time::timeout(TRIAL_TIMEOUT, sandbox.exited()).await else {
        return Err(format!("it did not end within {TRIAL_TIMEOUT:?}"));
    };
    let said = said(&output);
    let status = match status {
        ExitStatus::Exited(0) => return Ok(said),
        ExitStatus::Exited(code) => format!("exit code {code}"),
        ExitStatus::NotStarted(error) => error.to_string(),
        other => format!("{other:?}"),
    };
    Err(if said.is_empty() { status } else { format!("{status}: {}", on_one_line(&said)) })
}

fn check(runtime: &OciRuntime, status: &str) -> Result<(), String> {
    if !status.contains(USER) {
        return Err(format!("it did not run a program as user 993, but said: {}", on_one_line(status)));
    }
    let missing = RESTRICTIONS.iter().find(|line| !status.contains(*line));
    match missing.filter(|_| runtime.detaches) {
        Some(line) => Err(format!("its program was not restricted: no {:?} in its status", line)),
        None => Ok(()),
    }
}

fn said(output: &OwnedFd) -> String {
    let mut buffer = [0; 8192];
    let length = rustix::io::read(output, &mut buffer).unwrap_or(0);
    String::from_utf8_lossy(&buffer[..length]).into_owned()
}

fn on_one_line(text: &str) -> String {
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    lines.join("; ").chars().take(LONGEST_MESSAGE).collect()
}

fn with_cause(error: SandboxError) -> String {
    match error.source() {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}
