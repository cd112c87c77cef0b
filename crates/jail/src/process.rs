//! The isolation level `process`: no namespace and no mount, for containers that allow neither.
//!
//! What a function may do is limited by the rights of its processes alone: a user id of its own where
//! the spawner may give one, Landlock, the seccomp filter, resource limits. Paths are the host's.
//!
//! The init is not pid 1 of anything: that all of the sandbox ends with it is its own doing, see
//! `tree`. Therefore nothing may kill it; what it must end with is told by ends of files.

use std::path::Path;

use rustix::fs::{Gid, Mode, Uid};
use rustix::process::DumpableBehavior;

use crate::error::{Step, StepError};
use crate::identity::Lease;
use crate::init::{Init, has_ended};
use crate::landlock::Rules;
use crate::protocol::{JailSpec, Level, Network, Transport};

/// What does not depend on the function: the directory that takes the place of `/tmp`.
pub(crate) fn prepare(init: &mut Init<'_>) -> Result<(), StepError> {
    if let Some(tmp) = &init.request.tmp {
        make_tmp(tmp, init.lease)?;
        init.phases.end("make tmp");
    }
    Ok(())
}

fn make_tmp(path: &Path, lease: Lease) -> Result<(), StepError> {
    rustix::fs::mkdir(path, Mode::RWXU).step_with(|| format!("make {}", path.display()))?;
    if let Lease::Pair { .. } = lease {
        let (uid, gid) = lease.function_ids(Level::Process);
        rustix::fs::chown(path, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))
            .step_with(|| format!("give {} to the function", path.display()))?;
    }
    Ok(())
}

/// Everything between the order and the fork of the function's process. `false` when the spawner has died
/// meanwhile.
pub(crate) fn build(init: &mut Init<'_>) -> Result<bool, StepError> {
    if has_ended(init.spawner_alive) {
        return Ok(false);
    }
    // Not even a function of the same uid may look into this process or trace it (ptrace(2)): its
    // memory holds leftovers of other sandboxes' requests. Exec makes the function itself dumpable again.
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable).step("make init non-dumpable")?;
    // Orphans come here and not to the spawner or the host's init, so that none is lost sight of.
    rustix::process::set_child_subreaper(Some(rustix::process::getpid())).step("adopt orphans")?;
    init.phases.end("change identity");
    Ok(true)
}

/// Limits the function's process to its own files and, with the network policy `none`, to its own
/// listeners. As the function's user and with no_new_privs.
pub(crate) fn restrict(init: &Init<'_>, spec: &JailSpec) -> Result<(), StepError> {
    let Some(tmp) = &init.request.tmp else {
        return Err(StepError { step: "find the sandbox's own directory".into(), errno: libc::EINVAL });
    };
    let ports = || {
        let tcp = init.listeners.iter().filter(|listener| listener.transport == Transport::Tcp);
        tcp.map(|listener| listener.address.port()).collect()
    };
    let enforced = Rules::host(spec, tmp, (init.request.network == Network::Own).then(ports)).enforce()?;
    if !enforced && init.lease == Lease::Own {
        // It could read whatever the daemon can, the database first.
        return Err(StepError { step: "enforce Landlock rules".into(), errno: libc::EOPNOTSUPP });
    }
    Ok(())
}
