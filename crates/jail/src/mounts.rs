//! The root file system of a sandbox: a small read-only tmpfs with read-only views of the host.
//!
//! Two phases, because they need different identities:
//!
//! 1. [`capture`] runs while the process still has the daemon's host uid, so that sources below
//!    directories which only that user may enter can be opened. open_tree(2) makes detached copies of
//!    the mounts; from then on paths of the host do not matter any more.
//! 2. [`build`] runs as the init's uid, because a file system mounted in a user namespace can only
//!    hold files of users that the namespace maps (user_namespaces(7)). It enters an empty tmpfs by
//!    pivot_root(2) *before* it makes any directory: each absolute path from there on is a path in the
//!    sandbox, and no symbolic link can lead back to the host.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{CWD, FileType, Mode, OFlags};
use rustix::mount::{
    MountFlags, MountPropagationFlags, MoveMountFlags, OpenTreeFlags, UnmountFlags, mount, mount_change,
    move_mount, open_tree, unmount,
};

use crate::error::{Step, StepError};
use crate::etc;
use crate::protocol::{Bind, JailSpec};
use crate::sys;

/// Size of the root tmpfs. It holds directories, links and the files of `/etc` only.
const ROOT_OPTIONS: &std::ffi::CStr = c"size=1m,nr_inodes=2048,mode=755";

/// Where the root tmpfs is mounted for a moment, until it becomes the root. Any directory that
/// surely exists would do: what it hides has been captured before.
const STAGE: &str = "/usr";

/// Top-level directories of the host's system: links into `/usr` on merged systems, else directories.
const SYSTEM_DIRECTORIES: &[&str] = &["bin", "sbin", "lib", "lib32", "lib64", "libx32"];

/// Device nodes of `/dev`: those that hold no state and reach no hardware.
const DEVICES: &[&str] = &["null", "zero", "full", "random", "urandom"];

/// Directories that exist in AWS's environment whether or not something is mounted there.
const EMPTY_DIRECTORIES: &[&str] =
    &["/dev/shm", "/mnt", "/opt", "/run", "/var/runtime", "/var/task", "/var/tmp"];

/// What of `/proc` a function must not change. Read-only rather than hidden: programs read it.
const PROC_READ_ONLY: &[&str] = &["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys"];

/// What of `/proc` tells about the host's kernel or memory. Covered by `/dev/null`; most would
/// be refused to the function anyway, this holds even if the kernel's own check has a gap.
const PROC_MASKED: &[&str] = &[
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/sysrq-trigger",
    "/proc/timer_list",
];

/// Directories of `/proc` that describe the host's devices. Covered by the empty `/dev/shm`.
const PROC_HIDDEN: &[&str] = &["/proc/acpi", "/proc/scsi"];

/// Attributes of every view of the host.
const READ_ONLY: u64 = sys::MOUNT_READ_ONLY | sys::MOUNT_NO_SUID | sys::MOUNT_NO_DEV;

/// A detached copy of a mount and the place it will get.
struct Captured {
    tree: OwnedFd,
    target: PathBuf,
    is_directory: bool,
}

/// All that the sandbox will see of the host.
pub(crate) struct HostView {
    /// Top-level links such as `bin -> usr/bin`.
    links: Vec<(PathBuf, PathBuf)>,
    system: Vec<Captured>,
    binds: Vec<Captured>,
}

/// Copies the mounts of everything that will be seen of the host.
pub(crate) fn capture(spec: &JailSpec) -> Result<HostView, StepError> {
    // The copies of the host's mounts still receive what the host mounts (mount_namespaces(7)).
    // Private first, so that neither they nor the copies taken below ever change.
    mount_change("/", MountPropagationFlags::REC | MountPropagationFlags::PRIVATE)
        .step("make mounts private")?;

    let mut view = HostView { links: Vec::new(), system: Vec::new(), binds: Vec::new() };
    view.system.push(capture_read_only(Path::new("/usr"), Path::new("/usr"))?);
    for name in SYSTEM_DIRECTORIES {
        let path = Path::new("/").join(name);
        match std::fs::read_link(&path) {
            Ok(target) => view.links.push((path, target)),
            Err(_) if path.is_dir() => view.system.push(capture_read_only(&path, &path)?),
            Err(_) => {}
        }
    }
    capture_shell(&mut view)?;
    capture_etc(&mut view)?;
    for name in DEVICES {
        let path = Path::new("/dev").join(name);
        let node = capture_with(&path, &path, sys::MOUNT_NO_SUID)?;
        view.system.push(node);
    }
    for Bind { source, target } in &spec.binds {
        view.binds.push(capture_read_only(source, target)?);
    }
    Ok(view)
}

