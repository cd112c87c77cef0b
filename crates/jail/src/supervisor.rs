//! Calls of a function that the filter cannot judge by their numbers, answered by the init: see
//! seccomp_unotify(2).
//!
//! Needed only where a function has the daemon's user id, so that neither permissions nor (yet) Landlock
//! keep it from changing modes and times of that user's files, or, before Linux 6.12, from sending
//! signals to that user's processes:
//!
//! - **modes and times** are changed here in the function's place, if the file is in its own directory.
//!   Its memory and descriptors may change while they are looked at, so what is opened here is what is
//!   changed, and the kernel's own call never happens;
//! - **signals** depend on nothing but numbers in registers, which cannot change; the call goes on if the
//!   target is in the sandbox.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Mode, OFlags, ResolveFlags, Timespec, Timestamps, UTIME_NOW};

use crate::calls::{FCHMODAT2, SIGNALS};
use crate::fds;
use crate::init::Init;
use crate::sys::{self, Question};

/// Longest path of a call, see path_resolution(7).
const PATH_MAX: usize = 4096;

/// Answers for one sandbox.
pub(crate) struct Supervisor<'a> {
    questions: OwnedFd,
    /// The function's own directory.
    tmp: &'a Path,
}

/// Where the questions of a function's filter come from.
pub(crate) enum Questions<'a> {
    /// Its filter asks nothing, or all its processes have ended.
    None,
    /// The function's process is about to send the file.
    Awaited { socket: BorrowedFd<'a>, tmp: &'a Path },
    /// They come.
    Open(Supervisor<'a>),
}

impl<'a> Questions<'a> {
    pub(crate) fn of(init: &'a Init<'_>) -> Self {
        match (&init.questions, &init.request.tmp) {
            (Some((socket, _)), Some(tmp)) => Self::Awaited { socket: socket.as_fd(), tmp },
            _ => Self::None,
        }
    }

    /// Readable when there is something to serve.
    pub(crate) fn file(&self) -> Option<BorrowedFd<'_>> {
        match self {
            Self::None => None,
            Self::Awaited { socket, .. } => Some(*socket),
            Self::Open(supervisor) => Some(supervisor.questions.as_fd()),
        }
    }

    /// Serves what has come.
    pub(crate) fn serve(&mut self) {
        match self {
            Self::None => {}
            Self::Awaited { socket, tmp } => {
                let received = fds::receive_packet(*socket, &mut [0; 1]);
                let questions = received.ok().and_then(|(_, files)| files.into_iter().next());
                *self = match questions {
                    Some(questions) => Self::Open(Supervisor { questions, tmp }),
                    None => Self::None,
                };
            }
            Self::Open(supervisor) => {
                if !supervisor.answer() {
                    *self = Self::None;
                }
            }
        }
    }
}

/// What happens to a call.
enum Answer {
    /// The kernel executes it.
    GoesOn,
    /// It returns this.
    Result(io::Result<()>),
}

