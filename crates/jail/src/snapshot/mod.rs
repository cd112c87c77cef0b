//! Snapshots: the image of a process, from which others are made in other sandboxes.
//!
//! [`capture`] is for a process that looks at another one from outside: the init of a sandbox, with the
//! capability to trace. [`restore`] needs one capability, in the sandbox's user namespace, to say which program it is; it
//! gives that up before anything of the image runs. A process that has become a function in every other respect, and
//! would now execute its program, becomes the captured process instead. It can do so because a
//! process is its memory, its registers and what it has told the kernel, and all of that a process may
//! set for itself.
//!
//! What the kernel keeps for the sandbox and not for the process (identity, limits, rights, network, the
//! standard files) is the new sandbox's. A restored process has the number that the captured one had, if both are
//! the second process of their pid namespace; libraries remember it.
//!
//! One thing differs from memory that was never captured: it has a file, so that `MADV_DONTNEED` brings back what it
//! held at the capture instead of zeroes. Processes whose allocator is known to rely on zeroes are not captured.
//!
//! All processes of one snapshot have the same layout of memory and the same secrets in it: stack canaries, seeds
//! of hash tables, the states of random number generators. Memory that a fork would find empty
//! (`MADV_WIPEONFORK`, getrandom(2) in the vdso) is empty here as well; the rest is for those who restore.

#[cfg(target_arch = "x86_64")]
mod capture;
#[cfg(target_arch = "x86_64")]
mod descriptors;
#[cfg(not(target_arch = "x86_64"))]
mod elsewhere;
#[cfg(target_arch = "x86_64")]
mod facts;
#[cfg(target_arch = "x86_64")]
mod machine;
#[cfg(target_arch = "x86_64")]
mod maps;
#[cfg(target_arch = "x86_64")]
mod memory;
#[cfg(target_arch = "x86_64")]
mod own;
#[cfg(target_arch = "x86_64")]
mod restore;
#[cfg(target_arch = "x86_64")]
mod table;
#[cfg(target_arch = "x86_64")]
mod trace;

use std::borrow::Cow;
use std::fmt;
use std::os::fd::OwnedFd;

use rustix::thread::CapabilitySet;
use serde::{Deserialize, Serialize};

use crate::error::StepError;

#[cfg(target_arch = "x86_64")]
pub use capture::capture;
#[cfg(not(target_arch = "x86_64"))]
pub use elsewhere::{capture, failure, restore};
#[cfg(target_arch = "x86_64")]
pub use restore::{failure, restore};

/// Exit code of a process that was to be restored and could not be, after it had given up its old memory.
pub const EXIT_NOT_RESTORED: i32 = 126;

#[cfg(target_arch = "x86_64")]
const PAGE: u64 = 4096;

#[cfg(target_arch = "x86_64")]
fn page_up(bytes: u64) -> u64 {
    bytes.next_multiple_of(PAGE)
}

/// What a process must still be allowed, in its user namespace, to be restored: to say which program it is
/// (`PR_SET_MM_EXE_FILE` in prctl(2)). It gives that up before it goes on as the captured one.
pub(crate) const NEEDED: CapabilitySet = CapabilitySet::CHECKPOINT_RESTORE;

/// What to know of an image to restore it. Only processes on the same kernel can, as long as the image is open.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// Where in the image the rest is described.
    manifest: u64,
    /// Bytes of that description.
    manifest_bytes: u64,
    /// Bytes of memory in the image.
    pub image_bytes: u64,
}

/// A captured process.
#[derive(Debug)]
pub struct Captured {
    /// What to know of the image.
    pub snapshot: Snapshot,
    /// A file in memory, sealed: nobody can change it any more.
    pub image: OwnedFd,
}

/// Why there is no snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CaptureError {
    /// The process has something that no other could be given: a sentence for whoever wrote its program.
    Refused(Cow<'static, str>),
    /// The kernel refused a step.
    Failed(StepError),
}

impl fmt::Display for CaptureError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(reason) => f.write_str(reason),
            Self::Failed(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for CaptureError {}

impl From<StepError> for CaptureError {
    fn from(error: StepError) -> Self {
        Self::Failed(error)
    }
}

#[cfg(target_arch = "x86_64")]
fn refused(reason: impl Into<Cow<'static, str>>) -> CaptureError {
    CaptureError::Refused(reason.into())
}

#[cfg(all(test, target_arch = "x86_64"))]
mod tests;
