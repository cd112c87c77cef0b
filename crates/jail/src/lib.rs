//! Builds one sandbox from inside: namespaces, mounts, rights, filter, exec.
//!
//! This crate is the only one with `unsafe` code and the only one that runs with rights a function
//! must not have. It is a small, synchronous, single-threaded program inside the `lambd` binary:
//!
//! ```text
//! lambd (daemon, tokio) ── request socket ──▶ lambd-spawner ── clone3(2) ──▶ lambd-init (pid 1 of the sandbox)
//!        ▲                                                                       │ fork(2)
//!        └───────────── control socket, one per sandbox ─────────────────────────┤
//!                                                                                ▼
//!                                                                        the function's process (pid 2)
//! ```
//!
//! | module       | idea                                                                     |
//! |--------------|--------------------------------------------------------------------------|
//! | [`protocol`] | the messages between daemon, spawner and init                            |
//! | [`fds`]      | file descriptors: passing them along, closing the rest                   |
//! | `spawner`    | the loop that turns a request into a process in new namespaces           |
//! | `identity`   | user and group ids, capabilities                                         |
//! | `ids`        | which ids of the host sandboxes get, so that no two share any            |
//! | `init`       | the first process of a sandbox: what all levels share, then waiting      |
//! | `namespaces` | the isolation level of that name: the order of its steps                 |
//! | `process`    | the isolation level of that name                                         |
//! | `oci`        | the isolation level of that name: a container in the namespaces          |
//! | `mounts`     | the read-only root file system                                           |
//! | [`places`]   | places that every sandbox mounts on                                      |
//! | `etc`        | the few files of `/etc`, and what of the host's `/etc` may be seen       |
//! | `net`        | the loopback interface and the listeners                                 |
//! | `landlock`   | which files may be used, whatever their permissions say                  |
//! | `supervisor` | calls that the filter cannot judge, answered by the init                 |
//! | `tree`       | all processes of a sandbox without a pid namespace                       |
//! | `uplink`     | the program that connects a sandbox's network to the daemon's              |
//! | `tap`        | a network interface that waits for this program                            |
//! | `phases`     | how long each step takes                                                 |
//! | `function`   | pid 2: gives up every right, then becomes the function                   |
//! | `ahead`      | pid 2 before it is known for whom, waiting for its environment           |
//! | `rlimits`    | resource limits                                                          |
//! | `filter`     | the seccomp policy as data                                               |
//! | `calls`      | the lists of system calls in it                                          |
//! | `bpf`        | the policy as a program for the kernel                                   |
//! | [`snapshot`] | the image of a process, and becoming it in another sandbox              |
//! | [`probe`]    | what this kernel offers                                                  |
//! | [`volume`]   | for the daemon: files as block devices, and mounts that nobody else sees |
//! | `sys`        | system calls that have no safe wrapper elsewhere: all other `unsafe`     |
//!
//! What it deliberately does not know: Lambda, runtimes, limits' origin, cgroup directories (it is
//! told which files to write), asynchronous I/O.
//!
//! Oldest kernel: Linux 5.12, because of `mount_setattr(2)`; 5.9 at the level `process`.

mod ahead;
mod bpf;
mod calls;
mod error;
mod etc;
pub mod fds;
mod filter;
mod function;
mod identity;
mod ids;
mod init;
mod landlock;
mod mounts;
mod namespaces;
mod net;
mod oci;
mod phases;
pub mod places;
pub mod probe;
mod process;
mod programs;
pub mod protocol;
mod rlimits;
pub mod snapshot;
mod spawner;
mod supervisor;
mod sys;
mod tap;
mod tree;
mod uplink;
pub mod volume;

pub use error::StepError;
pub use etc::OWN_NAMES;
pub use ids::has_ids_for_sandboxes;
pub use volume::private_mounts;

/// `argv[0]` that turns the binary into the spawner.
pub const SPAWNER_ARG0: &str = "lambd-spawner";

/// Runs the spawner if this process was started as one, and returns its exit code.
///
/// Must be the first thing `main` does: the spawner clones itself, which is sound only while the
/// process has a single thread.
///
/// The daemon starts the spawner by executing its own binary with `argv[0]` set to
/// [`SPAWNER_ARG0`] and the request socket (`SOCK_SEQPACKET`) as standard input.
#[must_use = "the caller must exit with the returned code"]
pub fn run_if_spawner() -> Option<i32> {
    if std::env::args_os().next()? != SPAWNER_ARG0 {
        return None;
    }
    Some(match spawner::run() {
        Ok(()) => 0,
        Err(error) => {
            eprintln!("{SPAWNER_ARG0}: {error}");
            1
        }
    })
}
