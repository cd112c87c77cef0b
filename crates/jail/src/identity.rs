//! User and group ids, and capabilities.
//!
//! A sandbox has two identities, the **init's** and the **function's**. What they are on the host
//! depends on who runs the daemon:
//!
//! - **root**: each sandbox gets two host uids of its own (see `ids`), so that no sandbox can signal, trace
//!   or share per-user limits with another, and none owns any file of the host;
//! - **an ordinary user**, or a root without the rights to change ids: the function has the daemon's
//!   own, and the init shares it.
//!
//! With namespaces, these appear inside as root (init, where there are two ids) and as uid 993, gid
//! 990 (function, as on AWS). Without, the function has its host ids, and the init stays what the
//! daemon is: it needs the second id to send signals to all processes of the first, see `tree`.

use std::io;

use rustix::process::{Gid, Uid};
use rustix::thread::{CapabilitySet, CapabilitySets, set_capabilities};

use crate::error::{Step, StepError};
use crate::protocol::Level;

/// The function's user, as on AWS.
pub(crate) const FUNCTION_UID: u32 = 993;
/// The function's group, as on AWS.
pub(crate) const FUNCTION_GID: u32 = 990;
/// The function's user name, as on AWS.
pub(crate) const FUNCTION_USER: &str = "sbx_user1051";

/// The ids of one sandbox on the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lease {
    /// Two ids: this one for the init, the next one for the function.
    Pair { first: u32 },
    /// The daemon's own.
    Own,
    /// The daemon's own as root of the sandbox, for a runtime that gives the function its id.
    OwnAsRoot,
}

impl Lease {
    /// The same ids for a sandbox whose init starts a runtime: runtimes want to be root.
    pub(crate) fn for_runtime(self) -> Self {
        match self {
            Self::Own => Self::OwnAsRoot,
            other => other,
        }
    }

    /// Contents for `/proc/<pid>/uid_map`, see user_namespaces(7).
    pub(crate) fn uid_map(self) -> String {
        self.map(FUNCTION_UID, rustix::process::geteuid().as_raw())
    }

    /// Contents for `/proc/<pid>/gid_map`.
    pub(crate) fn gid_map(self) -> String {
        self.map(FUNCTION_GID, rustix::process::getegid().as_raw())
    }

    fn map(self, function: u32, own: u32) -> String {
        match self {
            Self::Pair { first } => format!("0 {first} 1\n{function} {} 1\n", first + 1),
            Self::Own => format!("{function} {own} 1\n"),
            Self::OwnAsRoot => format!("0 {own} 1\n"),
        }
    }

    /// Whether setgroups(2) stays possible inside. An ordinary user must give it up before the
    /// kernel accepts a group map: dropping a group could otherwise widen rights.
    pub(crate) fn may_set_groups(self) -> bool {
        matches!(self, Self::Pair { .. })
    }

    /// Host user id of the function, if it is nobody else's.
    pub(crate) fn own_uid(self) -> Option<u32> {
        match self {
            Self::Pair { first } => Some(first + 1),
            Self::Own | Self::OwnAsRoot => None,
        }
    }

    /// Ids of the init in the sandbox's user namespace.
    fn init_ids(self) -> (u32, u32) {
        match self {
            Self::Pair { .. } | Self::OwnAsRoot => (0, 0),
            Self::Own => (FUNCTION_UID, FUNCTION_GID),
        }
    }

    /// Ids of the function as setuid(2) takes them at this level.
    pub(crate) fn function_ids(self, level: Level) -> (u32, u32) {
        match (level, self) {
            (Level::Namespaces | Level::Oci, _) => (FUNCTION_UID, FUNCTION_GID),
            (Level::Process, Self::Pair { first }) => (first + 1, first + 1),
            (Level::Process, Self::Own | Self::OwnAsRoot) => {
                (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw())
            }
        }
    }
}

/// Becomes the init's identity inside the new user namespace; capabilities stay.
///
/// The raw calls of one thread are enough: the process has only one.
pub(crate) fn become_init(lease: Lease) -> Result<(), StepError> {
    let (uid, gid) = lease.init_ids();
    if lease.may_set_groups() {
        rustix::thread::set_thread_groups(&[]).step("drop supplementary groups")?;
    }
    // Groups first: after the user id changes the right to change groups might be gone (here it is
    // not, but the order costs nothing and is the one credentials(7) makes safe).
    set_gid(gid).step("set group id of init")?;
    set_uid(uid).step("set user id of init")
}

/// Looks at files as the function will, where that is another user; back by [`look_as_init`].
pub(crate) fn look_as_function(lease: Lease) -> Result<(), StepError> {
    if let Lease::Pair { .. } = lease {
        set_effective_gid(lease, FUNCTION_GID).step("look as the function's group")?;
        // The effective capabilities go with it and come back with it (capabilities(7)).
        set_effective_uid(lease, FUNCTION_UID).step("look as the function's user")?;
    }
    Ok(())
}

/// Undoes [`look_as_function`].
pub(crate) fn look_as_init(lease: Lease) -> Result<(), StepError> {
    let (uid, gid) = lease.init_ids();
    set_effective_uid(lease, uid).step("look as init again")?;
    set_effective_gid(lease, gid).step("look as init's group again")
}

