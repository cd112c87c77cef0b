//! Detached copies of mounts: taken where paths of the host mean something, attached where they do not.

use std::ffi::OsStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, FileType, Mode, OFlags, ResolveFlags, openat2};
use rustix::mount::{MoveMountFlags, OpenTreeFlags, move_mount, open_tree};

use super::files;
use crate::error::{Step, StepError};
use crate::sys;

/// Attributes of every view of a file system that is not the sandbox's own.
pub(super) const READ_ONLY: u64 = sys::MOUNT_READ_ONLY | sys::MOUNT_NO_SUID | sys::MOUNT_NO_DEV;

/// A detached copy of a mount and the place it will get.
pub(crate) struct Captured {
    pub(super) tree: OwnedFd,
    pub(super) target: PathBuf,
    pub(super) is_directory: bool,
}

impl Captured {
    /// A read-only copy of what is at a path of the host, links followed.
    pub(super) fn read_only(source: &Path, target: &Path) -> Result<Self, StepError> {
        Self::with(source, target, READ_ONLY)
    }

    /// The same with other attributes.
    pub(super) fn with(source: &Path, target: &Path, attributes: u64) -> Result<Self, StepError> {
        capture(CWD, source.as_os_str(), OpenTreeFlags::empty(), target, attributes)
    }

    /// A copy of what is at a path of another root: links lead there, too.
    pub(super) fn in_root(
        root: BorrowedFd<'_>,
        source: &Path,
        target: &Path,
        attributes: u64,
    ) -> Result<Self, StepError> {
        let found =
            openat2(root, source, OFlags::PATH | OFlags::CLOEXEC, Mode::empty(), ResolveFlags::IN_ROOT)
                .step_with(|| format!("open {}", source.display()))?;
        let empty = OpenTreeFlags::AT_EMPTY_PATH;
        capture(found.as_fd(), OsStr::new(""), empty, target, attributes).map_err(|error| StepError {
            step: format!("{} ({})", error.step, source.display()).into(),
            ..error
        })
    }

    /// A read-only copy of one entry of an open directory. A link is not followed.
    pub(super) fn entry(directory: BorrowedFd<'_>, name: &OsStr, target: &Path) -> Result<Self, StepError> {
        capture(directory, name, OpenTreeFlags::AT_SYMLINK_NOFOLLOW, target, READ_ONLY)
    }

    /// Puts it at its place.
    pub(super) fn attach(self) -> Result<(), StepError> {
        let target = &self.target;
        if self.is_directory {
            files::make_way(target)?;
        } else if std::fs::metadata(target).is_err() {
            files::write(target, "")?;
        }
        // T_SYMLINKS: a target may lie behind a link such as /lib, or be one, such as /bin/sh.
        let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_SYMLINKS;
        move_mount(&self.tree, "", CWD, target, flags).step_with(|| format!("attach {}", target.display()))
    }
}

/// open_tree(2) with a copy of the mounts below as well: without them the kernel refuses, because
/// they might hide something, and a host that mounts `/usr/local` apart would lack it.
fn capture(
    directory: BorrowedFd<'_>,
    source: &OsStr,
    flags: OpenTreeFlags,
    target: &Path,
    attributes: u64,
) -> Result<Captured, StepError> {
    let shown = || source.display();
    let flags = flags
        | OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_RECURSIVE;
    let tree = open_tree(directory, source, flags).step_with(|| format!("open {}", shown()))?;
    let status = rustix::fs::fstat(&tree).step_with(|| format!("stat {}", shown()))?;
    // While it is detached: the view is never reachable with more rights than these.
    sys::restrict_mount(tree.as_fd(), attributes, true).step_with(|| format!("restrict {}", shown()))?;
    let is_directory = FileType::from_raw_mode(status.st_mode).is_dir();
    Ok(Captured { tree, target: target.to_owned(), is_directory })
}
