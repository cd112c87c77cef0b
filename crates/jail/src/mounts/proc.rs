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

/// Objects of the kernel that it limits for each user. It counts those of a user namespace for the user who made that
/// as well, here the one who started the spawner: without a limit of its own, one sandbox could take all that
/// its neighbours and the host's own programs are to share (128 instances of inotify by default).
const OBJECTS: &[(&str, &[u8])] = &[("max_inotify_instances", b"16"), ("max_inotify_watches", b"8192")];

/// Limits what is in the user namespace of this process.
pub(crate) fn limit_objects() -> Result<(), StepError> {
    for (name, limit) in OBJECTS {
        if let Some(mut file) = open_limit(name)? {
            file.write_all(limit).step_with(|| format!("set {name}"))?;
        }
    }
    Ok(())
}

/// A limit of a user namespace; `None` where the kernel has none, or a runtime will mount /proc.
fn open_limit(name: &str) -> Result<Option<File>, StepError> {
    let path = format!("{SETTINGS}/user/{name}");
    match File::options().write(true).open(&path) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(StepError::new(format!("open {path}"), error)),
    }
}

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

/// Limits objects, and makes the kernel's settings read-only but for the limits that are still to be set.
pub(super) fn seal(network: &Network) -> Result<NamespaceLimits, StepError> {
    limit_objects()?;
    let mut limits = Vec::new();
    for kind in NAMESPACES {
        let has_uplink = network.has_uplink();
        let limit = if has_uplink && NAMESPACES_OF_UPLINK.contains(kind) { LIMIT_FOR_UPLINK } else { b"0" };
        limits.extend(open_limit(&format!("max_{kind}_namespaces"))?.map(|file| (file, limit)));
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
