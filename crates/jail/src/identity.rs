//! User and group ids, and capabilities.
//!
//! Inside a sandbox there are two identities: the **init's** (root of the user namespace, where the
//! host allows two ids) and the **function's** (uid 993, gid 990, as on AWS). How they map to the
//! host depends on who runs the daemon:
//!
//! - **root**: each sandbox gets two host uids of its own, so that no sandbox can signal, trace or
//!   share per-user limits with another, and none owns any file of the host;
//! - **an ordinary user**: user_namespaces(7) allows a single id without a helper program, so the
//!   function's uid maps to the user's own and the init shares it.

use std::collections::HashSet;
use std::io;

use rustix::process::{Gid, Uid};
use rustix::thread::{CapabilitySet, CapabilitySets, set_capabilities};

use crate::error::{Step, StepError};

/// The function's user, as on AWS.
pub(crate) const FUNCTION_UID: u32 = 993;
/// The function's group, as on AWS.
pub(crate) const FUNCTION_GID: u32 = 990;
/// The function's user name, as on AWS.
pub(crate) const FUNCTION_USER: &str = "sbx_user1051";

/// First host id of sandboxes: the range that systemd's "Users, Groups, UIDs and GIDs" documents as
/// unused and free for such purposes.
const BASE: u32 = 0x7000_0000;
/// Host ids in that range that stay below 2^31, beyond which some programs read a negative number.
const RANGE: u32 = 0x1000_0000;
/// Sandboxes that fit.
const SLOTS: u32 = RANGE / 2;

/// How ids of this process's user namespace are given to sandboxes.
pub(crate) enum HostIds {
    /// Two ids per sandbox.
    Pairs {
        /// Slots of living sandboxes.
        used: HashSet<u32>,
        /// Where to look for a free slot next.
        next: u32,
    },
    /// The daemon's own ids, shared by all sandboxes.
    Own,
}

/// The ids of one sandbox on the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lease {
    /// Two ids starting at `BASE + 2 * slot`.
    Pair { slot: u32 },
    /// The daemon's own.
    Own,
}

impl HostIds {
    /// Decides by the rights of this process and by what its own user namespace maps (a container's
    /// root may be root of a few ids only).
    pub(crate) fn detect() -> Self {
        let root = rustix::process::geteuid().is_root();
        if root && covers_range("/proc/self/uid_map") && covers_range("/proc/self/gid_map") {
            // Two daemons on one host should not hand out the same ids; a start that depends on the
            // process id keeps them apart without a shared lock.
            let pid = rustix::process::getpid().as_raw_nonzero().get().unsigned_abs();
            Self::Pairs { used: HashSet::new(), next: pid.wrapping_mul(0x9E37_79B1) % SLOTS }
        } else {
            Self::Own
        }
    }

    /// Takes ids for one more sandbox.
    pub(crate) fn take(&mut self) -> Lease {
        match self {
            Self::Own => Lease::Own,
            Self::Pairs { used, next } => loop {
                // Ends because there are far more slots than processes (pid_max is at most 2^22).
                let slot = *next;
                *next = (slot + 1) % SLOTS;
                if used.insert(slot) {
                    return Lease::Pair { slot };
                }
            },
        }
    }

    /// Gives the ids of a sandbox back that has no process any more.
    pub(crate) fn give_back(&mut self, lease: Lease) {
        if let (Self::Pairs { used, .. }, Lease::Pair { slot }) = (self, lease) {
            used.remove(&slot);
        }
    }
}

impl Lease {
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
            Self::Pair { slot } => {
                let first = BASE + 2 * slot;
                format!("0 {first} 1\n{function} {} 1\n", first + 1)
            }
            Self::Own => format!("{function} {own} 1\n"),
        }
    }

    /// Whether setgroups(2) stays possible inside. An ordinary user must give it up before the
    /// kernel accepts a group map: dropping a group could otherwise widen rights.
    pub(crate) fn may_set_groups(self) -> bool {
        matches!(self, Self::Pair { .. })
    }

    /// Ids of the init inside the sandbox.
    fn init_ids(self) -> (u32, u32) {
        match self {
            Self::Pair { .. } => (0, 0),
            Self::Own => (FUNCTION_UID, FUNCTION_GID),
        }
    }
}

/// Whether an id map of this process covers all ids that sandboxes may get.
fn covers_range(map: &str) -> bool {
    std::fs::read_to_string(map).is_ok_and(|text| map_covers(&text))
}

fn map_covers(text: &str) -> bool {
    text.lines().any(|line| {
        let numbers: Vec<u64> = line.split_ascii_whitespace().filter_map(|word| word.parse().ok()).collect();
        let [inside, _, count] = numbers[..] else { return false };
        inside <= u64::from(BASE) && inside + count >= u64::from(BASE) + u64::from(RANGE)
    })
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

/// Becomes the function: its ids for real, effective and saved, and no capability in any set.
pub(crate) fn become_function() -> Result<(), StepError> {
    // The bounding set first: dropping from it needs CAP_SETPCAP, which the following steps take
    // away. Without it, a file with capabilities could give some back (capabilities(7)).
    limit_bounding_set(CapabilitySet::empty()).step("drop capability bounding set")?;
    rustix::thread::clear_ambient_capability_set().step("clear ambient capabilities")?;
    set_gid(FUNCTION_GID).step("set group id of function")?;
    set_uid(FUNCTION_UID).step("set user id of function")?;
    // Going from root to another user has dropped the rest already, but where the init shares the
    // function's uid nothing has changed, so the sets are emptied explicitly.
    keep_capabilities(CapabilitySet::empty()).step("drop capabilities of function")
}

/// Leaves the init only the right to send signals to the function's process, whose uid differs.
pub(crate) fn restrict_init() -> Result<(), StepError> {
    keep_capabilities(CapabilitySet::KILL).step("drop capabilities of init")
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
    fn pairs_are_distinct_until_given_back() {
        let mut ids = HostIds::Pairs { used: HashSet::new(), next: SLOTS - 1 };
        let (a, b) = (ids.take(), ids.take());
        assert_eq!((a, b), (Lease::Pair { slot: SLOTS - 1 }, Lease::Pair { slot: 0 }));
        let HostIds::Pairs { next, .. } = &mut ids else { unreachable!() };
        *next = 0;
        assert_eq!(ids.take(), Lease::Pair { slot: 1 }, "slot 0 is in use");
        ids.give_back(b);
        let HostIds::Pairs { next, .. } = &mut ids else { unreachable!() };
        *next = 0;
        assert_eq!(ids.take(), Lease::Pair { slot: 0 });
    }

    #[test]
    fn maps_name_two_ids_for_a_pair() {
        assert_eq!(Lease::Pair { slot: 5 }.uid_map(), "0 1879048202 1\n993 1879048203 1\n");
        assert_eq!(Lease::Pair { slot: 5 }.gid_map(), "0 1879048202 1\n990 1879048203 1\n");
    }

    #[test]
    fn a_partly_mapped_root_does_not_cover_the_range() {
        assert!(map_covers("         0          0 4294967295\n"));
        assert!(!map_covers("         0       1000          1\n         1     100000      65536\n"));
        assert!(!map_covers(""));
    }
}
