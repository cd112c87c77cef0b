//! System calls that have no safe wrapper elsewhere: all `unsafe` code of the project but that of `volume`.
//!
//! Each function does one call and leaves every decision to its caller.

use std::ffi::{CStr, CString, c_int};
use std::io;
use std::mem;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::ptr;

use crate::protocol::Event;

fn check(result: libc::c_long) -> io::Result<libc::c_long> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// Which side of a clone or fork this is.
pub(crate) enum Side<P> {
    Parent(P),
    Child,
}

/// The new process as its parent sees it.
pub(crate) struct Cloned {
    pub(crate) pid: i32,
    pub(crate) pidfd: OwnedFd,
}

/// Wider than the type of the other flags, which libc gives it as well.
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

/// clone3(2) without shared memory: a fork into the namespaces that `flags` name, with a pidfd, and
/// with `cgroup` (a directory of cgroup v2) as its home if given.
///
/// # Safety
/// The calling process must have a single thread. Otherwise the child would inherit locks (the
/// allocator's, for one) whose owners do not exist in it.
pub(crate) unsafe fn clone_process(flags: u64, cgroup: Option<BorrowedFd<'_>>) -> io::Result<Side<Cloned>> {
    let mut pidfd: RawFd = -1;
    // SAFETY: `clone_args` is a plain structure of integers, for which all zeroes is a valid value
    // and means "nothing of this".
    let mut args: libc::clone_args = unsafe { mem::zeroed() };
    args.flags = flags | libc::CLONE_PIDFD as u64;
    args.pidfd = ptr::from_mut(&mut pidfd) as u64;
    args.exit_signal = libc::SIGCHLD as u64;
    if let Some(cgroup) = cgroup {
        args.flags |= CLONE_INTO_CGROUP;
        args.cgroup = cgroup.as_raw_fd() as u64;
    }
    // SAFETY: `args` and `pidfd` live across the call and their size is passed along. No stack and no
    // CLONE_VM are given, so the child runs on a copy of this stack exactly as after fork(2); that the
    // copied memory is consistent is the caller's promise of a single thread.
    let pid =
        check(unsafe { libc::syscall(libc::SYS_clone3, &raw mut args, size_of::<libc::clone_args>()) })?;
    if pid == 0 {
        return Ok(Side::Child);
    }
    // SAFETY: in the parent of a successful CLONE_PIDFD clone, `pidfd` is a new descriptor that
    // nothing else owns.
    let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
    Ok(Side::Parent(Cloned { pid: pid as i32, pidfd }))
}

/// fork(2).
///
/// # Safety
/// As for [`clone_process`]: the calling process must have a single thread.
pub(crate) unsafe fn fork() -> io::Result<Side<i32>> {
    // SAFETY: fork(2) takes no pointers; that the child's memory is usable is the caller's promise.
    match check(unsafe { libc::fork() }.into())? {
        0 => Ok(Side::Child),
        pid => Ok(Side::Parent(pid as i32)),
    }
}

/// clone(2) as fork(2) with a pidfd, for places where filters refuse clone3(2), whose flags they cannot
/// see: most containers.
///
/// # Safety
/// As for [`clone_process`].
pub(crate) unsafe fn clone_plain() -> io::Result<Side<Cloned>> {
    let mut pidfd: RawFd = -1;
    let flags = (libc::CLONE_PIDFD | libc::SIGCHLD) as libc::c_long;
    // SAFETY: `pidfd`, the third argument on all architectures, lives across the call. No stack and no
    // CLONE_VM are given, see `clone_process`.
    let pid = check(unsafe { libc::syscall(libc::SYS_clone, flags, 0, &raw mut pidfd, 0, 0) })?;
    if pid == 0 {
        return Ok(Side::Child);
    }
    // SAFETY: in the parent of a successful CLONE_PIDFD clone, `pidfd` is a new descriptor that
    // nothing else owns.
    let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
    Ok(Side::Parent(Cloned { pid: pid as i32, pidfd }))
}

/// Sends a signal to every process that this one may send signals to, itself and process 1 apart: kill(2)
/// with -1.
pub(crate) fn kill_all_reachable(signal: rustix::process::Signal) -> io::Result<()> {
    // SAFETY: no pointers.
    check(unsafe { libc::kill(-1, signal.as_raw()) }.into())?;
    Ok(())
}

