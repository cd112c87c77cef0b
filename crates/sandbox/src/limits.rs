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
    /// Share of the processors, from [`Sandbox::limit_cpu`](crate::Sandbox::limit_cpu) on.
    pub cpu: EnforcedBy,
    /// Share of the time of disks, by a weight in proportion to memory. It counts between sandboxes that
    /// want the same disk at once, on disks whose scheduler heeds weights (bfq, or the cost model of v2).
    pub io: EnforcedBy,
    /// Whether a sandbox can be frozen between events.
    pub freezer: EnforcedBy,
    /// What `/tmp` is.
    pub tmp: TmpInForce,
}

/// What `/tmp` of sandboxes is. Its size is limited in any case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TmpInForce {
    /// A file system of its own on disk.
    Disk,
    /// Memory, counted as the sandbox's where a cgroup limits that.
    Memory(WhyMemory),
    /// A directory of the host in its place, at [`Isolation::Process`](crate::Isolation::Process): it is
    /// measured every second, and a sandbox that is over the limit is ended.
    Directory,
    /// Not known yet; see [`Spawner::decided`](crate::Spawner::decided).
    Undecided,
}

/// Why `/tmp` is memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WhyMemory {
    /// No directory for it was given.
    NotConfigured,
    /// The daemon may not mount anything.
    NotRoot,
    /// The program that makes file systems is missing.
    NoMke2fs,
    /// There is no `/dev/loop-control`.
    NoLoopDevices,
    /// The directory for it is in memory too.
    NoDisk,
    /// There is too little room on the disk.
    DiskFull,
    /// The kernel refused a step; the log says which.
    Refused,
}

impl WhyMemory {
    /// The reason in a few words.
    #[must_use]
    pub fn reason(self) -> &'static str {
        match self {
            Self::NotConfigured => "no directory is configured",
            Self::NotRoot => "lambd does not run as root",
            Self::NoMke2fs => "mke2fs is not installed",
            Self::NoLoopDevices => "there are no loop devices",
            Self::NoDisk => "the data directory is in memory",
            Self::DiskFull => "the disk is full",
            Self::Refused => "the kernel refuses to mount a volume",
        }
    }

    /// What the operator can do about it.
    #[must_use]
    pub fn remedy(self) -> &'static str {
        match self {
            Self::NotConfigured => "configure a directory for it",
            Self::NotRoot => "run lambd as root, or give functions that fill /tmp a MemorySize to match",
            Self::NoMke2fs => "install e2fsprogs",
            Self::NoLoopDevices => {
                "modprobe loop; in a container, show it the devices (docker: --privileged)"
            }
            Self::NoDisk => "choose a directory on a disk with --data",
            Self::DiskFull => "free some space, or choose another directory with --data",
            Self::Refused => {
                "see lambd's log for the step; in a container, allow mounts and loop devices (docker: --privileged)"
            }
        }
    }
}

impl fmt::Display for TmpInForce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Disk => f.write_str("disk"),
            Self::Memory(why) => write!(f, "memory ({})", why.reason()),
            Self::Directory => f.write_str("a directory, measured every second"),
            Self::Undecided => f.write_str("not decided yet"),
        }
    }
}

impl fmt::Display for LimitsInForce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "memory: {}", self.memory)?;
        if self.memory == EnforcedBy::Rlimit {
            f.write_str(" (for each process, plus 256 MiB, not for the sandbox)")?;
        }
        let freezer =
            if self.freezer == EnforcedBy::Nothing { "none".into() } else { self.freezer.to_string() };
        write!(
            f,
            ", processes: {}, cpu: {}, io: {}, freezer: {freezer}, tmp: {}",
            self.processes, self.cpu, self.io, self.tmp
        )?;
        match (self.tmp, self.memory) {
            (TmpInForce::Memory(_), EnforcedBy::CgroupV1 | EnforcedBy::CgroupV2) => {
                f.write_str(", counted as the function's")
            }
            _ => Ok(()),
        }
    }
}