impl Supervisor<'_> {
    /// Answers one call; `false` when no more can come.
    fn answer(&self) -> bool {
        let question = match sys::receive_question(self.questions.as_fd()) {
            Ok(question) => question,
            // A caller that was killed meanwhile has withdrawn it.
            Err(error) => return matches!(error.raw_os_error(), Some(libc::ENOENT | libc::EINTR)),
        };
        let answer = if SIGNALS.contains(&question.call) {
            signal(&question)
        } else {
            Answer::Result(self.change(&question))
        };
        let _ = match answer {
            Answer::GoesOn => sys::let_call_go_on(self.questions.as_fd(), question.id),
            Answer::Result(result) => {
                let errno = result.err().map_or(0, |error| error.raw_os_error().unwrap_or(libc::EPERM));
                sys::answer_call(self.questions.as_fd(), question.id, errno)
            }
        };
        true
    }

    /// Changes the mode or the times of a file in the function's place.
    fn change(&self, question: &Question) -> io::Result<()> {
        let [a, b, c, d, ..] = question.args;
        let here = libc::AT_FDCWD as u64;
        match question.call {
            libc::SYS_fchmod => set_mode(&self.open_file(question, a)?, b),
            libc::SYS_fchmodat => set_mode(&self.open(question, a, b, 0)?, c),
            FCHMODAT2 => set_mode(&self.open(question, a, b, d)?, c),
            #[cfg(target_arch = "x86_64")]
            libc::SYS_chmod => set_mode(&self.open(question, here, a, 0)?, b),
            libc::SYS_utimensat => {
                let times = self.times(question, c, 1)?;
                // Without a path, the descriptor itself is meant.
                let file = if b == 0 { self.open_file(question, a) } else { self.open(question, a, b, d) };
                set_times(&file?, &times)
            }
            #[cfg(target_arch = "x86_64")]
            libc::SYS_utimes => {
                let times = self.times(question, b, 1000)?;
                set_times(&self.open(question, here, a, 0)?, &times)
            }
            #[cfg(target_arch = "x86_64")]
            libc::SYS_futimesat => {
                let times = self.times(question, c, 1000)?;
                set_times(&self.open(question, a, b, 0)?, &times)
            }
            #[cfg(target_arch = "x86_64")]
            libc::SYS_utime => {
                let times = self.seconds(question, b)?;
                set_times(&self.open(question, here, a, 0)?, &times)
            }
            _ => Err(not_permitted()),
        }
    }

    /// The file behind a descriptor of the caller, if it is in the function's own directory.
    fn open_file(&self, question: &Question, descriptor: u64) -> io::Result<OwnedFd> {
        let link = format!("/proc/{}/fd/{}", question.caller, descriptor as i32);
        let file = rustix::fs::open(link, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
        self.check_caller(question)?;
        let place = std::fs::read_link(own_link(&file))?;
        if place.starts_with(self.tmp) { Ok(file) } else { Err(not_permitted()) }
    }

    /// The file at a path as the caller means it, if it is in the function's own directory.
    fn open(&self, question: &Question, directory: u64, path: u64, flags: u64) -> io::Result<OwnedFd> {
        let path = self.path(question, path)?;
        if path.as_os_str().is_empty() {
            if flags & libc::AT_EMPTY_PATH as u64 != 0 {
                return self.open_file(question, directory);
            }
            return Err(io::Error::from_raw_os_error(libc::ENOENT));
        }
        let path = if path.is_absolute() {
            path
        } else if directory as i32 == libc::AT_FDCWD {
            std::fs::read_link(format!("/proc/{}/cwd", question.caller))?.join(path)
        } else {
            std::fs::read_link(format!("/proc/{}/fd/{}", question.caller, directory as i32))?.join(path)
        };
        self.check_caller(question)?;
        let below = path.strip_prefix(self.tmp).map_err(|_| not_permitted())?;
        let below = if below.as_os_str().is_empty() { Path::new(".") } else { below };
        let directory_flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let tmp = rustix::fs::open(self.tmp, directory_flags, Mode::empty())?;
        let mut open_flags = OFlags::PATH | OFlags::CLOEXEC;
        if flags & libc::AT_SYMLINK_NOFOLLOW as u64 != 0 {
            open_flags |= OFlags::NOFOLLOW;
        }
        // A link that leads out is refused by the kernel, and so is one that changes while it looks.
        let within = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
        match rustix::fs::openat2(tmp, below, open_flags, Mode::empty(), within) {
            Err(rustix::io::Errno::XDEV | rustix::io::Errno::AGAIN) => Err(not_permitted()),
            other => Ok(other?),
        }
    }

    /// The text at an address of the caller.
    fn path(&self, question: &Question, address: u64) -> io::Result<PathBuf> {
        let memory = self.memory(question)?;
        let mut bytes = Vec::new();
        while bytes.len() < PATH_MAX {
            let mut piece = [0; 256];
            let at = address.wrapping_add(bytes.len() as u64);
            // Not across a page: the next one may not exist.
            let length = piece.len().min(4096 - at as usize % 4096);
            let read = memory.read_at(&mut piece[..length], at).unwrap_or(0);
            let Some(text) = piece[..read].split(|byte| *byte == 0).next() else { break };
            bytes.extend_from_slice(text);
            if text.len() < read {
                return Ok(OsString::from_vec(bytes).into());
            }
            if read == 0 {
                return Err(io::Error::from_raw_os_error(libc::EFAULT));
            }
        }
        Err(io::Error::from_raw_os_error(libc::ENAMETOOLONG))
    }

    /// Access and modification time at an address of the caller: pairs of seconds and parts of a second of
    /// `unit` nanoseconds. Now, where the address is null.
    fn times(&self, question: &Question, address: u64, unit: i64) -> io::Result<Timestamps> {
        if address == 0 {
            return Ok(now());
        }
        let [a, b, c, d] = self.numbers(question, address)?;
        let time = |seconds, part: i64| Timespec { tv_sec: seconds, tv_nsec: part.wrapping_mul(unit) as _ };
        Ok(Timestamps { last_access: time(a, b), last_modification: time(c, d) })
    }

    /// The same in whole seconds.
    #[cfg(target_arch = "x86_64")]
    fn seconds(&self, question: &Question, address: u64) -> io::Result<Timestamps> {
        if address == 0 {
            return Ok(now());
        }
        let [access, modification] = self.numbers(question, address)?;
        let time = |tv_sec| Timespec { tv_sec, tv_nsec: 0 };
        Ok(Timestamps { last_access: time(access), last_modification: time(modification) })
    }

    fn numbers<const COUNT: usize>(&self, question: &Question, address: u64) -> io::Result<[i64; COUNT]> {
        let memory = self.memory(question)?;
        let mut numbers = [0; COUNT];
        for (index, number) in numbers.iter_mut().enumerate() {
            let mut bytes = [0; 8];
            memory.read_exact_at(&mut bytes, address.wrapping_add(8 * index as u64))?;
            *number = i64::from_ne_bytes(bytes);
        }
        Ok(numbers)
    }

    fn memory(&self, question: &Question) -> io::Result<File> {
        let memory = File::open(format!("/proc/{}/mem", question.caller)).map_err(|_| not_permitted())?;
        self.check_caller(question)?;
        Ok(memory)
    }

    /// Fails when the caller's number may belong to another process by now.
    fn check_caller(&self, question: &Question) -> io::Result<()> {
        sys::question_is_open(self.questions.as_fd(), question.id)
    }
}