/// `/bin/sh` is bash on AWS, and scripts written for it rely on that; on Debian it is dash. The
/// view of bash goes over the file that the host's `/bin/sh` leads to.
fn capture_shell(view: &mut HostView) -> Result<(), StepError> {
    let (Ok(shell), Ok(bash)) = (std::fs::canonicalize("/bin/sh"), std::fs::canonicalize("/bin/bash")) else {
        return Ok(());
    };
    if shell != bash {
        view.system.push(capture_read_only(&bash, &shell)?);
    }
    Ok(())
}

fn capture_etc(view: &mut HostView) -> Result<(), StepError> {
    let etc = Path::new("/etc");
    let with_prefix = std::fs::read_dir(etc)
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| {
            etc::SHOWN_PREFIXES
                .iter()
                .any(|prefix| entry.file_name().as_encoded_bytes().starts_with(prefix.as_bytes()))
        })
        .map(|entry| entry.path());
    for path in etc::SHOWN.iter().map(|name| etc.join(name)).chain(with_prefix) {
        // A link into /usr stays a link; a link elsewhere leads to what the sandbox must not see.
        match std::fs::read_link(&path) {
            Ok(target) if leads_into_usr(&target) => view.links.push((path, target)),
            Ok(_) => {}
            Err(_) if path.exists() => view.system.push(capture_read_only(&path, &path)?),
            Err(_) => {}
        }
    }
    Ok(())
}

/// Whether a link in `/etc` leads below `/usr`: absolutely, or by leading `..` only.
fn leads_into_usr(target: &Path) -> bool {
    let up = |part: &Component<'_>| matches!(part, Component::RootDir | Component::ParentDir);
    let mut down = target.components().skip_while(up);
    // A first part that nothing led up to would be a neighbour in /etc.
    target.components().next().as_ref().is_some_and(up)
        && down.next() == Some(Component::Normal("usr".as_ref()))
        && !down.any(|part| part == Component::ParentDir)
}

fn capture_read_only(source: &Path, target: &Path) -> Result<Captured, StepError> {
    capture_with(source, target, READ_ONLY)
}

/// open_tree(2) with a copy of the mounts below as well: without them the kernel refuses, because
/// they might hide something, and a host that mounts `/usr/local` apart would lack it.
fn capture_with(source: &Path, target: &Path, attributes: u64) -> Result<Captured, StepError> {
    let flags =
        OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_RECURSIVE;
    let tree = open_tree(CWD, source, flags).step_with(|| format!("open {}", source.display()))?;
    let status = rustix::fs::fstat(&tree).step_with(|| format!("stat {}", source.display()))?;
    // While it is detached: the view is never reachable with more rights than these.
    sys::mount_setattr(tree.as_fd(), attributes, true)
        .step_with(|| format!("restrict {}", source.display()))?;
    let is_directory = FileType::from_raw_mode(status.st_mode).is_dir();
    Ok(Captured { tree, target: target.to_owned(), is_directory })
}

/// Builds the root file system and makes it the root of this process.
pub(crate) fn build(view: HostView, spec: &JailSpec) -> Result<(), StepError> {
    enter_empty_root()?;
    for directory in EMPTY_DIRECTORIES {
        make_directory(Path::new(directory))?;
    }
    make_way(Path::new("/root"))?;
    let spec_links = spec.symlinks.iter().map(|link| (&link.link, &link.target));
    for (link, target) in view.links.iter().map(|(link, target)| (link, target)).chain(spec_links) {
        make_link(link, target)?;
    }
    for (name, contents) in etc::generated(&spec.etc) {
        write_file(&Path::new("/etc").join(name), &contents)?;
    }
    for (name, target) in [
        ("fd", "/proc/self/fd"),
        ("stdin", "/proc/self/fd/0"),
        ("stdout", "/proc/self/fd/1"),
        ("stderr", "/proc/self/fd/2"),
    ] {
        make_link(&Path::new("/dev").join(name), Path::new(target))?;
    }
    for captured in view.system {
        attach(captured)?;
    }
    // After the system's own, so that a prefix below /usr or /opt lands on top of it.
    mount_tmp(spec.tmp_bytes)?;
    for captured in view.binds {
        attach(captured)?;
    }
    restrict_proc()?;
    make_root_read_only()
}

