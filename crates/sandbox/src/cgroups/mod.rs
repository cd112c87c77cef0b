//! Limits and accounting by cgroup v1 or v2, see cgroups(7).
//!
//! Directories: `<base>/<parent>/<daemon>/<sandbox>`, in one hierarchy for v2 and in one for each
//! controller for v1. `<base>` is the top of the hierarchy, or the group that was delegated to the daemon.
//!
//! | module      | idea                                                            |
//! |-------------|-----------------------------------------------------------------|
//! | `hierarchy` | what is mounted, and where this process may make groups         |
//! | `open`      | finding a place for this daemon's groups                        |
//! | `set`       | the groups of one sandbox                                       |
//! | `shares`    | CPU and disk time in proportion to memory                       |
//! | `freezer`   | stopping all processes of a sandbox                             |
//! | `orphans`   | directories of daemons, and what dead daemons left              |

mod freezer;
mod hierarchy;
mod open;
mod orphans;
mod set;
mod shares;

use std::fmt;
use std::path::{Path, PathBuf};

pub(crate) use freezer::Freezer;
pub(crate) use hierarchy::{Hierarchy, hierarchies};
pub(crate) use orphans::kill_all;
pub(crate) use set::CgroupSet;

use crate::cleaner::Cleaner;
use crate::error::SandboxError;
use crate::limits::{EnforcedBy, LimitsInForce, TmpInForce};
use set::Groups;

/// Which cgroup version limits sandboxes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum CgroupMode {
    /// The one that limits memory on this machine; resource limits if there is none.
    #[default]
    Auto,
    /// Version 1, else an error.
    V1,
    /// Version 2, else an error.
    V2,
    /// None: resource limits only.
    Off,
}

/// Whether sandboxes get a share of the CPU only.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum CpuLimits {
    /// A share in proportion to memory, where 1792 MB are one CPU, from
    /// [`Sandbox::limit_cpu`](crate::Sandbox::limit_cpu) on.
    #[default]
    Proportional,
    /// All that the machine has.
    Unlimited,
}

impl CpuLimits {
    fn limit(self) -> bool {
        self == Self::Proportional
    }
}

/// Where this daemon's sandboxes get their cgroups.
#[derive(Debug)]
pub(crate) enum Cgroups {
    /// Controller and this daemon's directory in its hierarchy.
    V1(Vec<(&'static str, PathBuf)>),
    /// This daemon's directory, and which controllers there are besides memory and pids.
    V2 { daemon: PathBuf, cpu: bool, io: bool },
    /// Resource limits only, and why.
    Off { reason: String },
}

impl Cgroups {
    /// Finds usable hierarchies and makes this daemon's directories.
    pub(crate) fn open(parent: &str, mode: CgroupMode, cpu: CpuLimits) -> Result<Self, SandboxError> {
        let hierarchies = hierarchies();
        let unavailable = |version, reason| SandboxError::CgroupUnavailable { version, reason };
        match mode {
            CgroupMode::Off => Ok(Self::Off { reason: "switched off".into() }),
            CgroupMode::V1 => open::v1(&hierarchies, parent, cpu).map_err(|reason| unavailable("v1", reason)),
            CgroupMode::V2 => open::v2(&hierarchies, parent, cpu).map_err(|reason| unavailable("v2", reason)),
            CgroupMode::Auto => Ok(open::v2(&hierarchies, parent, cpu).unwrap_or_else(|v2| {
                open::v1(&hierarchies, parent, cpu)
                    .unwrap_or_else(|v1| Self::Off { reason: format!("v2: {v2}; v1: {v1}") })
            })),
        }
    }

    /// What the cgroups enforce, and what is left to resource limits.
    pub(crate) fn limits(&self, tmp: TmpInForce) -> LimitsInForce {
        use EnforcedBy::{CgroupV1, CgroupV2, Nothing, Rlimit};
        match self {
            Self::V1(list) => {
                let by = |name: &str, otherwise| match list.iter().any(|(controller, _)| *controller == name)
                {
                    true => CgroupV1,
                    false => otherwise,
                };
                LimitsInForce {
                    memory: by("memory", Rlimit),
                    processes: by("pids", Rlimit),
                    cpu: by("cpu", Nothing),
                    io: by("blkio", Nothing),
                    freezer: by("freezer", Nothing),
                    tmp,
                }
            }
            Self::V2 { cpu, io, .. } => {
                let by = |there: &bool| if *there { CgroupV2 } else { Nothing };
                LimitsInForce {
                    memory: CgroupV2,
                    processes: CgroupV2,
                    cpu: by(cpu),
                    io: by(io),
                    freezer: CgroupV2,
                    tmp,
                }
            }
            Self::Off { .. } => LimitsInForce {
                memory: Rlimit,
                processes: Rlimit,
                cpu: Nothing,
                io: Nothing,
                freezer: Nothing,
                tmp,
            },
        }
    }

    /// Makes the cgroups of one sandbox and sets the limits that are the same for all; see
    /// [`CgroupSet::limit_memory`] and [`CgroupSet::limit_cpu`] for the others.
    pub(crate) fn create(&self, id: &str, cleaner: &Cleaner) -> Result<CgroupSet, SandboxError> {
        let groups = match self {
            Self::Off { .. } => Groups::None,
            Self::V1(list) => {
                Groups::V1(list.iter().map(|(name, daemon)| (*name, daemon.join(id))).collect())
            }
            Self::V2 { daemon, cpu, .. } => Groups::V2 { group: daemon.join(id), cpu: *cpu },
        };
        CgroupSet::make(groups, cleaner)
    }

    /// Ends what dead daemons left, and returns its directories in the order in which they can be
    /// removed once they are empty. May wait for locks of the kernel.
    pub(crate) fn orphans(&self) -> Vec<PathBuf> {
        let parents = self.daemon_directories().into_iter().filter_map(Path::parent);
        parents.flat_map(orphans::orphans).collect()
    }

    /// Removes this daemon's directories; they are empty unless there are groups of sandboxes. Says
    /// whether all are gone.
    pub(crate) fn remove_own(&self) -> bool {
        let busy = self.daemon_directories().into_iter().filter(|directory| !is_removed(directory));
        busy.count() == 0
    }

    /// This daemon's directories and all below, in the order in which they can be removed.
    pub(crate) fn own(&self) -> Vec<PathBuf> {
        self.daemon_directories().into_iter().flat_map(orphans::with_groups).collect()
    }

    fn daemon_directories(&self) -> Vec<&Path> {
        match self {
            Self::V1(list) => list.iter().map(|(_, directory)| directory.as_path()).collect(),
            Self::V2 { daemon, .. } => vec![daemon],
            Self::Off { .. } => Vec::new(),
        }
    }
}

/// Removes one directory; says whether it is gone.
pub(crate) fn is_removed(directory: &Path) -> bool {
    match std::fs::remove_dir(directory) {
        Ok(()) => true,
        Err(error) => error.kind() == std::io::ErrorKind::NotFound,
    }
}

impl fmt::Display for Cgroups {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::V1(list) => {
                let names: Vec<_> = list.iter().map(|(controller, _)| *controller).collect();
                write!(f, "cgroup v1 ({})", names.join(", "))
            }
            Self::V2 { daemon, .. } => write!(f, "cgroup v2 ({})", daemon.display()),
            Self::Off { reason } => write!(f, "no cgroups ({reason})"),
        }
    }
}
