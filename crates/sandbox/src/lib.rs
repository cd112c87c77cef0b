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
//! | `network` | sandboxes that reach other networks through the daemon's     |
//! | `sandbox` | a running sandbox: its end, killing it, its memory               |
//! | `channel` | the sockets to spawner and sandboxes in the event loop           |
//! | `cgroups` | limits and accounting by cgroup v1 or v2                         |
//! | `cleaner` | removing cgroups once they are empty                             |
//! | `limits`  | which limit is enforced by what                                  |
//! | `process` | reading a process's memory use from /proc                        |
//! | `probe`   | what this machine offers, for `lambd doctor`                     |
//!
//! What it deliberately does not know: Lambda, runtimes, HTTP, what a function is.

mod cgroups;
mod channel;
mod cleaner;
mod error;
mod isolation;
mod limits;
mod network;
mod pool;
mod prepared;
mod probe;
mod process;
mod sandbox;
mod spawner;
mod spec;

pub use cgroups::CgroupMode;
pub use error::SandboxError;
pub use isolation::Isolation;
pub use lambd_jail::protocol::{Listener, Phase, Transport};
pub use limits::{EnforcedBy, LimitsInForce};
pub use network::{NatOptions, find_pasta};
pub use prepared::{ListenerSocket, Prepared};
pub use probe::{Availability, CgroupController, CgroupVersion, ProbeReport, probe};
pub use sandbox::{ExecError, ExitStatus, Sandbox};
pub use spawner::{Spawner, SpawnerOptions};
pub use spec::{Bind, Network, SandboxSpec};
