//! The second process of a sandbox: gives up every right, then becomes the function.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::thread::CapabilitySet;

use crate::error::{Step, StepError};
use crate::init::Init;
use crate::landlock::Rules;
use crate::protocol::{self, Event, JailSpec, Level};
use crate::snapshot::{self, Snapshot};
use crate::{fds, identity, process, rlimits, sys};

/// Exit code of a process that never became the function, as shells use it.
pub(crate) const EXIT_NOT_STARTED: i32 = 127;

/// What a process has to know to become a program of the sandbox.
pub(crate) struct Start<'a> {
    pub(crate) role: Role,
    /// Where its input comes from.
    pub(crate) input: BorrowedFd<'a>,
    /// Where its output goes.
    pub(crate) output: BorrowedFd<'a>,
}

/// Which program of the sandbox a process becomes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    Function,
    /// By its place among the companions.
    Companion(usize),
}

impl Role {
    /// What the daemon is told when a step before the program failed.
    pub(crate) fn failure(self, StepError { step, errno }: StepError) -> Event {
        let step = step.into_owned();
        match self {
            Self::Function => Event::SetupFailed { step, errno },
            Self::Companion(index) => Event::CompanionNotStarted { index, step, errno },
        }
    }

    /// What the daemon is told when the kernel refused the program.
    pub(crate) fn refused(self, errno: i32) -> Event {
        match self {
            Self::Function => Event::ExecFailed { errno },
            Self::Companion(index) => Event::CompanionNotStarted { index, step: "execve".into(), errno },
        }
    }
}

/// Becomes a program of the sandbox. Reports over the control socket if it cannot; the socket is close-on-exec,
/// so the program itself never has it.
pub(crate) fn run(init: &Init<'_>, spec: &JailSpec, start: &Start<'_>) -> ! {
    let event = match prepare(init, spec, start, CapabilitySet::empty()) {
        Ok(program) => {
            let error = program.execute();
            start.role.refused(error.raw_os_error().unwrap_or(libc::EINVAL))
        }
        Err(error) => start.role.failure(error),
    };
    let _ = protocol::send(init.control, &event, &[]);
    sys::exit_now(EXIT_NOT_STARTED)
}

/// Becomes what a program of the sandbox was when it was captured, with the same rights. Once this process's memory is
/// gone, it is the report that tells whether that went well, see [`snapshot::failure`].
///
/// # Safety
/// As for [`snapshot::restore`].
pub(crate) unsafe fn restore(init: &Init<'_>, spec: &JailSpec, start: &Start<'_>, image: Image) -> ! {
    let error = match prepare(init, spec, start, snapshot::NEEDED) {
        // SAFETY: the caller's promise.
        Ok(_) => unsafe { snapshot::restore(&image.snapshot, image.file, image.door, image.report) },
        Err(error) => error,
    };
    let _ = protocol::send(init.control, &start.role.failure(error), &[]);
    sys::exit_now(EXIT_NOT_STARTED)
}

/// What a process is restored from.
pub(crate) struct Image {
    pub(crate) snapshot: Snapshot,
    pub(crate) file: OwnedFd,
    /// What it waits on.
    pub(crate) door: OwnedFd,
    /// Ends when it is restored, or tells why it is not.
    pub(crate) report: OwnedFd,
}

fn prepare(
    init: &Init<'_>,
    spec: &JailSpec,
    start: &Start<'_>,
    kept: CapabilitySet,
) -> Result<Program, StepError> {
    let program = Program::of(&spec.command, &spec.args, &spec.env)?;
    // Out of the spawner's session: no terminal, and no process group shared with anything outside.
    rustix::process::setsid().step("create session")?;
    fds::replace_stdio(start.input, start.output).step("set standard files")?;
    let level = init.request.level;
    rlimits::apply(spec, level, init.lease)?;
    identity::become_function(level, init.lease, kept)?;
    // As the function's user: it must be a directory that this user may enter.
    rustix::process::chdir(&spec.cwd).step_with(|| format!("change directory to {}", spec.cwd.display()))?;
    sys::reset_signals().step("reset signals")?;
    if level == Level::Process {
        // A file over its limit is an error of the call and not the end of the process.
        sys::ignore_signals(&[libc::SIGXFSZ]);
    }
    // no_new_privs is what allows a process without rights to install a filter (seccomp(2)), and it
    // makes set-user-id programs harmless. The filter comes last: it forbids calls used above.
    rustix::thread::set_no_new_privs(true).step("set no_new_privs")?;
    match level {
        Level::Namespaces => Rules::own_root().enforce().map(drop)?,
        Level::Process => process::restrict(init, spec)?,
        // Its runtime makes the function's process, see `oci::run`.
        Level::Oci => {}
    }
    if let Some(questions) = init.filter.install()? {
        let (_, socket) = init
            .questions
            .as_ref()
            .ok_or(StepError { step: "find socket for the supervisor".into(), errno: libc::EINVAL })?;
        fds::send_packet(socket, b"q", &[questions.as_fd()]).step("hand over the filter's questions")?;
    }
    // After that file was sent: descriptors on their way count for all processes of a user together, and this
    // limit says how many there may be when a process sends one more (unix(7)). A function that fills its own
    // limit must not keep those of the same user from starting.
    rlimits::limit_files()?;
    Ok(program)
}

/// The arguments of execve(2).
pub(crate) struct Program {
    path: CString,
    args: Vec<CString>,
    env: Vec<CString>,
}

impl Program {
    /// A program with the arguments after `argv[0]`, which is its path, and the whole environment.
    pub(crate) fn of(command: &Path, args: &[String], env: &[(String, String)]) -> Result<Self, StepError> {
        let path = c_string(command.as_os_str().as_bytes(), "path of command")?;
        let mut all = vec![path.clone()];
        for arg in args {
            all.push(c_string(arg.as_bytes(), "argument of command")?);
        }
        let env = env
            .iter()
            .map(|(name, value)| c_string(format!("{name}={value}").as_bytes(), "environment variable"))
            .collect::<Result<_, _>>()?;
        Ok(Self { path, args: all, env })
    }

    /// Becomes the program; returns only on failure.
    pub(crate) fn execute(&self) -> io::Error {
        sys::execve(&self.path, &self.args, &self.env)
    }
}

fn c_string(bytes: &[u8], step: &'static str) -> Result<CString, StepError> {
    CString::new(bytes).step(step)
}
