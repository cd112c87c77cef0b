//! Machines whose registers this code does not know.

use std::os::fd::{BorrowedFd, OwnedFd, RawFd};
use std::time::Duration;

use super::{CaptureError, Captured, Snapshot};
use crate::error::StepError;

/// Refuses.
///
/// # Errors
/// Always.
pub fn capture(_pid: i32, _waits_on: RawFd, _patience: Duration) -> Result<Captured, CaptureError> {
    Err(CaptureError::Refused("snapshots need an x86-64 processor".into()))
}

/// Does nothing.
///
/// # Safety
/// None is needed; it is where the processor is known.
pub unsafe fn restore(
    _snapshot: &Snapshot,
    _image: OwnedFd,
    _waits_on: OwnedFd,
    _report: OwnedFd,
) -> StepError {
    StepError { step: "restore: find an x86-64 processor".into(), errno: libc::ENOSYS }
}

/// Nothing was restored.
#[must_use]
pub fn failure(_report: BorrowedFd<'_>) -> Option<StepError> {
    None
}
