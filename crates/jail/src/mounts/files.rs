//! Directories, links and files of the root tmpfs.

use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;

use crate::error::{Step, StepError};

/// Makes a directory and those on the way to it.
pub(super) fn make_directory(path: &Path) -> Result<(), StepError> {
    make_with_mode(path, 0o755)
}

/// Makes a directory to mount on. Directories that are only on the way to it, such as /root on the way to
/// a toolchain, can be passed but not listed: what is beside the toolchain is nobody's business.
pub(super) fn make_way(path: &Path) -> Result<(), StepError> {
    make_with_mode(path, 0o711)
}

/// Makes a directory, and those on the way to it, with these permissions.
pub(super) fn make_with_mode(path: &Path, mode: u32) -> Result<(), StepError> {
    let mut way = std::fs::DirBuilder::new();
    way.recursive(true).mode(mode).create(path).step_with(|| format!("make directory {}", path.display()))
}

/// Makes a symbolic link.
pub(super) fn make_link(link: &Path, target: &Path) -> Result<(), StepError> {
    make_parent(link)?;
    match std::os::unix::fs::symlink(target, link) {
        // An empty directory made above gives way, so that for example /opt can be a link.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => std::fs::remove_dir(link)
            .and_then(|()| std::os::unix::fs::symlink(target, link))
            .step_with(|| format!("replace {} by a link", link.display())),
        other => other.step_with(|| format!("make link {}", link.display())),
    }
}

/// Makes a file that everybody can read.
pub(super) fn write(path: &Path, contents: &str) -> Result<(), StepError> {
    make_parent(path)?;
    std::fs::write(path, contents).step_with(|| format!("make file {}", path.display()))
}

fn make_parent(path: &Path) -> Result<(), StepError> {
    path.parent().map_or(Ok(()), make_directory)
}
