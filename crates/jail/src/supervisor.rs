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

use rustix::event::PollFlags;
use rustix::fs::{AtFlags, CWD, Mode, OFlags, ResolveFlags, Timespec, Timestamps, UTIME_NOW};

use crate::calls::{FCHMODAT2, SIGNALS};
use crate::fds;
use crate::init::Init;
use crate::sys::{self, Question};
use crate::tree::{GROUP, PARENT, stat_field};

/// Longest path of a call, see path_resolution(7).
const PATH_MAX: usize = 4096;

/// Answers for one sandbox.
pub(crate) struct Supervisor<'a> {
    questions: OwnedFd,
    /// The function's own directory.
    tmp: &'a Path,
}

/// Where the questions of a sandbox's filters come from: each of its programs has a filter of its own.
pub(crate) struct Questions<'a> {
    /// Over which programs that are about to start send their files, and how many have not yet.
    awaited: Option<(BorrowedFd<'a>, usize)>,
    open: Vec<Supervisor<'a>>,
    tmp: Option<&'a Path>,
}

impl<'a> Questions<'a> {
    /// Those of so many programs. None where filters ask nothing.
    pub(crate) fn of(init: &'a Init<'_>, programs: usize) -> Self {
        let socket = init.questions.as_ref().map(|(socket, _)| socket.as_fd());
        let awaited = socket.filter(|_| init.request.tmp.is_some()).map(|socket| (socket, programs));
        Self { awaited, open: Vec::new(), tmp: init.request.tmp.as_deref() }
    }

    /// Readable when there is something to serve.
    pub(crate) fn files(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        let awaited = self.awaited.iter().map(|(socket, _)| *socket);
        awaited.chain(self.open.iter().map(|supervisor| supervisor.questions.as_fd()))
    }

    /// Serves what has come, in the order of [`Self::files`].
    pub(crate) fn serve(&mut self, ready: &[PollFlags]) {
        let (of_awaited, of_open) = ready.split_at(ready.len().min(self.awaited.iter().len()));
        let mut ready = of_open.iter();
        self.open.retain(|supervisor| match ready.next() {
            Some(events) if events.contains(PollFlags::IN) => supervisor.answer(),
            // Receiving would wait for ever: nobody is left who could ask.
            Some(events) => events.is_empty(),
            None => true,
        });
        match of_awaited.first() {
            Some(events) if events.contains(PollFlags::IN) => self.take_file(),
            Some(events) if !events.is_empty() => self.awaited = None,
            _ => {}
        }
    }

