//! The host side of one execution environment.
//!
//! A [`Spawner`] is a handle to the `lambd-spawner` process; [`Spawner::spawn`] asks it for a
//! [`Sandbox`] and returns once the sandbox is built, with its listeners and its output. Dropping a
//! [`Sandbox`] kills every process in it and removes its cgroups.
//!
//! | module    | idea                                                             |
//! |-----------|------------------------------------------------------------------|
//! | `spec`    | what a sandbox is asked to be                                    |
//! | `isolation`| isolation levels, and which of them work here                    |
//! | `spawner` | starting the spawner process, asking it for sandboxes            |
//! | `prepared`| an empty sandbox: everything that is the same for all functions  |
//! | `pool`    | empty sandboxes that wait for demand                             |
//! | `ahead`   | programs that wait for demand                                    |
//! | `network` | sandboxes that reach other networks through the daemon's     |
//! | `sandbox` | a running sandbox: its end, killing it, its memory               |
//! | `channel` | the sockets to spawner and sandboxes in the event loop           |
//! | `cgroups` | limits and accounting by cgroup v1 or v2                         |
//! | `cleaner` | removing cgroups and directories that sandboxes and dead daemons left |
//! | [`images`] | root file systems from images                                   |
//! | `oci`     | OCI runtimes of this machine                                     |
//! | `scratch` | `/tmp` on disk                                                   |
//! | `limits`  | which limit is enforced by what                                  |
//! | `tmp`     | directories in the place of `/tmp` for the level `process`       |
//! | `process` | reading a process's memory use from /proc                        |
//! | `companions` | programs that run beside the sandbox's own                    |
//! | `peers`   | whose connection it is on a shared network                       |
//! | `probe`   | what this machine offers, for `lambd doctor`                     |
//!
//! What it deliberately does not know: Lambda, runtimes, HTTP, what a function is.

mod ahead;
mod cgroups;
mod channel;
mod cleaner;
mod companions;
mod error;
pub mod images;
mod isolation;
mod limits;
mod memory;
mod network;
mod oci;
mod peers;
mod pool;
mod prepared;
mod probe;
mod process;
mod sandbox;
mod scratch;
mod spawner;
mod spec;
mod tmp;

pub use ahead::{Ahead, AheadNow};
pub use cgroups::{CgroupMode, CpuLimits};
pub use companions::CompanionEnd;
pub use error::SandboxError;
pub use isolation::Isolation;
pub use lambd_jail::protocol::{Listener, Phase, Transport};
pub use lambd_jail::snapshot::Captured;
pub use limits::{EnforcedBy, LimitsInForce, TmpInForce, WhyMemory};
pub use memory::{MachineMemory, MemoryNow};
pub use network::{NatOptions, find_pasta};
pub use oci::OciRuntime;
pub use peers::Peers;
pub use prepared::{ListenerSocket, Prepared};
pub use probe::{Availability, CgroupController, CgroupVersion, ProbeReport, probe};
pub use sandbox::{ExecError, ExitStatus, Sandbox};
pub use scratch::{ScratchOptions, probe_scratch};
pub use spawner::{Spawner, SpawnerOptions};
pub use spec::{Base, BaseRoot, Bind, Companions, Network, SandboxSpec};
pub use tmp::remove as remove_tree;
