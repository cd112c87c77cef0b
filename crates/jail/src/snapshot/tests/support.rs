//! Small sandboxes: namespaces, identity, Landlock and filter as functions have them.

use std::fs::{self, File};
use std::io::Read;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::time::Duration;

use rustix::mount::{MountFlags, MountPropagationFlags, mount, mount_bind_recursive, mount_change};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Signal, set_parent_process_death_signal};
use serde::{Deserialize, Serialize};

use crate::filter::{Filters, Surroundings};
use crate::function::Program;
use crate::identity::{self, Lease};
use crate::landlock::Rules;
use crate::protocol::{self, Level};
use crate::snapshot::{
    CaptureError, Captured, EXIT_NOT_RESTORED, NEEDED, Snapshot, capture, descriptors, failure, restore,
};
use crate::sys::{self, Side};
use crate::{fds, rlimits};

/// Where programs wait.
pub(super) const WAITS_ON: i32 = 3;

/// What comes out of a sandbox.
#[derive(Debug, Serialize, Deserialize)]
enum Message {
    Captured(Snapshot),
    Refused(String),
    Ended(Result<i32, i32>),
    Failed(String),
}

/// A program to capture.
pub(super) struct Template {
    pub(super) command: PathBuf,
    pub(super) args: Vec<String>,
    /// Shown as another one.
    pub(super) bind: Option<(PathBuf, PathBuf)>,
}

impl Template {
    pub(super) fn new(command: impl Into<PathBuf>, args: &[&str]) -> Self {
        Self { command: command.into(), args: args.iter().map(ToString::to_string).collect(), bind: None }
    }

    /// Runs it until it waits, and captures it.
    pub(super) fn capture(&self) -> Result<Taken, String> {
        capture_in_sandbox(self.bind.as_ref(), "", None, |input| {
            let input = descriptors::move_up(copy(input), WAITS_ON + 1).expect("moves");
            descriptors::copy_to(input.as_raw_fd(), WAITS_ON, false).expect("copies");
            sys::close_range(WAITS_ON + 1, i32::MAX).expect("closes");
            let env = [
                ("PATH".into(), "/usr/bin:/bin".into()),
                ("HOME".into(), "/tmp".into()),
                ("LD_LIBRARY_PATH".into(), "/opt/lib".into()),
            ];
            let error = Program::of(&self.command, &self.args, &env).expect("a program").execute();
            panic!("{}: {error}", self.command.display());
        })
    }
}