    fn take_file(&mut self) {
        let Some((socket, left)) = self.awaited.take() else { return };
        let received = fds::receive_packet(socket, &mut [0; 1]);
        let Some(questions) = received.ok().and_then(|(_, files)| files.into_iter().next()) else { return };
        self.awaited = (left > 1).then_some((socket, left - 1));
        self.open.extend(self.tmp.map(|tmp| Supervisor { questions, tmp }));
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
        // The lowest number has no opposite, and is no group's.
        ..0 => target
            .checked_neg()
            .is_some_and(|group| is_below_init(group) || stat_field(caller, GROUP) == Some(group)),
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

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::process::{Command, Stdio};
    use std::sync::mpsc;
    use std::time::{Duration, SystemTime};

    use rustix::event::{PollFd, poll};
    use rustix::io::Errno;

    use super::*;
    use crate::filter::Filters;
    use crate::filter::tests::process;
    use crate::identity::Lease;
    use crate::protocol::Network;

    /// Runs `work` on a thread with the filter of a function that has the daemon's user on an old kernel, and
    /// answers its questions.
    fn supervised(tmp: &Path, work: impl FnOnce() + Send) {
        let (sender, receiver) = mpsc::channel();
        std::thread::scope(|scope| {
            let function = scope.spawn(move || {
                // Both for this thread alone.
                rustix::thread::set_no_new_privs(true).expect("no_new_privs");
                let mut filters = Filters::default();
                let filter = filters.get(process(Lease::Own, Network::Host, Some(1)));
                sender.send(filter.install().expect("installs").expect("asks")).expect("sends");
                work();
            });
            let supervisor = Supervisor { questions: receiver.recv().expect("installed"), tmp };
            while !function.is_finished() {
                let mut polled = [PollFd::new(&supervisor.questions, PollFlags::IN)];
                let soon = rustix::event::Timespec { tv_sec: 0, tv_nsec: 10_000_000 };
                poll(&mut polled, Some(&soon)).expect("waits");
                if polled[0].revents().contains(PollFlags::IN) {
                    assert!(supervisor.answer());
                }
            }
        });
    }

    fn mode(path: &Path) -> u32 {
        std::fs::metadata(path).expect("metadata").permissions().mode() & 0o7777
    }

    #[test]
    fn only_own_files_are_changed() {
        let outside = tempfile::tempdir().expect("temporary directory");
        let outside_path = outside.path().canonicalize().expect("exists");
        let tmp = outside_path.join("tmp");
        std::fs::create_dir_all(tmp.join("below")).expect("mkdir");
        let (own, other) = (tmp.join("below/file"), outside_path.join("other"));
        for path in [&own, &other] {
            std::fs::write(path, "x").expect("write");
            std::fs::set_permissions(path, PermissionsExt::from_mode(0o640)).expect("chmod");
        }
        let before = std::fs::metadata(&other).expect("metadata").modified().expect("time");
        symlink(&other, tmp.join("out")).expect("symlink");
        symlink("below/file", tmp.join("in")).expect("symlink");
        supervised(&tmp, || {
            let set = |path: &Path, mode| rustix::fs::chmod(path, Mode::from_raw_mode(mode));
            assert_eq!(set(&own, 0o600), Ok(()));
            assert_eq!(mode(&own), 0o600);
            assert_eq!(set(&tmp.join("in"), 0o4711), Ok(()), "a link within leads within");
            assert_eq!(mode(&own), 0o711, "no right is lent");
            let below = rustix::fs::open(tmp.join("below"), OFlags::PATH, Mode::empty()).expect("opens");
            let relative = rustix::fs::chmodat(&below, "file", Mode::from_raw_mode(0o700), AtFlags::empty());
            assert_eq!((relative, mode(&own)), (Ok(()), 0o700));
            let file = File::options().write(true).open(&own).expect("opens");
            assert_eq!(rustix::fs::fchmod(&file, Mode::from_raw_mode(0o640)), Ok(()));
            assert_eq!(mode(&own), 0o640);
            let time = SystemTime::UNIX_EPOCH + Duration::from_nanos(1_234_567_890);
            file.set_modified(time).expect("sets the time");
            assert_eq!(file.metadata().expect("metadata").modified().expect("time"), time);
            assert_eq!(set(&tmp.join("below/missing"), 0o600), Err(Errno::NOENT));

            let file = File::open(&other).expect("opens");
            for refused in [
                set(&other, 0o777),
                set(&tmp.join("out"), 0o777),
                set(&tmp.join("../other"), 0o777),
                rustix::fs::chmodat(&below, "../../other", Mode::from_raw_mode(0o777), AtFlags::empty()),
                rustix::fs::fchmod(&file, Mode::from_raw_mode(0o777)),
                rustix::fs::chownat(CWD, &own, None, None, AtFlags::empty()),
            ] {
                assert_eq!(refused, Err(Errno::PERM));
            }
            let touched = file.set_modified(time);
            assert_eq!(touched.expect_err("refused").raw_os_error(), Some(libc::EPERM));
        });
        assert_eq!(mode(&other), 0o640);
        assert_eq!(std::fs::metadata(&other).expect("metadata").modified().expect("time"), before);
    }

    #[test]
    fn only_descendants_get_signals() {
        use rustix::process::{Pid, Signal, getppid, kill_process, kill_process_group, test_kill_process};
        let tmp = tempfile::tempdir().expect("temporary directory");
        supervised(tmp.path(), || {
            let start = || Command::new("sleep").arg("1000").stdin(Stdio::null()).spawn().expect("spawns");
            let pid = |child: &std::process::Child| Pid::from_raw(child.id() as i32).expect("a pid");
            let mut child = start();
            assert_eq!(kill_process(pid(&child), Signal::TERM), Ok(()));
            child.wait().expect("ends");
            let parent = getppid().expect("a parent");
            assert_eq!(test_kill_process(parent), Err(Errno::PERM), "whoever runs the tests");
            assert_eq!(kill_process_group(Pid::INIT, Signal::CONT), Err(Errno::PERM), "everybody");
            // SAFETY: takes two numbers, of which the second means that nothing is sent.
            let lowest = unsafe { libc::kill(i32::MIN, 0) };
            let errno = std::io::Error::last_os_error().raw_os_error();
            assert_eq!((lowest, errno), (-1, Some(libc::EPERM)));
            let own_group = rustix::process::getpgrp();
            assert_eq!(rustix::process::test_kill_process_group(own_group), Ok(()));
            assert_eq!(rustix::process::test_kill_current_process_group(), Ok(()));
        });
    }
}
