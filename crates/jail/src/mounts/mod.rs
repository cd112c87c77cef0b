//! The root file system of a sandbox: a small read-only tmpfs with read-only views of the host's system,
//! or of a directory that holds another.
//!
//! Two identities are needed: sources may lie below directories which only the daemon's user may enter,
//! so they are opened as that user; and a file system mounted in a user namespace can only hold files of
//! users that the namespace maps (user_namespaces(7)), so it is filled as the init's user, which cannot
//! change back. A source is therefore *captured* first: open_tree(2) makes a detached copy of its mount, and
//! from then on paths of the host do not matter any more.
//!
//! The new root is entered by pivot_root(2) *before* any directory is made in it: each absolute path from
//! there on is a path in the sandbox, and no symbolic link can lead back to the host.
//!
//! There are two ways to a root:
//!
//! - **the host's system**, which is the same for all functions, is made ahead of demand: [`prepare`] is
//!   called in a child of the init that has taken the init's user, and what it does to the mount namespace
//!   holds for both. The host's root stays mounted at [`HOST`], where no function runs yet, until
//!   [`complete`] has attached what was asked for and unmounts it. A program that is started ahead gets what it
//!   needs in between ([`show`]). Until then it follows what the host
//!   mounts and unmounts (mount_namespaces(7)), so that one that waits for long sees the new and does not
//!   hold the old;
//! - **a directory** is captured and built when it is asked for ([`capture`], [`build`]).
//!
//! For a container both are built when they are asked for, below a directory ([`capture_for_runtime`],
//! [`build_below`]); it is the runtime that makes that the root.
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
pub(crate) mod proc;
mod resolve;

use std::ffi::CString;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};

pub(crate) use self::captured::Captured;
use self::captured::READ_ONLY;
pub(crate) use self::host::SYSTEM_DIRECTORIES;
use crate::error::{Step, StepError};
use crate::etc;
use crate::protocol::{Bind, JailSpec, Root, SpawnRequest, Tmp};
use crate::sys;

/// Limits of the root tmpfs. It holds directories, links and the files of `/etc` only; how many there are
/// depends on the directories of an image that have to be opened up.
const ROOT_OPTIONS: &std::ffi::CStr = c"size=1m,nr_inodes=16384,mode=755";

/// Where the root tmpfs is mounted for a moment, until it becomes the root. Any directory that
/// surely exists would do: what it hides has been captured before.
const STAGE: &str = "/usr";

/// Where the host's root is while a prepared root waits.
const HOST: &str = "/.host";

/// Where generated files lie while they are mounted over those of an image; gone afterwards.
const STASH: &str = "/.lambd";

/// The one place where a function can write.
const TMP: &str = "/tmp";

/// Bytes of `/tmp` in memory for each file that it may hold. Files cost memory of the kernel, which the size
/// limit does not count.
const TMP_BYTES_PER_FILE: u64 = 16 * 1024;

/// Attributes of its view, if it is a directory of the host.
const WRITABLE: u64 = sys::MOUNT_NO_SUID | sys::MOUNT_NO_DEV;

/// Device nodes of `/dev`: those that hold no state and reach no hardware.
pub(crate) const DEVICES: &[&str] = &["null", "zero", "full", "random", "urandom"];

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

impl View {
    fn new() -> Self {
        Self {
            directories: Vec::new(),
            links: Vec::new(),
            system: Vec::new(),
            binds: Vec::new(),
            etc: "/etc".into(),
            etc_is_covered: false,
        }
    }

    /// First of all `/tmp`, if it is not memory: others may lie in it.
    fn capture_binds(&mut self, spec: &JailSpec) -> Result<(), StepError> {
        if let Tmp::Directory { path } = &spec.tmp {
            self.binds.push(Captured::with(path, Path::new(TMP), WRITABLE)?);
        }
        for Bind { source, target } in &spec.binds {
            self.binds.push(Captured::read_only(source, target)?);
        }
        Ok(())
    }

    fn capture_devices(&mut self) -> Result<(), StepError> {
        for name in DEVICES {
            let path = Path::new("/dev").join(name);
            // Read-only says nothing about writing to a device, only about changing its node, which is the host's.
            let attributes = sys::MOUNT_NO_SUID | sys::MOUNT_READ_ONLY;
            self.system.push(Captured::with(&path, &path, attributes)?);
        }
        Ok(())
    }

