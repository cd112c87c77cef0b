//! The root file system of a sandbox: a small read-only tmpfs with read-only views of the host's system,
//! or of a directory that holds another.
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
//!
//! | module      | idea                                                               |
//! |-------------|--------------------------------------------------------------------|
//! | `host`      | what is seen of the host's own system                              |
//! | `directory` | what is seen of a directory that holds a root file system          |
//! | `resolve`   | where a path leads inside such a directory                         |
//! | `captured`  | detached copies of mounts                                          |
//! | `files`     | directories, links and files of the tmpfs                          |
//! | `proc`      | what of `/proc` is covered                                         |

mod captured;
mod directory;
mod files;
mod host;
mod proc;
mod resolve;

use std::ffi::CString;
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use rustix::mount::{MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_change, unmount};

use self::captured::{Captured, READ_ONLY};
use crate::error::{Step, StepError};
use crate::etc;
use crate::protocol::{Bind, JailSpec, Root};
use crate::sys;

/// Limits of the root tmpfs. It holds directories, links and the files of `/etc` only; how many there are
/// depends on the directories of an image that have to be opened up.
const ROOT_OPTIONS: &std::ffi::CStr = c"size=1m,nr_inodes=16384,mode=755";

/// Where the root tmpfs is mounted for a moment, until it becomes the root. Any directory that
/// surely exists would do: what it hides has been captured before.
const STAGE: &str = "/usr";

/// Where generated files lie while they are mounted over those of an image; gone afterwards.
const STASH: &str = "/.lambd";

/// Device nodes of `/dev`: those that hold no state and reach no hardware.
const DEVICES: &[&str] = &["null", "zero", "full", "random", "urandom"];

/// Directories that exist in AWS's environment whether or not something is mounted there.
pub(crate) const EMPTY_DIRECTORIES: &[&str] =
    &["/mnt", "/opt", "/run", "/var/runtime", "/var/task", "/var/tmp"];

/// All that the sandbox will see. Paths are those in the sandbox.
pub(crate) struct View {
    /// Directories of the tmpfs with their permissions, those above first.
    directories: Vec<(PathBuf, u32)>,
    /// Symbolic links, such as `bin -> usr/bin`, with their targets.
    links: Vec<(PathBuf, PathBuf)>,
    /// The root file system's own parts, in the order in which they are attached.
    system: Vec<Captured>,
    /// What was asked for besides.
    binds: Vec<Captured>,
    /// The directory of the generated files.
    etc: PathBuf,
    /// Whether that directory is a view and has a file by each of their names, to be mounted over.
    etc_is_covered: bool,
}

/// Copies the mounts of everything that will be seen.
pub(crate) fn capture(spec: &JailSpec) -> Result<View, StepError> {
    // The copies of the host's mounts still receive what the host mounts (mount_namespaces(7)).
    // Private first, so that neither they nor the copies taken below ever change.
    mount_change("/", MountPropagationFlags::REC | MountPropagationFlags::PRIVATE)
        .step("make mounts private")?;

    let mut view = View {
        directories: Vec::new(),
        links: Vec::new(),
        system: Vec::new(),
        binds: Vec::new(),
        etc: "/etc".into(),
        etc_is_covered: false,
    };
    for Bind { source, target } in &spec.binds {
        view.binds.push(Captured::read_only(source, target)?);
    }
    match &spec.root {
        Root::Host => host::capture(spec, &mut view)?,
        Root::Directory { path } => directory::capture(path, spec, &mut view)?,
    }
    for name in DEVICES {
        let path = Path::new("/dev").join(name);
        view.system.push(Captured::with(&path, &path, sys::MOUNT_NO_SUID)?);
    }
    Ok(view)
}

/// Builds the root file system and makes it the root of this process.
pub(crate) fn build(view: View, spec: &JailSpec) -> Result<(), StepError> {
    enter_empty_root()?;
    for (directory, mode) in &view.directories {
        files::make_with_mode(directory, *mode)?;
    }
    for (link, target) in &view.links {
        files::make_link(link, target)?;
    }
    let etc = if view.etc_is_covered { Path::new(STASH) } else { &view.etc };
    for (name, contents) in etc::generated() {
        files::write(&etc.join(name), &contents)?;
    }
    make_dev()?;
    for captured in view.system {
        captured.attach()?;
    }
    if view.etc_is_covered {
        cover_etc(&view.etc)?;
    }
    // After the system's own, so that a prefix below /usr or /opt lands on top of it.
    mount_tmp(spec.tmp_bytes)?;
    for captured in view.binds {
        captured.attach()?;
    }
    proc::restrict()?;
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

/// What of `/dev` is no device.
fn make_dev() -> Result<(), StepError> {
    files::make_directory(Path::new("/dev/shm"))?;
    for (name, target) in [
        ("fd", "/proc/self/fd"),
        ("stdin", "/proc/self/fd/0"),
        ("stdout", "/proc/self/fd/1"),
        ("stderr", "/proc/self/fd/2"),
    ] {
        files::make_link(&Path::new("/dev").join(name), Path::new(target))?;
    }
    Ok(())
}

/// Mounts the generated files over those of the image. The mounts keep them when their names are gone.
fn cover_etc(etc: &Path) -> Result<(), StepError> {
    for (name, _) in etc::generated() {
        let source = Path::new(STASH).join(name);
        Captured::read_only(&source, &etc.join(name))?.attach()?;
    }
    std::fs::remove_dir_all(STASH).step("remove the names of generated files")
}

fn mount_tmp(bytes: u64) -> Result<(), StepError> {
    files::make_directory(Path::new("/tmp"))?;
    let options = CString::new(format!("size={bytes},mode=1777")).step("options of /tmp")?;
    mount("tmp", "/tmp", "tmpfs", MountFlags::NOSUID | MountFlags::NODEV, options.as_c_str())
        .step("mount /tmp")
}

/// Last, because everything before writes to the root.
fn make_root_read_only() -> Result<(), StepError> {
    let root = rustix::fs::open("/", OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
        .step("open new root")?;
    sys::mount_setattr(root.as_fd(), READ_ONLY, false).step("make root read-only")
}