/// Waits until a child has ended, or for this long. `SIGCHLD` must be blocked.
pub(crate) fn wait_for_child(longest: std::time::Duration) {
    // SAFETY: `sigset_t` is plain memory that sigemptyset initialises.
    let set = unsafe {
        let mut set: libc::sigset_t = mem::zeroed();
        libc::sigemptyset(&raw mut set);
        libc::sigaddset(&raw mut set, libc::SIGCHLD);
        set
    };
    let timeout = libc::timespec {
        tv_sec: longest.as_secs() as libc::time_t,
        tv_nsec: longest.subsec_nanos() as libc::c_long,
    };
    // SAFETY: both structures are initialised and live across the call; no information is asked for.
    unsafe { libc::sigtimedwait(&raw const set, ptr::null_mut(), &raw const timeout) };
}

/// Ends this process at once, without running destructors or exit handlers that belong to the
/// process it was forked from.
pub(crate) fn exit_now(code: i32) -> ! {
    // SAFETY: _exit(2) has no preconditions and does not return.
    unsafe { libc::_exit(code) }
}

/// execve(2); returns only on failure.
pub(crate) fn execve(path: &CStr, args: &[CString], env: &[CString]) -> io::Error {
    let pointers = |strings: &[CString]| -> Vec<*const libc::c_char> {
        strings.iter().map(|s| s.as_ptr()).chain([ptr::null()]).collect()
    };
    let (args, env) = (pointers(args), pointers(env));
    // SAFETY: `path` and every element of both arrays are NUL-terminated strings that outlive the
    // call, and both arrays end with a null pointer.
    unsafe { libc::execve(path.as_ptr(), args.as_ptr(), env.as_ptr()) };
    io::Error::last_os_error()
}

/// faccessat2(2): whether the effective user may execute a file or pass a directory.
pub(crate) fn may_execute(path: &CStr) -> io::Result<()> {
    // SAFETY: the path is NUL-terminated and outlives the call, which writes nothing.
    check(unsafe {
        libc::syscall(libc::SYS_faccessat2, libc::AT_FDCWD, path.as_ptr(), libc::X_OK, libc::AT_EACCESS)
    })?;
    Ok(())
}

/// close_range(2), both ends included.
pub(crate) fn close_range(first: RawFd, last: RawFd) -> io::Result<()> {
    // SAFETY: no pointers. Callers are processes that were just cloned or executed, in which no
    // value that owns a descriptor of the range is used or dropped afterwards.
    check(unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) })?;
    Ok(())
}

/// close_range(2) that leaves the descriptors open until the next execve(2).
pub(crate) fn close_range_on_exec(first: RawFd) -> io::Result<()> {
    // SAFETY: no pointers, and nothing is closed while this program runs.
    check(unsafe {
        libc::syscall(libc::SYS_close_range, first, RawFd::MAX, libc::CLOSE_RANGE_CLOEXEC as c_int)
    })?;
    Ok(())
}

/// `MOUNT_ATTR_RDONLY` of mount_setattr(2): no writing through this mount.
pub(crate) const MOUNT_READ_ONLY: u64 = 0x1;
/// `MOUNT_ATTR_NOSUID`: no rights from set-user-id bits or file capabilities.
pub(crate) const MOUNT_NO_SUID: u64 = 0x2;
/// `MOUNT_ATTR_NODEV`: device nodes do not open.
pub(crate) const MOUNT_NO_DEV: u64 = 0x4;

#[repr(C)]
struct MountAttr {
    attr_set: u64,
    attr_clr: u64,
    propagation: u64,
    userns_fd: u64,
}

/// mount_setattr(2): sets attributes of the mount `fd` refers to, and of those below it if
/// `recursive`, and makes them private: what others mount or unmount has no effect on them any more.
pub(crate) fn restrict_mount(fd: BorrowedFd<'_>, attributes: u64, recursive: bool) -> io::Result<()> {
    let attr = MountAttr { attr_set: attributes, attr_clr: 0, propagation: libc::MS_PRIVATE, userns_fd: 0 };
    let flags = libc::AT_EMPTY_PATH | if recursive { libc::AT_RECURSIVE } else { 0 };
    // SAFETY: the path is a NUL-terminated literal; `attr` has the layout of `struct mount_attr`
    // (mount_setattr(2)), lives across the call, and its size is passed along.
    check(unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            fd.as_raw_fd(),
            c"".as_ptr(),
            flags,
            &raw const attr,
            size_of::<MountAttr>(),
        )
    })?;
    Ok(())
}

/// Moves this process into a new cgroup namespace, whose root is its present cgroup.
pub(crate) fn unshare_cgroup_namespace() -> io::Result<()> {
    // SAFETY: no pointers; CLONE_NEWCGROUP changes only what this process sees as cgroup root.
    check(unsafe { libc::unshare(libc::CLONE_NEWCGROUP) }.into())?;
    Ok(())
}