/// Mounts an empty tmpfs, with a /proc in it, and makes it the root.
fn enter_empty_root() -> Result<(), StepError> {
    let flags = MountFlags::NOSUID | MountFlags::NODEV;
    mount("lambd", STAGE, "tmpfs", flags, ROOT_OPTIONS).step("mount root tmpfs")?;
    rustix::process::chdir(STAGE).step("enter root tmpfs")?;
    rustix::fs::mkdir("proc", Mode::from_raw_mode(0o555)).step("make /proc")?;
    // While the host's /proc is still in this mount namespace: the kernel allows a new one in a
    // user namespace only where a fully visible one is present (user_namespaces(7)).
    mount("proc", "proc", "proc", flags | MountFlags::NOEXEC, None).step("mount /proc")?;
    // pivot_root(2), NOTES: with "." twice the old root ends up on top of the new one, and unmounting
    // it uncovers the new one; no directory for the old root is needed.
    rustix::process::pivot_root(".", ".").step("pivot_root")?;
    unmount(".", UnmountFlags::DETACH).step("detach the host's root")?;
    rustix::process::chdir("/").step("enter new root")
}

/// Puts a captured mount at its place.
fn attach(captured: Captured) -> Result<(), StepError> {
    let target = &captured.target;
    if captured.is_directory {
        make_way(target)?;
    } else if std::fs::metadata(target).is_err() {
        write_file(target, "")?;
    }
    // T_SYMLINKS: a target may lie behind a link such as /lib, or be one, such as /bin/sh.
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_SYMLINKS;
    move_mount(&captured.tree, "", CWD, target, flags).step_with(|| format!("attach {}", target.display()))
}

fn mount_tmp(bytes: u64) -> Result<(), StepError> {
    make_directory(Path::new("/tmp"))?;
    let options = CString::new(format!("size={bytes},mode=1777")).step("options of /tmp")?;
    mount("tmp", "/tmp", "tmpfs", MountFlags::NOSUID | MountFlags::NODEV, options.as_c_str())
        .step("mount /tmp")
}

/// Covers what a function must not see or change in /proc. Entries the kernel lacks are no loss.
fn restrict_proc() -> Result<(), StepError> {
    let cover = |source: &str, target: &str, attributes: u64| -> Result<(), StepError> {
        if std::fs::symlink_metadata(target).is_err() {
            return Ok(());
        }
        attach(capture_with(Path::new(source), Path::new(target), attributes)?)
    };
    let attributes = READ_ONLY & !sys::MOUNT_NO_DEV;
    for path in PROC_MASKED {
        cover("/dev/null", path, attributes)?;
    }
    for path in PROC_HIDDEN {
        cover("/dev/shm", path, READ_ONLY)?;
    }
    for path in PROC_READ_ONLY {
        cover(path, path, READ_ONLY)?;
    }
    Ok(())
}

/// Last, because everything before writes to the root.
fn make_root_read_only() -> Result<(), StepError> {
    let root = rustix::fs::open("/", OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
        .step("open new root")?;
    sys::mount_setattr(root.as_fd(), READ_ONLY, false).step("make root read-only")
}

fn make_directory(path: &Path) -> Result<(), StepError> {
    std::fs::create_dir_all(path).step_with(|| format!("make directory {}", path.display()))
}

/// Makes a directory to mount on. Directories that are only on the way to it, such as /root on the way to
/// a toolchain, can be passed but not listed: what is beside the toolchain is nobody's business.
fn make_way(path: &Path) -> Result<(), StepError> {
    let mut way = std::fs::DirBuilder::new();
    way.recursive(true).mode(0o711).create(path).step_with(|| format!("make way to {}", path.display()))
}

fn make_parent(path: &Path) -> Result<(), StepError> {
    path.parent().map_or(Ok(()), make_directory)
}

fn make_link(link: &Path, target: &Path) -> Result<(), StepError> {
    make_parent(link)?;
    match std::os::unix::fs::symlink(target, link) {
        // An empty directory made above gives way, so that for example /opt can be a link.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => std::fs::remove_dir(link)
            .and_then(|()| std::os::unix::fs::symlink(target, link))
            .step_with(|| format!("replace {} by a link", link.display())),
        other => other.step_with(|| format!("make link {}", link.display())),
    }
}

fn write_file(path: &Path, contents: &str) -> Result<(), StepError> {
    make_parent(path)?;
    std::fs::write(path, contents).step_with(|| format!("make file {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_links_into_usr_are_kept() {
        for (target, kept) in [
            ("/usr/share/zoneinfo/UTC", true),
            ("../usr/lib/os-release", true),
            ("/var/lib/secret", false),
            ("../root/x", false),
            ("/usr/../root/x", false),
            ("usr/../../root", false),
            ("passwd", false),
            ("usr/share/x", false),
        ] {
            assert_eq!(leads_into_usr(Path::new(target)), kept, "{target}");
        }
    }
}
