//! The isolation level `namespaces`: a root file system of its own, and pid 1 in a pid namespace.
//!
//! The order of the steps is the security property; [`build`] says why each is where it is.
//! Whatever ends the init ends the sandbox: the kernel kills the rest of a pid namespace with its
//! pid 1 (pid_namespaces(7)).

use std::path::PathBuf;

use rustix::process::{DumpableBehavior, Signal};

use crate::error::{Step, StepError};
use crate::init::{Init, has_ended};
use crate::protocol::{self, Event, JailSpec, Network, Root};
use crate::sys::Side;
use crate::{etc, identity, mounts, sys};

/// What was captured, by the kind of root.
enum Captured {
    InHost(Vec<mounts::Captured>),
    Directory(mounts::View),
}

/// Makes the root of the host's system ahead of demand: in a child, because it takes another user than the one
/// that may look for sources.
pub(crate) fn prepare(init: &mut Init<'_>) -> Result<(), StepError> {
    if !init.request.host_root {
        return Ok(());
    }
    // SAFETY: this process is a copy of the single-threaded spawner and has started no thread.
    match unsafe { sys::fork() }.step("fork to prepare the root")? {
        Side::Child => {
            let failed = identity::become_init(init.lease).and_then(|()| mounts::prepare(init.request)).err();
            if let Some(StepError { step, errno }) = &failed {
                let event = Event::SetupFailed { step: step.to_string(), errno: *errno };
                let _ = protocol::send(init.control, &event, &[]);
            }
            sys::exit_now(failed.is_some().into())
        }
        // The first report counts; what is said here is heard only if there was none.
        Side::Parent(pid) => match sys::wait_for(pid).step("wait for the root")? {
            Ok(0) => {}
            _ => return Err(StepError { step: "prepare the root".into(), errno: libc::ECHILD }),
        },
    }
    init.phases.end("prepare root");
    Ok(())
}

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
        Network::Own | Network::Connected(_) | Network::Held { .. } => ALL,
        Network::Host => ALL & !(libc::CLONE_NEWNET as u64),
    }
}

/// Everything between the order and the fork of the function's process, or before the one goes on that has waited with
/// these `directories`. `false` when the spawner has died
/// meanwhile.
pub(crate) fn build(
    init: &mut Init<'_>,
    spec: &JailSpec,
    directories: Option<&[PathBuf]>,
) -> Result<bool, StepError> {
    // Before the change of user: sources may lie where only the daemon's user may look.
    let captured = match &spec.root {
        Root::Host => Captured::InHost(mounts::capture_in_host(spec)?),
        Root::Directory { path } => Captured::Directory(mounts::capture(path, spec)?),
    };
    init.phases.end("capture mounts");
    if !become_init(init)? {
        return Ok(false);
    }
    init.phases.end("change identity");
    match captured {
        Captured::InHost(binds) => mounts::complete(binds, directories, init.request, spec)?,
        Captured::Directory(view) => mounts::build(view, init.request, spec)?,
    }
    init.phases.end("build root");
    Ok(true)
}

/// Takes the identity of a sandbox's init, inside and outside. `false` when the spawner has died meanwhile.
pub(crate) fn become_init(init: &Init<'_>) -> Result<bool, StepError> {
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
    Ok(true)
}