/// Gives this process a copy of its mount namespace for its own.
pub(crate) fn unshare_mounts() -> io::Result<()> {
    // SAFETY: no pointers; CLONE_NEWNS changes only which mounts this process sees.
    check(unsafe { libc::unshare(libc::CLONE_NEWNS) }.into())?;
    Ok(())
}

/// Sets the flags `IFF_UP` and `IFF_RUNNING` of the loopback interface, see netdevice(7).
pub(crate) fn loopback_up(socket: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: `ifreq` is a plain structure of integers and byte arrays; all zeroes is valid.
    let mut request: libc::ifreq = unsafe { mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(b"lo") {
        *to = *from as libc::c_char;
    }
    request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as libc::c_short;
    // SAFETY: SIOCSIFFLAGS reads an `ifreq`, which lives across the call, with a NUL-terminated name
    // and the flags member of the union set.
    check(unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS as _, &raw const request) }.into())?;
    Ok(())
}

/// Blocks `SIGCHLD` and returns a signalfd(2) that becomes readable when a child ends.
pub(crate) fn child_signal_fd() -> io::Result<OwnedFd> {
    // SAFETY: `sigset_t` is plain memory that sigemptyset initialises; both calls get a pointer to a
    // local that lives across them.
    let set = unsafe {
        let mut set: libc::sigset_t = mem::zeroed();
        libc::sigemptyset(&raw mut set);
        libc::sigaddset(&raw mut set, libc::SIGCHLD);
        set
    };
    // SAFETY: `set` is initialised and the old mask is not asked for.
    check(unsafe { libc::sigprocmask(libc::SIG_BLOCK, &raw const set, ptr::null_mut()) }.into())?;
    // SAFETY: `set` is initialised; -1 asks for a new descriptor.
    let fd =
        check(unsafe { libc::signalfd(-1, &raw const set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK) }.into())?;
    // SAFETY: a successful signalfd(2) returned this descriptor and nothing else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as RawFd) })
}

/// Ignores signals that would end a process which must end by end of file only.
pub(crate) fn ignore_signals(signals: &[c_int]) {
    for signal in signals {
        // SAFETY: SIG_IGN installs no handler, so no code of ours can run in signal context.
        unsafe { libc::signal(*signal, libc::SIG_IGN) };
    }
}

/// Gives every signal its default disposition and unblocks all: what a program expects at its
/// start, and what execve(2) does not do for ignored and blocked signals.
pub(crate) fn reset_signals() -> io::Result<()> {
    /// Number of signals, and bytes of a signal set, of the kernel's interface.
    const SIGNALS: c_int = 64;
    const SET_SIZE: usize = 8;
    // All zeroes: `SIG_DFL`, no flags, no restorer, empty mask; large enough for every architecture's
    // `struct sigaction`, which has four fields of at most a word.
    let default = [0_u64; 4];
    for signal in 1..=SIGNALS {
        // SAFETY: `default` lives across the call and installs no handler. The C library's function
        // would refuse the two signals it keeps for itself, which a parent may have left ignored.
        // SIGKILL and SIGSTOP are refused by an error that is of no interest.
        unsafe {
            libc::syscall(libc::SYS_rt_sigaction, signal, default.as_ptr(), ptr::null::<u64>(), SET_SIZE);
        }
    }
    let none = 0_u64;
    // SAFETY: `none` is a signal set of the size passed along and lives across the call.
    check(unsafe {
        libc::syscall(
            libc::SYS_rt_sigprocmask,
            libc::SIG_SETMASK,
            &raw const none,
            ptr::null::<u64>(),
            SET_SIZE,
        )
    })?;
    Ok(())
}

/// How a child ended.
#[derive(Clone, Copy)]
pub(crate) struct Reaped {
    pub(crate) pid: i32,
    /// `Ok` with the exit code, `Err` with the signal.
    pub(crate) status: Result<i32, i32>,
    pub(crate) max_rss_bytes: u64,
}

impl Reaped {
    /// What the daemon is told if that was the function's process.
    pub(crate) fn event(&self) -> Event {
        let max_rss_bytes = self.max_rss_bytes;
        match self.status {
            Ok(code) => Event::Exited { code, max_rss_bytes },
            Err(signal) => Event::Signaled { signal, max_rss_bytes },
        }
    }
}

