//! What a function may see and change of `/proc`.

use std::path::Path;

use super::captured::{Captured, READ_ONLY};
use crate::error::StepError;
use crate::sys;

/// What a function must not change. Read-only rather than hidden: programs read it.
pub(crate) const READ_ONLY_ENTRIES: &[&str] = &["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys"];

/// What tells about the host's kernel or memory. Covered by `/dev/null`; most would be refused to the
/// function anyway, this holds even if the kernel's own check has a gap.
pub(crate) const MASKED: &[&str] = &[
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/sysrq-trigger",
    "/proc/timer_list",
];

/// Directories that describe the host's devices. Covered by the empty `/dev/shm`.
pub(crate) const HIDDEN: &[&str] = &["/proc/acpi", "/proc/scsi"];

/// Covers all of these, once `/dev` is there. Entries that the kernel lacks are no loss.
pub(super) fn restrict() -> Result<(), StepError> {
    let attributes = READ_ONLY & !sys::MOUNT_NO_DEV;
    for path in MASKED {
        cover("/dev/null", path, attributes)?;
    }
    for path in HIDDEN {
        cover("/dev/shm", path, READ_ONLY)?;
    }
    for path in READ_ONLY_ENTRIES {
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