/// Runs this as a function, which gets the descriptor to wait on, until it has written a point, and captures it once it
/// waits. It is told `text` before.
fn capture_in_sandbox(
    bind: Option<&(PathBuf, PathBuf)>,
    text: &str,
    image: Option<BorrowedFd<'_>>,
    function: impl FnOnce(BorrowedFd<'_>),
) -> Result<Taken, String> {
    let (input, write) = pipe();
    rustix::io::write(&write, text.as_bytes()).expect("writes");
    let (ready, output) = pipe();
    let keep: Vec<_> = [input.as_fd(), output.as_fd(), ready.as_fd()].into_iter().chain(image).collect();
    let control = in_sandbox(&keep, |control| {
        prepare(bind);
        // SAFETY: `in_sandbox` runs this in a process with a single thread.
        let pid = match unsafe { sys::fork() }.expect("forks") {
            Side::Child => {
                become_function(output.as_fd());
                function(input.as_fd());
                sys::exit_now(1)
            }
            Side::Parent(pid) => pid,
        };
        let mut first = [0; 4096];
        let length = rustix::io::read(&ready, &mut first).expect("reads");
        assert_eq!(String::from_utf8_lossy(&first[..length]), ".");
        let _children = sys::child_signal_fd().expect("signalfd");
        let (message, image) = match capture(pid, WAITS_ON, Duration::from_secs(20)) {
            Ok(Captured { snapshot, image }) => (Message::Captured(snapshot), Some(image)),
            Err(CaptureError::Refused(reason)) => (Message::Refused(reason.into()), None),
            Err(CaptureError::Failed(error)) => (Message::Failed(error.to_string()), None),
        };
        let files: Vec<_> = image.iter().map(AsFd::as_fd).collect();
        protocol::send(control, &message, &files).expect("sends");
    });
    match receive(&control) {
        (Message::Captured(snapshot), mut files) => {
            Ok(Taken { snapshot, image: files.remove(0), bind: bind.cloned() })
        }
        (Message::Refused(reason), _) => Err(reason),
        (other, _) => panic!("{other:?}"),
    }
}

/// A snapshot.
pub(super) struct Taken {
    snapshot: Snapshot,
    pub(super) image: OwnedFd,
    bind: Option<(PathBuf, PathBuf)>,
}

/// A restored process.
pub(super) struct Instance {
    input: OwnedFd,
    output: File,
    control: OwnedFd,
}

impl Taken {
    /// Restores it in a sandbox of its own, where it waits.
    pub(super) fn start(&self) -> Instance {
        let (input, write) = pipe();
        let (read, output) = pipe();
        let (own_report, report) = pipe();
        let keep = [&input, &output, &own_report, &report, &self.image].map(AsFd::as_fd);
        let control = in_sandbox(&keep, |control| {
            prepare(self.bind.as_ref());
            // SAFETY: `in_sandbox` runs this in a process with a single thread.
            let pid = match unsafe { sys::fork() }.expect("forks") {
                Side::Child => {
                    become_function(output.as_fd());
                    // SAFETY: as above; the process is a child that only has to become another.
                    let error =
                        unsafe { restore(&self.snapshot, copy(&self.image), copy(&input), copy(&report)) };
                    let _ = protocol::send(control, &Message::Failed(error.to_string()), &[]);
                    sys::exit_now(127)
                }
                Side::Parent(pid) => pid,
            };
            fds::close_all_except(&[control, own_report.as_fd()]).expect("closes");
            let status = sys::wait_for(pid).expect("waits");
            let end = match status {
                Ok(EXIT_NOT_RESTORED) => match failure(own_report.as_fd()) {
                    Some(error) => Message::Failed(error.to_string()),
                    None => Message::Ended(status),
                },
                _ => Message::Ended(status),
            };
            let _ = protocol::send(control, &end, &[]);
        });
        Instance { input: write, output: read.into(), control }
    }

    /// Restores it, tells it something and captures it when it waits again.
    pub(super) fn capture_again(&self, text: &str) -> Result<Self, String> {
        capture_in_sandbox(self.bind.as_ref(), text, Some(self.image.as_fd()), |input| {
            let (report, input) = (copy(input), copy(input));
            // SAFETY: called in a child with a single thread, which only has to become another.
            let error = unsafe { restore(&self.snapshot, copy(&self.image), input, report) };
            panic!("{error}");
        })
    }

    /// The error of restoring it.
    pub(super) fn failure(&self) -> String {
        match receive(&self.start().control) {
            (Message::Failed(error), _) => error,
            (other, _) => panic!("{other:?}"),
        }
    }
}

impl Instance {
    pub(super) fn tell(&self, text: &str) {
        let written = rustix::io::write(&self.input, text.as_bytes());
        assert_eq!(written, Ok(text.len()));
    }

    /// Reads one line of its output.
    pub(super) fn line(&mut self) -> String {
        let mut line = Vec::new();
        let mut byte = [0];
        while self.output.read(&mut byte).expect("reads") == 1 && byte != *b"\n" {
            line.push(byte[0]);
        }
        String::from_utf8(line).expect("text")
    }

    /// Its output and how it ended.
    pub(super) fn end(mut self) -> (String, Result<i32, i32>) {
        drop(self.input);
        let mut output = String::new();
        self.output.read_to_string(&mut output).expect("text");
        match receive(&self.control) {
            (Message::Ended(status), _) => (output, status),
            (other, _) => panic!("{other:?}: {output}"),
        }
    }

    /// Tells it something and expects it to print this and to end with success.
    #[track_caller]
    pub(super) fn expect(self, text: &str, output: &str) {
        self.tell(text);
        assert_eq!(self.end(), (output.to_owned(), Ok(0)));
    }
}

fn pipe() -> (OwnedFd, OwnedFd) {
    pipe_with(PipeFlags::CLOEXEC).expect("pipe")
}

fn copy(fd: impl AsFd) -> OwnedFd {
    fd.as_fd().try_clone_to_owned().expect("copies")
}

fn receive(control: &OwnedFd) -> (Message, Vec<OwnedFd>) {
    protocol::receive(control).expect("receives").expect("a message")
}

/// Runs this as the first process of new namespaces; the other end of its control socket.
///
/// It has these files and no others: tests run at the same time, and would wait for each other's.
fn in_sandbox(keep: &[BorrowedFd<'_>], init: impl FnOnce(BorrowedFd<'_>)) -> OwnedFd {
    let flags = SocketFlags::CLOEXEC;
    let (own, theirs) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None).expect("sockets");
    let (released, release) = pipe();
    // SAFETY: the C library's fork leaves its locks usable in the child, and the child uses no others: it has no
    // output captured and no thread.
    match unsafe { sys::fork() }.expect("forks") {
        Side::Parent(_) => own,
        Side::Child => {
            let sockets = [theirs.as_fd(), released.as_fd(), release.as_fd()];
            let all: Vec<_> = keep.iter().copied().chain(sockets).collect();
            fds::close_all_except(&all).expect("closes");
            let flags = libc::CLONE_NEWUSER | libc::CLONE_NEWPID | libc::CLONE_NEWNS | libc::CLONE_NEWIPC;
            // SAFETY: the child of a fork has a single thread.
            match unsafe { sys::clone_process(flags as u64, None) }.expect("clones") {
                Side::Child => {
                    drop(release);
                    assert_eq!(rustix::io::read(&released, &mut [0; 1]), Ok(1));
                    // A panic has told its message, and must not unwind into a copy of the test.
                    let ended = catch_unwind(AssertUnwindSafe(|| init(theirs.as_fd())));
                    sys::exit_now(ended.is_err().into())
                }
                Side::Parent(child) => {
                    let process = PathBuf::from(format!("/proc/{}", child.pid));
                    if !lease().may_set_groups() {
                        fs::write(process.join("setgroups"), "deny").expect("setgroups");
                    }
                    fs::write(process.join("uid_map"), lease().uid_map()).expect("uid_map");
                    fs::write(process.join("gid_map"), lease().gid_map()).expect("gid_map");
                    rustix::io::write(&release, &[1]).expect("releases");
                    fds::close_all_except(&[]).expect("closes");
                    let _ = sys::wait_for(child.pid);
                    sys::exit_now(0)
                }
            }
        }
    }
}