/// Becomes the function: its ids for real, effective and saved, and no capability in any set but `kept`, which whoever
/// keeps some must give up before anything of a function runs.
pub(crate) fn become_function(level: Level, lease: Lease, kept: CapabilitySet) -> Result<(), StepError> {
    let (uid, gid) = lease.function_ids(level);
    // The bounding set first: dropping from it needs CAP_SETPCAP, which the following steps take
    // away. Without it, a file with capabilities could give some back (capabilities(7)).
    match (level, limit_bounding_set(CapabilitySet::empty())) {
        // no_new_privs takes their effect from such files as well, and not every container's root may drop.
        (Level::Process, Err(error)) if error.kind() == io::ErrorKind::PermissionDenied => {}
        (_, dropped) => dropped.step("drop capability bounding set")?,
    }
    rustix::thread::clear_ambient_capability_set().step("clear ambient capabilities")?;
    if level == Level::Process && lease.may_set_groups() {
        rustix::thread::set_thread_groups(&[]).step("drop supplementary groups")?;
    }
    set_gid(gid).step("set group id of function")?;
    // Else the change of user drops all.
    rustix::thread::set_keep_capabilities(!kept.is_empty()).step("keep capabilities")?;
    set_uid(uid).step("set user id of function")?;
    rustix::thread::set_keep_capabilities(false).step("keep capabilities no longer")?;
    // Going from root to another user has dropped the rest already, but where the init shares the
    // function's uid nothing has changed, so the sets are emptied explicitly.
    keep_capabilities(kept).step("drop capabilities of function")
}

/// Leaves the init only the right to send signals to the function's processes, whose uid differs: directly,
/// and at the level `process` also by becoming a user who may. The init of a program that is to be captured may trace
/// processes of its sandbox as well, and read its files.
pub(crate) fn restrict_init(level: Level, lease: Lease, captures: bool) -> Result<(), StepError> {
    let keep = match (level, lease) {
        // The last to read what /proc has of it, which is the function's.
        (Level::Namespaces, _) if captures => {
            CapabilitySet::KILL | CapabilitySet::SYS_PTRACE | CapabilitySet::DAC_READ_SEARCH
        }
        (Level::Namespaces | Level::Oci, _) => CapabilitySet::KILL,
        (Level::Process, Lease::Pair { .. }) => CapabilitySet::KILL | CapabilitySet::SETUID,
        (Level::Process, Lease::Own | Lease::OwnAsRoot) => CapabilitySet::empty(),
    };
    keep_capabilities(keep).step("drop capabilities of init")
}

/// Becomes a user who may send signals to the processes of the function with the id behind `first`, and to
/// nobody else; and to whom they may send none, because only its effective id is theirs (kill(2)).
pub(crate) fn become_signaller(first: u32) -> io::Result<()> {
    let own = Uid::from_raw(first);
    rustix::thread::set_thread_res_uid(own, Uid::from_raw(first + 1), own)?;
    // With CAP_KILL it might send signals to everybody.
    keep_capabilities(CapabilitySet::empty())
}

fn keep_capabilities(keep: CapabilitySet) -> io::Result<()> {
    let sets = CapabilitySets { effective: keep, permitted: keep, inheritable: CapabilitySet::empty() };
    Ok(set_capabilities(None, sets)?)
}

/// Drops every capability the kernel knows but these from the bounding set, also those newer than this code.
pub(crate) fn limit_bounding_set(keep: CapabilitySet) -> io::Result<()> {
    for number in 0..64 {
        let capability = CapabilitySet::from_bits_retain(1 << number);
        if keep.contains(capability) {
            continue;
        }
        match rustix::thread::remove_capability_from_bounding_set(capability) {
            Ok(()) => {}
            // The kernel's last capability has been passed, see prctl(2).
            Err(rustix::io::Errno::INVAL) => break,
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

fn set_effective_uid(lease: Lease, uid: u32) -> io::Result<()> {
    let init = Uid::from_raw(lease.init_ids().0);
    Ok(rustix::thread::set_thread_res_uid(init, Uid::from_raw(uid), init)?)
}

fn set_effective_gid(lease: Lease, gid: u32) -> io::Result<()> {
    let init = Gid::from_raw(lease.init_ids().1);
    Ok(rustix::thread::set_thread_res_gid(init, Gid::from_raw(gid), init)?)
}

fn set_uid(uid: u32) -> io::Result<()> {
    let uid = Uid::from_raw(uid);
    Ok(rustix::thread::set_thread_res_uid(uid, uid, uid)?)
}

fn set_gid(gid: u32) -> io::Result<()> {
    let gid = Gid::from_raw(gid);
    Ok(rustix::thread::set_thread_res_gid(gid, gid, gid)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maps_name_two_ids_for_a_pair() {
        let lease = Lease::Pair { first: 1_879_048_202 };
        assert_eq!(lease.uid_map(), "0 1879048202 1\n993 1879048203 1\n");
        assert_eq!(lease.gid_map(), "0 1879048202 1\n990 1879048203 1\n");
        assert_eq!(lease.function_ids(Level::Process), (1_879_048_203, 1_879_048_203));
    }
}