/// Reaps one child that has ended, see wait4(2); `None` when there is none at the moment.
pub(crate) fn reap() -> Option<Reaped> {
    let mut status: c_int = 0;
    // SAFETY: `rusage` is a plain structure of integers; all zeroes is valid.
    let mut usage: libc::rusage = unsafe { mem::zeroed() };
    // SAFETY: both pointers are to locals that live across the call.
    let pid = unsafe { libc::wait4(-1, &raw mut status, libc::WNOHANG, &raw mut usage) };
    if pid <= 0 {
        return None;
    }
    let status =
        if libc::WIFSIGNALED(status) { Err(libc::WTERMSIG(status)) } else { Ok(libc::WEXITSTATUS(status)) };
    Some(Reaped { pid, status, max_rss_bytes: u64::try_from(usage.ru_maxrss).unwrap_or(0) * 1024 })
}

/// Sends `SIGTERM` to a child; one that has ended is no matter.
pub(crate) fn terminate(pid: i32) {
    if let Some(pid) = rustix::process::Pid::from_raw(pid) {
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
    }
}

/// Waits for the end of a child: its exit code, or the signal that ended it.
pub(crate) fn wait_for(pid: i32) -> io::Result<Result<i32, i32>> {
    let mut status: c_int = 0;
    loop {
        // SAFETY: `status` lives across the call.
        match check(unsafe { libc::waitpid(pid, &raw mut status, 0) }.into()) {
            Ok(_) if libc::WIFSIGNALED(status) => return Ok(Err(libc::WTERMSIG(status))),
            Ok(_) => return Ok(Ok(libc::WEXITSTATUS(status))),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// Installs a seccomp filter for this thread, which must be the only one; see seccomp(2).
pub(crate) fn install_filter(program: &[libc::sock_filter]) -> io::Result<()> {
    set_filter(program, 0).map(drop)
}

/// The same, with a file on which calls that the filter asks about can be received.
pub(crate) fn install_filter_with_questions(program: &[libc::sock_filter]) -> io::Result<OwnedFd> {
    let fd = set_filter(program, libc::SECCOMP_FILTER_FLAG_NEW_LISTENER)?;
    // SAFETY: with this flag the call returns a new descriptor that nothing else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as RawFd) })
}

fn set_filter(program: &[libc::sock_filter], flags: libc::c_ulong) -> io::Result<libc::c_long> {
    let length = u16::try_from(program.len()).map_err(|_| io::Error::from_raw_os_error(libc::EINVAL))?;
    let program = libc::sock_fprog { len: length, filter: program.as_ptr().cast_mut() };
    // SAFETY: `program` points to as many instructions as it says, and both live across the call; the
    // kernel copies and checks them and, despite the pointer's type, never writes.
    check(unsafe {
        libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, flags, &raw const program)
    })
}

/// A call that waits for an answer.
pub(crate) struct Question {
    pub(crate) id: u64,
    /// Number of the calling thread.
    pub(crate) caller: u32,
    /// Number of the call.
    pub(crate) call: i64,
    pub(crate) args: [u64; 6],
}

/// Requests of seccomp_unotify(2): their numbers contain the size of what they take.
const RECEIVE: u32 = 0xc050_2100;
const SEND: u32 = 0xc018_2101;
const ID_VALID: u32 = 0x4008_2102;

/// Takes the next call that waits for an answer.
pub(crate) fn receive_question(questions: BorrowedFd<'_>) -> io::Result<Question> {
    // SAFETY: `seccomp_notif` is a plain structure of integers; the kernel demands all zeroes.
    let mut notification: libc::seccomp_notif = unsafe { mem::zeroed() };
    // SAFETY: the request fills the structure, whose size is in its number, and which lives across it.
    check(unsafe { libc::ioctl(questions.as_raw_fd(), RECEIVE as _, &raw mut notification) }.into())?;
    Ok(Question {
        id: notification.id,
        caller: notification.pid,
        call: notification.data.nr.into(),
        args: notification.data.args,
    })
}

/// Whether the caller of a call still waits; an error if not.
pub(crate) fn question_is_open(questions: BorrowedFd<'_>, id: u64) -> io::Result<()> {
    // SAFETY: the request reads one u64, which lives across it.
    check(unsafe { libc::ioctl(questions.as_raw_fd(), ID_VALID as _, &raw const id) }.into())?;
    Ok(())
}

/// Lets a waiting call return: success for zero, else this error number.
pub(crate) fn answer_call(questions: BorrowedFd<'_>, id: u64, errno: i32) -> io::Result<()> {
    send_answer(questions, libc::seccomp_notif_resp { id, val: 0, error: -errno, flags: 0 })
}

/// Lets the kernel execute a waiting call.
pub(crate) fn let_call_go_on(questions: BorrowedFd<'_>, id: u64) -> io::Result<()> {
    let flags = libc::SECCOMP_USER_NOTIF_FLAG_CONTINUE as u32;
    send_answer(questions, libc::seccomp_notif_resp { id, val: 0, error: 0, flags })
}

fn send_answer(questions: BorrowedFd<'_>, answer: libc::seccomp_notif_resp) -> io::Result<()> {
    // SAFETY: the request reads the structure, whose size is in its number, and which lives across it.
    check(unsafe { libc::ioctl(questions.as_raw_fd(), SEND as _, &raw const answer) }.into())?;
    Ok(())
}

const _: () =
    assert!(size_of::<libc::seccomp_notif>() == 0x50 && size_of::<libc::seccomp_notif_resp>() == 0x18);

/// A system call by number with harmless arguments, to learn whether the kernel has it: `true`
/// unless it answers `ENOSYS`.
pub(crate) fn has_syscall(number: libc::c_long) -> bool {
    // SAFETY: every pointer argument is null and every size zero, which each probed call refuses
    // before it does anything (`probe` lists them).
    let result = unsafe { libc::syscall(number, 0, 0, 0, 0, 0, 0) };
    if let Ok(fd) = RawFd::try_from(result)
        && fd > 2
    {
        // SAFETY: a call that succeeded against expectation returned a descriptor nobody owns.
        drop(unsafe { OwnedFd::from_raw_fd(fd) });
    }
    result >= 0 || io::Error::last_os_error().raw_os_error() != Some(libc::ENOSYS)
}

/// The version of the Landlock interface, see landlock_create_ruleset(2).
pub(crate) fn landlock_abi() -> Option<u32> {
    const CREATE_RULESET_VERSION: u32 = 1;
    // SAFETY: with this flag the call takes no structure and only returns a number.
    let version = unsafe {
        libc::syscall(libc::SYS_landlock_create_ruleset, ptr::null::<u8>(), 0_usize, CREATE_RULESET_VERSION)
    };
    u32::try_from(version).ok().filter(|version| *version > 0)
}

/// Whether seccomp(2) knows the action "return an error number".
pub(crate) fn seccomp_has_errno_action() -> bool {
    const GET_ACTION_AVAIL: libc::c_uint = 2;
    let action: u32 = libc::SECCOMP_RET_ERRNO;
    // SAFETY: the call reads one u32, which lives across it.
    unsafe { libc::syscall(libc::SYS_seccomp, GET_ACTION_AVAIL, 0, &raw const action) == 0 }
}

/// Tries, in a throw-away child, the namespaces of a sandbox and a mount of /proc in them. Returns
/// the number of the failed step (1 clone, 2 private mounts, 3 mount of proc) and the error.
pub(crate) fn try_namespaces(flags: u64) -> Result<(), (u8, i32)> {
    // SAFETY: plain structure of integers, see `clone_process`.
    let mut args: libc::clone_args = unsafe { mem::zeroed() };
    args.flags = flags;
    args.exit_signal = libc::SIGCHLD as u64;
    // SAFETY: as in `clone_process`, but the caller may have threads: therefore the child below calls
    // nothing but system calls on literals, takes no lock, allocates nothing, and ends by _exit(2).
    let pid = unsafe { libc::syscall(libc::SYS_clone3, &raw mut args, size_of::<libc::clone_args>()) };
    if pid < 0 {
        return Err((1, io::Error::last_os_error().raw_os_error().unwrap_or(0)));
    }
    if pid == 0 {
        // SAFETY: literals only; errno is this thread's own. The exit status carries the step in the
        // top bit and the errno, all below 128 for these calls, in the rest.
        unsafe {
            let private = libc::MS_REC | libc::MS_PRIVATE;
            if libc::mount(ptr::null(), c"/".as_ptr(), ptr::null(), private, ptr::null()) != 0 {
                libc::_exit(*libc::__errno_location() & 0x7f);
            }
            if libc::mount(c"proc".as_ptr(), c"/proc".as_ptr(), c"proc".as_ptr(), 0, ptr::null()) != 0 {
                libc::_exit(0x80 | (*libc::__errno_location() & 0x7f));
            }
            libc::_exit(0);
        }
    }
    let mut status: c_int = 0;
    // SAFETY: waits for the child made above; `status` lives across the call.
    while unsafe { libc::waitpid(pid as i32, &raw mut status, 0) } < 0 {
        if io::Error::last_os_error().kind() != io::ErrorKind::Interrupted {
            return Err((1, libc::ECHILD));
        }
    }
    match libc::WEXITSTATUS(status) {
        _ if !libc::WIFEXITED(status) => Err((1, libc::ECHILD)),
        0 => Ok(()),
        code if code & 0x80 != 0 => Err((3, code & 0x7f)),
        code => Err((2, code)),
    }
}
