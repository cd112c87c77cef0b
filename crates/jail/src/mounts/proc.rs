//! What a function may see and change of `/proc`.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::Path;

use super::captured::{Captured, READ_ONLY};
use crate::error::{Step, StepError};
use crate::protocol::Network;
use crate::sys;

/// What a function must not change. Read-only rather than hidden: programs read it. Writing to pressure would
/// make the kernel watch the whole machine for the writer, and needs no right. The kernel's settings last, see
/// [`seal`].
pub(crate) const READ_ONLY_ENTRIES: &[&str] =
    &["/proc/bus", "/proc/fs", "/proc/irq", "/proc/pressure", SETTINGS];

/// The kernel's settings.
const SETTINGS: &str = "/proc/sys";

/// What tells about the host's kernel or memory. Covered by `/dev/null`; most would be refused to the
/// function anyway, this holds even if the kernel's own check has a gap.
pub(crate) const MASKED: &[&str] = &[
    "/proc/interrupts",
    "/proc/kallsyms",
    "/proc/kcore",
    "/proc/key-users",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/sysrq-trigger",
    "/proc/timer_list",
    "/proc/timer_stats",
];

/// Directories that describe the host's devices. Covered by the empty `/dev/shm`.
pub(crate) const HIDDEN: &[&str] = &["/proc/acpi", "/proc/asound", "/proc/scsi"];

/// Kinds of namespaces of which the sandbox may make no further, see namespaces(7).
const NAMESPACES: &[&str] = &["cgroup", "ipc", "mnt", "net", "pid", "time", "user", "uts"];

/// Those in which an uplink locks itself up, which may happen after the function has started: in one of mounts
/// to find the network in, and in another for itself. The sandbox's own may count as well, because they were made
/// by the same user. All of that takes rights that a function could only get from a user namespace.
const NAMESPACES_OF_UPLINK: &[&str] = &["ipc", "mnt", "uts"];
const LIMIT_FOR_UPLINK: &[u8] = b"3";

/// The limits of further namespaces, to be set when the last mount is copied, for which the kernel makes one.
pub(super) struct NamespaceLimits(Vec<(File, &'static [u8])>);

impl NamespaceLimits {
    /// Should a function find a way round the filter, it still gets no namespace to have capabilities in.
    pub(super) fn forbid(self) -> Result<(), StepError> {
        self.0
            .into_iter()
            .try_for_each(|(mut file, limit)| file.write_all(limit).step("forbid further namespaces"))
    }
}

/// Makes the kernel's settings read-only, but for the limits that are still to be set.
pub(super) fn seal(network: &Network) -> Result<NamespaceLimits, StepError> {
    let mut limits = Vec::new();
    for kind in NAMESPACES {
        let has_uplink = matches!(network, Network::Connected(_));
        let limit = if has_uplink && NAMESPACES_OF_UPLINK.contains(kind) { LIMIT_FOR_UPLINK } else { b"0" };
        let path = format!("{SETTINGS}/user/max_{kind}_namespaces");
        match File::options().write(true).open(&path) {
            Ok(file) => limits.push((file, limit)),
            // A kind that this kernel does not have, or a /proc that a runtime will mount.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(StepError::new(format!("open {path}"), error)),
        }
    }
    cover(SETTINGS, SETTINGS, READ_ONLY)?;
    Ok(NamespaceLimits(limits))
}

/// Covers all the others, once `/dev` is there. Entries that the kernel lacks are no loss.
pub(super) fn restrict() -> Result<(), StepError> {
    let attributes = READ_ONLY & !sys::MOUNT_NO_DEV;
    for path in MASKED {
        cover("/dev/null", path, attributes)?;
    }
    for path in HIDDEN {
        cover("/dev/shm", path, READ_ONLY)?;
    }
    for path in READ_ONLY_ENTRIES.iter().filter(|path| **path != SETTINGS) {
        cover(path, path, READ_ONLY)?;
    }
    Ok(())
}

fn cover(source: &str, target: &str, attributes: u64) -> Result<(), StepError> {
    if std::fs::symlink_metadata(target).is_err() {
        return Ok(());
    }
    Captured::with(Path::new(source), Path::new(target), attributes)?.attach()
}