/// As the daemon's, with ids that nobody has.
fn lease() -> Lease {
    if rustix::process::geteuid().is_root() || rustix::process::getpid().is_init() {
        Lease::Pair { first: 1_879_047_000 }
    } else {
        Lease::Own
    }
}

/// Makes the mounts, then takes the identity of an init.
fn prepare(bind: Option<&(PathBuf, PathBuf)>) {
    let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
    mount_change("/", private).expect("private mounts");
    mount("proc", "/proc", "proc", MountFlags::empty(), None).expect("mounts /proc");
    if let Some((from, to)) = bind {
        // As the user who runs the tests, who may see it.
        mount_bind_recursive(from, to).expect("binds");
    }
    identity::become_init(lease()).expect("identity");
    // Cleared by the change of identity.
    set_parent_process_death_signal(Some(Signal::KILL)).expect("death signal");
}

/// Gives up every right, in the order of `function`.
fn become_function(output: BorrowedFd<'_>) {
    rustix::process::setsid().expect("session");
    let null = File::options().read(true).write(true).open("/dev/null").expect("opens");
    fds::replace_stdio(null.as_fd(), output).expect("standard files");
    identity::become_function(Level::Namespaces, lease(), NEEDED).expect("identity");
    sys::reset_signals().expect("signals");
    rustix::thread::set_no_new_privs(true).expect("no_new_privs");
    Rules::own_root().enforce().expect("Landlock");
    Filters::default().get(Surroundings::NAMESPACES).install().expect("filter");
    rlimits::limit_files().expect("limit of files");
}