    /// Puts everything but the binds at its place.
    fn lay_out(self, request: &SpawnRequest) -> Result<Vec<Captured>, StepError> {
        for (directory, mode) in &self.directories {
            files::make_with_mode(directory, *mode)?;
        }
        for (link, target) in &self.links {
            files::make_link(link, target)?;
        }
        let etc = if self.etc_is_covered { Path::new(STASH) } else { &self.etc };
        for (name, contents) in etc::generated(&request.etc) {
            files::write(&etc.join(name), &contents)?;
        }
        make_dev()?;
        for captured in self.system {
            captured.attach()?;
        }
        if self.etc_is_covered {
            cover_etc(&self.etc)?;
        }
        proc::restrict()?;
        Ok(self.binds)
    }
}

/// Makes a root of the host's system and enters it. As the init's user.
pub(crate) fn prepare(request: &SpawnRequest) -> Result<(), StepError> {
    let mut view = View::new();
    host::capture(&mut view)?;
    view.capture_devices()?;
    enter_empty_root(HostRoot::Kept)?;
    view.lay_out(request).map(drop)
}

/// What was asked for besides the host's system. As the daemon's user.
pub(crate) fn capture_in_host(spec: &JailSpec) -> Result<Vec<Captured>, StepError> {
    let host = open_directory(HOST).step("open the host's root")?;
    let host = host.as_fd();
    let mut binds = Vec::new();
    if let Tmp::Directory { path } = &spec.tmp {
        binds.push(Captured::in_root(host, path, Path::new(TMP), WRITABLE)?);
    }
    for Bind { source, target } in &spec.binds {
        binds.push(Captured::in_root(host, source, target, READ_ONLY)?);
    }
    Ok(binds)
}

/// Puts into the prepared root what a program needs that is started ahead; `/tmp` as well, because a rule of Landlock
/// is about the file system that it sees there. As the init's user.
pub(crate) fn show(binds: Vec<Captured>, spec: &JailSpec) -> Result<(), StepError> {
    for link in &spec.symlinks {
        files::make_link(&link.link, &link.target)?;
    }
    make_tmp(&spec.tmp)?;
    spec.directories.iter().try_for_each(|directory| files::make_directory(directory))?;
    binds.into_iter().try_for_each(Captured::attach)
}

/// Completes the prepared root. Where [`show`] was called before, with `directories`, these have to go. As the init's
/// user.
pub(crate) fn complete(
    binds: Vec<Captured>,
    directories: Option<&[PathBuf]>,
    request: &SpawnRequest,
    spec: &JailSpec,
) -> Result<(), StepError> {
    unmount(HOST, UnmountFlags::DETACH).step("detach the host's root")?;
    std::fs::remove_dir(HOST).step("remove the place of the host's root")?;
    match directories {
        None => make_tmp(&spec.tmp)?,
        Some(directories) => directories.iter().try_for_each(|directory| {
            std::fs::remove_dir(directory).step_with(|| format!("remove {}", directory.display()))
        })?,
    }
    for link in &spec.symlinks {
        files::make_link(&link.link, &link.target)?;
    }
    finish(binds, request)
}

/// Copies the mounts of everything that will be seen. As the daemon's user.
pub(crate) fn capture(root: &Path, spec: &JailSpec) -> Result<View, StepError> {
    let mut view = View::new();
    view.capture_binds(spec)?;
    directory::capture(root, spec, &mut view)?;
    view.capture_devices()?;
    Ok(view)
}

/// Builds the root file system and enters it. As the init's user.
pub(crate) fn build(view: View, request: &SpawnRequest, spec: &JailSpec) -> Result<(), StepError> {
    enter_empty_root(HostRoot::Gone)?;
    let binds = view.lay_out(request)?;
    make_tmp(&spec.tmp)?;
    finish(binds, request)
}

/// Copies the mounts of everything that will be seen of either kind of root, for [`build_below`]. As the daemon's
/// user.
pub(crate) fn capture_for_runtime(spec: &JailSpec) -> Result<View, StepError> {
    let mut view = View::new();
    view.capture_binds(spec)?;
    match &spec.root {
        Root::Host => {
            host::capture(&mut view)?;
            let links = spec.symlinks.iter().map(|link| (link.link.clone(), link.target.clone()));
            view.links.extend(links);
        }
        Root::Directory { path } => directory::capture(path, spec, &mut view)?,
    }
    Ok(view)
}

