//! The isolation level `namespaces`: a root file system of its own, and pid 1 in a pid namespace.
//!
//! The order of the steps is the security property; [`build`] says why each is where it is.
//! Whatever ends the init ends the sandbox: the kernel kills the rest of a pid namespace with its
//! pid 1 (pid_namespaces(7)).

use rustix::process::{DumpableBehavior, Signal};

use crate::error::{Step, StepError};
use crate::init::{Init, has_ended};
use crate::protocol::{JailSpec, Network};
use crate::{etc, identity, mounts, sys};

/// Every namespace but two: time is the host's, and the cgroup namespace is made by the init once it
/// is in its cgroup, which thereby becomes the root that it sees.
pub(crate) const ALL: u64 = (libc::CLONE_NEWUSER
    | libc::CLONE_NEWNS
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWNET
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWUTS) as u64;

/// The namespaces of a sandbox that sees this network.
pub(crate) fn flags(network: &Network) -> u64 {
    match network {
        Network::Own | Network::Connected(_) => ALL,
        Network::Host => ALL & !(libc::CLONE_NEWNET as u64),
    }
}

/// Everything between the order and the fork of the function's process. `false` when the spawner has died
/// meanwhile.
pub(crate) fn build(init: &mut Init<'_>, spec: &JailSpec) -> Result<bool, StepError> {
    // Before the change of user: sources may lie where only the daemon's user may look.
    let view = mounts::capture(spec)?;
    init.phases.end("capture mounts");
    identity::become_init(init.lease)?;
    // After the change of user, which clears it (prctl(2), PR_SET_PDEATHSIG). A spawner that died
    // before this line sends no signal any more; the pipe that ended with it tells instead.
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL)).step("set parent death signal")?;
    if has_ended(init.spawner_alive) {
        return Ok(false);
    }
    // Not even a function of the same uid may look into this process or trace it (ptrace(2)): its
    // memory holds leftovers of other sandboxes' requests. Exec makes the function itself dumpable again.
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable).step("make init non-dumpable")?;
    // Once in its cgroup, so that the namespace's root is that cgroup and not the daemon's.
    sys::unshare_cgroup_namespace().step("unshare cgroup namespace")?;
    rustix::system::sethostname(etc::HOST_NAME.as_bytes()).step("set host name")?;
    init.phases.end("change identity");
    mounts::build(view, spec)?;
    init.phases.end("build root");
    Ok(true)
}