/// Whether a signal may be sent: to the sandbox's own processes only.
fn signal(question: &Question) -> Answer {
    let target = question.args[0] as i32;
    let caller = question.caller as i32;
    let is_own = match target {
        // Of the caller's group, whose members are of its session.
        0 => true,
        // Everybody whom the caller may reach: the whole user.
        -1 => false,
        ..0 => is_below_init(-target) || group_of(caller) == Some(-target),
        _ => is_below_init(target),
    };
    if is_own { Answer::GoesOn } else { Answer::Result(Err(not_permitted())) }
}

/// Whether a process or thread is a descendant of this process.
fn is_below_init(pid: i32) -> bool {
    let own = rustix::process::getpid().as_raw_nonzero().get();
    let mut ancestors = std::iter::successors(Some(pid), |pid| stat_field(*pid, PARENT)).skip(1);
    // Numbers that are used again meanwhile could make a circle.
    ancestors.by_ref().take(4096).any(|ancestor| ancestor == own)
}

fn group_of(pid: i32) -> Option<i32> {
    stat_field(pid, GROUP)
}

/// Positions behind the name in `/proc/<pid>/stat`, see proc_pid_stat(5).
const PARENT: usize = 1;
const GROUP: usize = 2;

fn stat_field(pid: i32, index: usize) -> Option<i32> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, rest) = stat.rsplit_once(')')?;
    rest.split_ascii_whitespace().nth(index)?.parse().ok().filter(|number| *number > 0)
}

fn set_mode(file: &OwnedFd, mode: u64) -> io::Result<()> {
    // Without the bits that lend rights.
    Ok(rustix::fs::chmod(own_link(file), Mode::from_raw_mode(mode as u32 & 0o1777))?)
}

fn set_times(file: &OwnedFd, times: &Timestamps) -> io::Result<()> {
    Ok(rustix::fs::utimensat(CWD, own_link(file), times, AtFlags::empty())?)
}

/// A path that leads to exactly this file.
fn own_link(file: &OwnedFd) -> String {
    format!("/proc/self/fd/{}", file.as_raw_fd())
}

fn now() -> Timestamps {
    let now = Timespec { tv_sec: 0, tv_nsec: UTIME_NOW };
    Timestamps { last_access: now, last_modification: now }
}

fn not_permitted() -> io::Error {
    io::Error::from_raw_os_error(libc::EPERM)
}
