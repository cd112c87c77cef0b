//! Which limit is enforced by what.

use std::fmt;

/// What enforces a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EnforcedBy {
    /// A controller of cgroup v1: for the whole sandbox.
    CgroupV1,
    /// A controller of cgroup v2: for the whole sandbox.
    CgroupV2,
    /// A resource limit, see getrlimit(2): for each process (memory) or user id (processes).
    Rlimit,
    /// `SIGSTOP` and `SIGCONT` to each process: programs can notice it.
    Signals,
    /// Nothing.
    Nothing,
}

impl fmt::Display for EnforcedBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::CgroupV1 => "cgroup v1",
            Self::CgroupV2 => "cgroup v2",
            Self::Rlimit => "rlimit",
            Self::Signals => "signals",
            Self::Nothing => "not limited",
        })
    }
}

/// What enforces each limit of the sandboxes of one spawner.
///
/// Memory by `Rlimit` is weaker in three ways: it holds for each process rather than for all
/// together; it counts private writable memory whether touched or not, for which 256 MiB are allowed
/// on top of the function's own limit; and exceeding it makes
/// allocations fail instead of ending in [`ExitStatus::OutOfMemory`](crate::ExitStatus::OutOfMemory).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LimitsInForce {
    /// Memory of a sandbox.
    pub memory: EnforcedBy,
    /// Number of processes and threads.
    pub processes: EnforcedBy,
    /// Share of the processors.
    pub cpu: EnforcedBy,
    /// Whether a sandbox can be frozen between events.
    pub freezer: EnforcedBy,
}

impl fmt::Display for LimitsInForce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "memory: {}", self.memory)?;
        if self.memory == EnforcedBy::Rlimit {
            f.write_str(" (for each process, plus 256 MiB, not for the sandbox)")?;
        }
        let freezer =
            if self.freezer == EnforcedBy::Nothing { "none".into() } else { self.freezer.to_string() };
        write!(f, ", processes: {}, cpu: {}, freezer: {freezer}", self.processes, self.cpu)
    }
}
