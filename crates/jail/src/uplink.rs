//! The program that connects a sandbox's network to the daemon's, see [`Uplink`].
//!
//! It handles whatever a function sends, so it gets no more than its work needs: the user id of the sandbox's
//! init, which owns nothing on the host; capabilities in the sandbox's user namespace alone; and no file of
//! this process. It stays in the daemon's network, where it opens sockets like any other program.

use std::collections::HashMap;
use std::ffi::CString;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{CWD, FileType, Mode, OFlags};
use rustix::mount::{MountFlags, MountPropagationFlags, mount, mount_change};
use rustix::process::{Pid, Resource, Rlimit, Signal, kill_process};
use rustix::thread::{CapabilitySet, CapabilitySets, LinkNameSpaceType, move_into_link_name_space};

use crate::error::{Step, StepError};
use crate::identity::{self, Lease};
use crate::protocol::Uplink;
use crate::sys::{self, Side};
use crate::{fds, spawner};

/// Most descriptors of an uplink. Each connection of the function takes one or a few, so this bounds what one
/// function can take of the host's ports.
const OPEN_FILES: u64 = 4096;

/// The device through which programs make network interfaces, and where it is.
const TUN: &str = "/dev/net/tun";
const TUN_DIRECTORY: &str = "/dev/net";
const TUN_DEVICE: (u32, u32) = (10, 200);

/// Where the uplink finds the namespace to enter. A path of its own rather than one in /proc: it may not look
/// into the init there, and it closes every file that it is started with. Any directory that surely exists
/// would do.
const STAGE: &str = "/tmp";
const NAMESPACE: &str = "/tmp/network";

/// The rights of an uplink in the sandbox's user namespace: to enter its network and to leave the host's
/// mounts, to make an interface, to answer on ports below 1024.
const CAPABILITIES: CapabilitySet =
    CapabilitySet::SYS_ADMIN.union(CapabilitySet::NET_ADMIN).union(CapabilitySet::NET_BIND_SERVICE);

/// The uplinks of living sandboxes.
#[derive(Default)]
pub(crate) struct Uplinks {
    /// Process ids: of each sandbox's init, its uplink's.
    by_init: HashMap<i32, i32>,
}

impl Uplinks {
    /// Starts the uplink of the sandbox with this init, whose ids are mapped. What it writes, and why it could
    /// not be started if so, goes to `log`.
    ///
    /// # Safety
    /// As for [`sys::fork`]: the calling process must have a single thread.
    pub(crate) unsafe fn start(
        &mut self,
        uplink: &Uplink,
        init: i32,
        lease: Lease,
        log: BorrowedFd<'_>,
    ) -> Result<(), StepError> {
        let open = |kind: &str| {
            let path = format!("/proc/{init}/ns/{kind}");
            rustix::fs::open(&path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
                .step_with(|| format!("open {path}"))
        };
        let namespaces = Namespaces { user: open("user")?, network: open("net")? };
        let spawner = rustix::process::getpid();
        // SAFETY: the caller's promise.
        match unsafe { sys::fork() }.step("fork the uplink")? {
            Side::Parent(pid) => {
                self.by_init.insert(init, pid);
                Ok(())
            }
            Side::Child => become_uplink(uplink, &namespaces, lease, spawner, log),
        }
    }

    /// Whether this is the process of an uplink.
    pub(crate) fn contains(&self, pid: i32) -> bool {
        self.by_init.values().any(|uplink| *uplink == pid)
    }

    /// A child of this process has been reaped. If it was an init, its uplink is killed; if it was an uplink,
    /// its sandbox is, because without its network a function would only fail in ways that nobody
    /// understands. Returns the init that was killed.
    pub(crate) fn reaped(&mut self, pid: i32) -> Option<i32> {
        if let Some(uplink) = self.by_init.remove(&pid) {
            kill(uplink);
        }
        let init = *self.by_init.iter().find(|(_, uplink)| **uplink == pid)?.0;
        self.by_init.remove(&init);
        kill(init);
        Some(init)
    }
}

impl Drop for Uplinks {
    /// The parent-death signal does this too, where no security module takes it from a program that it knows.
    fn drop(&mut self) {
        self.by_init.values().for_each(|uplink| kill(*uplink));
    }
}

/// Only for children that have not been reaped, so that the id cannot be another process's.
fn kill(child: i32) {
    if let Some(pid) = Pid::from_raw(child) {
        let _ = kill_process(pid, Signal::KILL);
    }
}

struct Namespaces {
    user: OwnedFd,
    network: OwnedFd,
}

/// Exit code of a process that never became the uplink, as shells use it.
const EXIT_NOT_STARTED: i32 = 127;

fn become_uplink(
    uplink: &Uplink,
    namespaces: &Namespaces,
    lease: Lease,
    spawner: Pid,
    log: BorrowedFd<'_>,
) -> ! {
    let error = match prepare(uplink, namespaces, lease, spawner, log) {
        Ok(program) => {
            let error = sys::execve(&program.path, &program.args, &[]);
            StepError::new(format!("execute {}", uplink.program.display()), error)
        }
        Err(error) => error,
    };
    let _ = rustix::io::write(log, format!("{error}\n").as_bytes());
    sys::exit_now(EXIT_NOT_STARTED)
}

struct Program {
    path: CString,
    args: Vec<CString>,
}

fn prepare(
    uplink: &Uplink,
    namespaces: &Namespaces,
    lease: Lease,
    spawner: Pid,
    log: BorrowedFd<'_>,
) -> Result<Program, StepError> {
    let program = program(uplink)?;
    rustix::thread::set_name(c"lambd-uplink").step("set process name")?;
    spawner::prefer_as_victim("self");
    // While this is still the daemon's user.
    if lease.may_set_groups() {
        show_tun()?;
    }
    move_into_link_name_space(namespaces.user.as_fd(), Some(LinkNameSpaceType::User))
        .step("enter the user namespace")?;
    identity::become_init(lease)?;
    // After the change of user, which clears it (prctl(2), PR_SET_PDEATHSIG); neither the rest of this nor the
    // execution of a program without rights of its own does.
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL)).step("set parent death signal")?;
    // A spawner that was killed before that has been replaced as the parent.
    if rustix::process::getppid() != Some(spawner) {
        sys::exit_now(0);
    }
    show_namespace(namespaces)?;
    let limit = Rlimit { current: Some(OPEN_FILES), maximum: Some(OPEN_FILES) };
    rustix::process::setrlimit(Resource::Nofile, limit).step("limit open files")?;
    keep_capabilities().step("keep the rights of the uplink")?;
    let null = rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())
        .step("open /dev/null")?;
    fds::replace_stdio(null.as_fd(), log).step("set standard files")?;
    sys::reset_signals().step("reset signals")?;
    sys::close_range_on_exec(3).step("close inherited files")?;
    Ok(program)
}

