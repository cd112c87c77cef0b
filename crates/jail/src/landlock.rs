//! Landlock: which files a function's process may use, whatever their permissions say; see landlock(7).
//!
//! At the level `process` this is what hides the host. At the level `namespaces` it is a second line: it
//! goes by the files themselves and not by their paths, so that a function that came out of its mount
//! namespace would still reach nothing.
//!
//! The rules are as strict as the kernel knows: what an older one lacks is left out. What Landlock does
//! not cover at all (reading attributes, changing modes and times) is the filter's.

use std::io;
use std::path::{Path, PathBuf};

use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, NetPort, PathBeneath, PathFd, PathFdError, Ruleset,
    RulesetAttr, RulesetCreated, RulesetCreatedAttr, RulesetStatus, Scope,
};

use crate::error::StepError;
use crate::etc;
use crate::mounts::{DEVICES, SYSTEM_DIRECTORIES};
use crate::protocol::JailSpec;

/// The newest interface that this code knows.
const KNOWN: ABI = ABI::V10;

/// Whether a path has to exist.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Missing {
    Fails,
    IsSkipped,
}

struct Rule {
    path: PathBuf,
    access: BitFlags<AccessFs>,
    missing: Missing,
}

/// What is allowed.
pub(crate) struct Rules {
    files: Vec<Rule>,
    /// The only ports to connect to, if the network is limited.
    tcp_ports: Option<Vec<u16>>,
}

/// A kernel that keeps signals, and unix sockets without a path, within a sandbox: Linux 6.12.
pub(crate) fn keeps_signals_in(abi: Option<u32>) -> bool {
    abi >= Some(6)
}

/// A kernel that keeps connections to unix sockets with a path within what may be written.
pub(crate) fn limits_unix_sockets(abi: Option<u32>) -> bool {
    abi >= Some(9)
}

/// A kernel in which truncate(2) needs the right to write: Linux 6.2.
pub(crate) fn limits_truncation(abi: Option<u32>) -> bool {
    abi >= Some(3)
}

impl Rules {
    /// For a sandbox with a root file system of its own, seen from inside.
    pub(crate) fn own_root() -> Self {
        let mut rules = Self { files: Vec::new(), tcp_ports: None };
        rules.add("/", read(), Missing::Fails);
        rules.add("/tmp", AccessFs::from_all(KNOWN), Missing::Fails);
        // Nothing of /proc: what permissions leave to be written there is about the function's own processes, but
        // `oom_score_adj` would undo what the spawner set, see proc_pid_oom_score_adj(5).
        rules.add_devices();
        rules
    }

    /// For a sandbox that sees the host's files; `tmp` is its own directory.
    pub(crate) fn host(spec: &JailSpec, tmp: &Path, tcp_ports: Option<Vec<u16>>) -> Self {
        let mut rules = Self { files: Vec::new(), tcp_ports };
        rules.add("/usr", read(), Missing::Fails);
        for name in SYSTEM_DIRECTORIES {
            rules.add(Path::new("/").join(name), read(), Missing::IsSkipped);
        }
        for path in etc::shown_paths().into_iter().chain(etc::host_paths()) {
            rules.add(path, AccessFs::ReadFile | AccessFs::ReadDir, Missing::IsSkipped);
        }
        for bind in &spec.binds {
            rules.add(&bind.source, read(), Missing::Fails);
        }
        // Programs look at themselves and at the machine. What tells about other processes beyond their
        // names needs the right to trace them, which Landlock takes away.
        rules.add("/proc", AccessFs::ReadFile | AccessFs::ReadDir, Missing::IsSkipped);
        rules.add(tmp, AccessFs::from_all(KNOWN), Missing::Fails);
        rules.add_devices();
        rules
    }

    fn add_devices(&mut self) {
        for name in DEVICES {
            let access = AccessFs::ReadFile | AccessFs::WriteFile | AccessFs::Truncate | AccessFs::IoctlDev;
            self.add(Path::new("/dev").join(name), access, Missing::IsSkipped);
        }
    }

    fn add(&mut self, path: impl Into<PathBuf>, access: impl Into<BitFlags<AccessFs>>, missing: Missing) {
        self.files.push(Rule { path: path.into(), access: access.into(), missing });
    }

    /// Puts the rules in force for this process and all it will start. Needs no_new_privs. `false` where the
    /// kernel has no Landlock.
    pub(crate) fn enforce(&self) -> Result<bool, StepError> {
        let step = |what: String| move |error| failed(what, &error);
        let mut ruleset = Ruleset::default()
            .handle_access(AccessFs::from_all(KNOWN))
            .and_then(|ruleset| ruleset.scope(Scope::from_all(KNOWN)))
            .map_err(step("prepare Landlock rules".into()))?;
        if self.tcp_ports.is_some() {
            ruleset =
                ruleset.handle_access(AccessNet::from_all(KNOWN)).map_err(step("limit ports".into()))?;
        }
        let mut ruleset = ruleset.create().map_err(step("create Landlock rules".into()))?;
        for rule in &self.files {
            ruleset = rule.add_to(ruleset)?;
        }
        for port in self.tcp_ports.iter().flatten() {
            ruleset = ruleset
                .add_rule(NetPort::new(*port, AccessNet::ConnectTcp))
                .map_err(step(format!("allow port {port}")))?;
        }
        let status = ruleset.restrict_self().map_err(step("enforce Landlock rules".into()))?;
        Ok(status.ruleset != RulesetStatus::NotEnforced)
    }
}

impl Rule {
    fn add_to(&self, ruleset: RulesetCreated) -> Result<RulesetCreated, StepError> {
        let file = match PathFd::new(&self.path) {
            Ok(file) => file,
            Err(_) if self.missing == Missing::IsSkipped => return Ok(ruleset),
            Err(PathFdError::OpenCall { source, .. }) => {
                return Err(StepError::new(
                    format!("open {} as the function's user", self.path.display()),
                    source,
                ));
            }
            Err(error) => return Err(failed(format!("open {}", self.path.display()), &error)),
        };
        ruleset
            .add_rule(PathBeneath::new(file, self.access))
            .map_err(|error| failed(format!("allow {}", self.path.display()), &error))
    }
}

fn read() -> BitFlags<AccessFs> {
    AccessFs::from_read(KNOWN)
}

/// The error number is behind several layers.
fn failed(step: String, error: &(dyn std::error::Error + 'static)) -> StepError {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<io::Error>() {
            return StepError { step: step.into(), errno: error.raw_os_error().unwrap_or(libc::EINVAL) };
        }
        cause = error.source();
    }
    StepError { step: step.into(), errno: libc::EINVAL }
}