/// Builds the root file system below an empty directory, for a runtime that makes it the root: without
/// devices and /proc, which each runtime mounts in its own way. As the init's user.
pub(crate) fn build_below(
    view: View,
    request: &SpawnRequest,
    spec: &JailSpec,
    directory: &Path,
) -> Result<(), StepError> {
    let flags = MountFlags::NOSUID | MountFlags::NODEV;
    mount("lambd", directory, "tmpfs", flags, ROOT_OPTIONS).step("mount root tmpfs")?;
    let host = enter(directory)?;
    files::make_directory(Path::new("/proc"))?;
    let binds = view.lay_out(request)?;
    make_tmp(&spec.tmp)?;
    finish(binds, request)?;
    leave(&host)
}

/// Makes a directory the root of this process until [`leave`], so that no symbolic link leads back to the
/// host meanwhile.
pub(crate) fn enter(directory: &Path) -> Result<OwnedFd, StepError> {
    let host = open_directory("/").step("open the host's root")?;
    rustix::process::chroot(directory).step_with(|| format!("enter {}", directory.display()))?;
    rustix::process::chdir("/").step("enter new root")?;
    Ok(host)
}

/// Goes back to the root that [`enter`] left.
pub(crate) fn leave(host: &OwnedFd) -> Result<(), StepError> {
    rustix::process::fchdir(host).step("return to the host's root")?;
    rustix::process::chroot(".").step("leave new root")
}

/// After the system's own, so that a prefix below /usr or /opt lands on top of it.
fn finish(binds: Vec<Captured>, request: &SpawnRequest) -> Result<(), StepError> {
    for captured in binds {
        captured.attach()?;
    }
    let limits = proc::seal(&request.network)?;
    make_root_read_only()?;
    limits.forbid()
}

/// Whether the host's root stays mounted for a while.
#[derive(Clone, Copy, PartialEq, Eq)]
enum HostRoot {
    /// At [`HOST`].
    Kept,
    Gone,
}

/// Mounts an empty tmpfs, with a /proc in it, and makes it the root.
fn enter_empty_root(host: HostRoot) -> Result<(), StepError> {
    let flags = MountFlags::NOSUID | MountFlags::NODEV;
    mount("lambd", STAGE, "tmpfs", flags, ROOT_OPTIONS).step("mount root tmpfs")?;
    rustix::process::chdir(STAGE).step("enter root tmpfs")?;
    rustix::fs::mkdir("proc", Mode::from_raw_mode(0o555)).step("make /proc")?;
    // While the host's /proc is still in this mount namespace: the kernel allows a new one in a
    // user namespace only where a fully visible one is present (user_namespaces(7)).
    mount("proc", "proc", "proc", flags | MountFlags::NOEXEC, None).step("mount /proc")?;
    if host == HostRoot::Kept {
        let place = HOST.trim_start_matches('/');
        rustix::fs::mkdir(place, Mode::from_raw_mode(0o700)).step("make a place for the host's root")?;
        // The roots of other processes in this mount namespace change as well, see pivot_root(2).
        rustix::process::pivot_root(".", place).step("pivot_root")?;
    } else {
        // pivot_root(2), NOTES: with "." twice the old root ends up on top of the new one, and unmounting
        // it uncovers the new one; no directory for the old root is needed.
        rustix::process::pivot_root(".", ".").step("pivot_root")?;
        unmount(".", UnmountFlags::DETACH).step("detach the host's root")?;
    }
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
    for name in etc::names() {
        let source = Path::new(STASH).join(name);
        Captured::read_only(&source, &etc.join(name))?.attach()?;
    }
    std::fs::remove_dir_all(STASH).step("remove the names of generated files")
}

/// The place of `/tmp`, and what it is unless it is a directory of the host.
fn make_tmp(tmp: &Tmp) -> Result<(), StepError> {
    files::make_directory(Path::new(TMP))?;
    let Tmp::Memory { bytes } = *tmp else { return Ok(()) };
    let files = (bytes / TMP_BYTES_PER_FILE).max(1024);
    let options =
        CString::new(format!("size={bytes},nr_inodes={files},mode=1777")).step("options of /tmp")?;
    mount("tmp", TMP, "tmpfs", MountFlags::NOSUID | MountFlags::NODEV, options.as_c_str()).step("mount /tmp")
}

fn open_directory(path: &str) -> rustix::io::Result<OwnedFd> {
    rustix::fs::open(path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
}

/// Last, because everything before writes to the root.
fn make_root_read_only() -> Result<(), StepError> {
    let root = open_directory("/").step("open new root")?;
    sys::restrict_mount(root.as_fd(), READ_ONLY, false).step("make root read-only")
}