fn program(uplink: &Uplink) -> Result<Program, StepError> {
    let text = |bytes: &[u8]| CString::new(bytes).step("argument of uplink");
    let path = uplink.program.as_os_str().as_bytes();
    let args = [path].into_iter().chain(uplink.args.iter().map(String::as_bytes));
    let args = args.chain([NAMESPACE.as_bytes()]).map(text).collect::<Result<_, _>>()?;
    Ok(Program { path: text(path)?, args })
}

/// On most hosts everybody may open the device. Where it is root's alone, a daemon that is root may give its
/// uplinks a device node of their own, in mounts of their own.
fn show_tun() -> Result<(), StepError> {
    const EVERYBODY: u32 = 0o006;
    match rustix::fs::stat(TUN) {
        Ok(status) if status.st_mode & EVERYBODY != EVERYBODY => {}
        // If there is none, the uplink says so.
        _ => return Ok(()),
    }
    own_mounts()?;
    mount_tmpfs(TUN_DIRECTORY)?;
    let device = rustix::fs::makedev(TUN_DEVICE.0, TUN_DEVICE.1);
    let mode = Mode::from_raw_mode(0o666);
    rustix::fs::mknodat(CWD, TUN, FileType::CharacterDevice, mode, device)
        .and_then(|()| rustix::fs::chmod(TUN, mode))
        .step_with(|| format!("make {TUN}"))
}

/// Puts the network namespace where the uplink looks for it.
fn show_namespace(namespaces: &Namespaces) -> Result<(), StepError> {
    own_mounts()?;
    mount_tmpfs(STAGE)?;
    std::fs::write(NAMESPACE, "").step_with(|| format!("make {NAMESPACE}"))?;
    let link = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&namespaces.network));
    rustix::mount::mount_bind(Path::new(&link), NAMESPACE).step("bind the network namespace")
}

fn own_mounts() -> Result<(), StepError> {
    sys::unshare_mounts().step("unshare mounts")?;
    mount_change("/", MountPropagationFlags::REC | MountPropagationFlags::PRIVATE).step("make mounts private")
}

fn mount_tmpfs(directory: &str) -> Result<(), StepError> {
    mount("lambd", directory, "tmpfs", MountFlags::NOSUID | MountFlags::NOEXEC, Some(c"size=64k,mode=755"))
        .step_with(|| format!("mount tmpfs at {directory}"))
}

/// Ambient capabilities are those that a program keeps which is executed by a user other than root
/// (capabilities(7)).
fn keep_capabilities() -> std::io::Result<()> {
    // The bounding set as well: root of the user namespace would get all of that back from execve(2), and with
    // more rights than before the parent-death signal is lost.
    identity::limit_bounding_set(CAPABILITIES)?;
    let sets = CapabilitySets { effective: CAPABILITIES, permitted: CAPABILITIES, inheritable: CAPABILITIES };
    rustix::thread::set_capabilities(None, sets)?;
    for capability in CAPABILITIES.iter() {
        rustix::thread::configure_capability_in_ambient_set(capability, true)?;
    }
    Ok(())
}
