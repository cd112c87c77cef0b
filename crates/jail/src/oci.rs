//! The isolation level `oci`: the function runs in a container that an OCI runtime makes, inside the
//! namespaces that a sandbox has anyway.
//!
//! The init keeps its view of the host, because the runtime is a program of the host, and mounts a small
//! tmpfs into it that nobody else sees:
//!
//! ```text
//! <stage>/config.json   the container's configuration
//! <stage>/rootfs        its root, built as at the level `namespaces`
//! <stage>/state         where the runtime keeps its own state
//! <stage>/log           where it writes its messages
//! <stage>/pid           where it writes the process id of the container's first process
//! <stage>/companion-N   the same but for root and state, for each program that runs beside the function's
//! ```
//!
//! So nothing of a container is ever on a disk, nothing has to be removed after it, and what the container
//! sees of the host was opened with the daemon's identity, while the runtime has only that of a sandbox's
//! init. Runtime and container are processes of the sandbox's pid namespace: they end with the init.

mod config;
mod seccomp;

use std::ffi::{CString, OsStr};
use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use rustix::mount::{MountFlags, MountPropagationFlags, mount, mount_change};

pub(crate) use self::config::Policy;
use crate::error::{Step, StepError};
use crate::function::{EXIT_NOT_STARTED, Program, Role, Start};
use crate::identity::{self, Lease};
use crate::init::Init;
use crate::programs::companion;
use crate::protocol::{self, Event, JailSpec, OciRuntime};
use crate::sys::{self, Reaped};
use crate::{fds, mounts, namespaces};

/// Directories that may be covered, because neither a runtime nor what it needs is below them. `/tmp` first: what
/// crun and runc put there for a moment, a copy of themselves, would stay on the host if they were killed.
const STAGES: &[&str] = &["/tmp", "/var/tmp", "/mnt", "/media", "/srv"];

/// Size of the tmpfs. Runtimes copy the configuration, about 50 KiB, into their state.
const STAGE_OPTIONS: &std::ffi::CStr = c"size=4m,nr_inodes=1024,mode=700";

/// The hierarchy of cgroup v2 beside those of v1.
const HYBRID_CGROUPS: &str = "/sys/fs/cgroup/unified";

/// All that a runtime sees of the daemon's environment.
const RUNTIME_ENVIRONMENT: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What shells and runtimes add to the number of the signal that ended a program.
const SIGNAL_BASE: i32 = 128;
/// The highest signal, see signal(7).
const SIGNALS: i32 = 64;

/// A script's interpreter may be a script, and so on so often, see execve(2).
const SCRIPT_DEPTH: u32 = 4;
/// So much of a script's first line counts.
const SCRIPT_LINE: u64 = 256;

/// More of a runtime's messages is not read.
const LONGEST_LOG: u64 = 64 * 1024;

/// The tmpfs of the containers of a sandbox, as one of them uses it.
pub(crate) struct Stage {
    shared: PathBuf,
    role: Role,
}

impl Stage {
    /// The same as another container uses it.
    pub(crate) fn of(&self, role: Role) -> Self {
        Self { shared: self.shared.clone(), role }
    }

    fn root(&self) -> PathBuf {
        self.shared.join("rootfs")
    }

    fn state(&self) -> PathBuf {
        self.shared.join("state")
    }

    fn bundle(&self) -> PathBuf {
        match self.role {
            Role::Function => self.shared.clone(),
            Role::Companion(index) => self.shared.join(format!("companion-{index}")),
        }
    }

    /// Name of the container, by that of the sandbox.
    fn name(&self, id: &str) -> String {
        match self.role {
            Role::Function => format!("lambd-{id}"),
            Role::Companion(index) => format!("lambd-{id}-{index}"),
        }
    }

    fn pid(&self) -> PathBuf {
        self.bundle().join("pid")
    }

    fn log(&self) -> PathBuf {
        self.bundle().join("log")
    }
}

/// Everything between the order and the fork of the runtime; `None` when the spawner has died meanwhile.
pub(crate) fn build(init: &mut Init<'_>, spec: &JailSpec) -> Result<Option<Stage>, StepError> {
    let runtime = runtime(spec)?;
    // Nothing of what is mounted from here on is anybody else's business, nor what the host mounts.
    mount_change("/", MountPropagationFlags::REC | MountPropagationFlags::PRIVATE)
        .step("make mounts private")?;
    // Before the change of user: sources may lie where only the daemon's user may look.
    let view = mounts::capture_for_runtime(spec)?;
    init.phases.end("capture mounts");
    if !namespaces::become_init(init)? {
        return Ok(None);
    }
    init.phases.end("change identity");
    let stage = mount_stage(&runtime.program)?;
    show_own_processes()?;
    mounts::proc::limit_objects()?;
    hide_second_cgroups()?;
    mounts::build_below(view, init.request, spec, &stage.root())?;
    init.phases.end("build root");
    write_bundle(init, spec, runtime, &stage)?;
    for index in 0..spec.companions.commands.len() {
        let stage = stage.of(Role::Companion(index));
        std::fs::create_dir(stage.bundle()).step("make directory of a companion's container")?;
        write_bundle(init, &companion(spec, index), runtime, &stage)?;
    }
    init.phases.end("write bundle");
    Ok(Some(stage))
}

fn write_bundle(
    init: &Init<'_>,
    spec: &JailSpec,
    runtime: &OciRuntime,
    stage: &Stage,
) -> Result<(), StepError> {
    let text = config::text(spec, runtime, init.lease, policy(init)?, &stage.root())?;
    std::fs::write(stage.bundle().join("config.json"), text).step("write configuration of the container")
}

fn runtime(spec: &JailSpec) -> Result<&OciRuntime, StepError> {
    spec.runtime
        .as_ref()
        .ok_or(StepError { step: "find the OCI runtime: none is named".into(), errno: libc::EINVAL })
}

fn policy<'a>(init: &Init<'a>) -> Result<&'a Policy, StepError> {
    init.policy.ok_or(StepError { step: "find the policy for containers".into(), errno: libc::EINVAL })
}

fn mount_stage(runtime: &Path) -> Result<Stage, StepError> {
    let usable = |path: &&&str| Path::new(path).is_dir() && !runtime.starts_with(path);
    let directory = STAGES.iter().find(usable).ok_or_else(|| StepError {
        step: format!("find a directory to mount on among {}", STAGES.join(", ")).into(),
        errno: libc::ENOENT,
    })?;
    mount("lambd-oci", *directory, "tmpfs", MountFlags::NOSUID | MountFlags::NODEV, STAGE_OPTIONS)
        .step_with(|| format!("mount a tmpfs on {directory}"))?;
    let stage = Stage { shared: directory.into(), role: Role::Function };
    for directory in [stage.root(), stage.state()] {
        std::fs::create_dir(&directory).step_with(|| format!("make directory {}", directory.display()))?;
    }
    Ok(stage)
}

/// The host's /proc shows this process and the runtime's under other numbers than they have here.
fn show_own_processes() -> Result<(), StepError> {
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    mount("proc", "/proc", "proc", flags, None).step("mount /proc")
}

/// Where cgroup v2 is mounted beside v1, runtimes want it for themselves: crun refuses to start when some
/// controllers are there and some elsewhere. Cgroups are none of a runtime's business here.
fn hide_second_cgroups() -> Result<(), StepError> {
    if !Path::new(HYBRID_CGROUPS).is_dir() {
        return Ok(());
    }
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC | MountFlags::RDONLY;
    mount("lambd-oci", HYBRID_CGROUPS, "tmpfs", flags, c"size=4k,mode=755")
        .step("hide the second cgroup hierarchy")
}

/// Becomes the runtime. As `function::run`, it reports over the control socket if it cannot.
pub(crate) fn run(init: &Init<'_>, spec: &JailSpec, stage: &Stage, start: &Start<'_>) -> ! {
    let event = match prepare(init, spec, stage, start) {
        Ok(program) => {
            let error = program.execute();
            start.role.failure(StepError::new("execute the OCI runtime", error))
        }
        Err(event) => event,
    };
    let _ = protocol::send(init.control, &event, &[]);
    sys::exit_now(EXIT_NOT_STARTED)
}

fn failure(error: StepError) -> Event {
    Role::Function.failure(error)
}

fn prepare(init: &Init<'_>, spec: &JailSpec, stage: &Stage, start: &Start<'_>) -> Result<Program, Event> {
    let role = start.role;
    check_program(init.lease, spec, &stage.root(), role)?;
    let ready = || {
        let program = command_line(runtime(spec)?, &init.request.id, stage)?;
        rustix::process::setsid().step("create session")?;
        fds::replace_stdio(start.input, start.output).step("set standard files")?;
        rustix::process::chdir("/").step("change directory to /")?;
        sys::reset_signals().step("reset signals")?;
        Ok(program)
    };
    ready().map_err(|error| role.failure(error))
}

/// Looks for what execve(2) would say to the function's user, whose words a runtime does not pass on.
fn check_program(lease: Lease, spec: &JailSpec, root: &Path, role: Role) -> Result<(), Event> {
    let failure = |error| role.failure(error);
    let host = mounts::enter(root).map_err(failure)?;
    identity::look_as_function(lease).map_err(failure)?;
    let found = rustix::process::chdir(&spec.cwd)
        .step_with(|| format!("change directory to {}", spec.cwd.display()))
        .map_err(failure)
        .and_then(|()| may_execute(&spec.command).map_err(|error| role.refused(errno(&error))));
    identity::look_as_init(lease).map_err(failure)?;
    mounts::leave(&host).map_err(failure)?;
    found
}

/// What execve(2) would answer, as far as that can be told without it.
fn may_execute(command: &Path) -> io::Result<()> {
    let mut command = command.to_owned();
    for _ in 0..=SCRIPT_DEPTH {
        let path = CString::new(command.as_os_str().as_encoded_bytes())?;
        sys::may_execute(&path)?;
        if !std::fs::metadata(&command)?.is_file() {
            return Err(rustix::io::Errno::ACCESS.into());
        }
        // A program need not be readable.
        let Ok(file) = File::open(&command) else { return Ok(()) };
        let mut start = Vec::new();
        file.take(SCRIPT_LINE).read_to_end(&mut start)?;
        match interpreter(&start) {
            Ok(Some(interpreter)) => command = interpreter,
            Ok(None) => return Ok(()),
            Err(error) => return Err(error.into()),
        }
    }
    Err(rustix::io::Errno::LOOP.into())
}

/// The interpreter of a script that starts so, `None` for a program. What is neither would need a handler of
/// binfmt_misc.
fn interpreter(start: &[u8]) -> Result<Option<PathBuf>, rustix::io::Errno> {
    if start.starts_with(b"\x7fELF") {
        return Ok(None);
    }
    let line = start.strip_prefix(b"#!").and_then(|rest| rest.split(|byte| *byte == b'\n').next());
    let mut words = line.unwrap_or_default().split(|byte| matches!(byte, b' ' | b'\t'));
    let path = words.find(|word| !word.is_empty()).ok_or(rustix::io::Errno::NOEXEC)?;
    Ok(Some(PathBuf::from(OsStr::from_bytes(path))))
}

fn errno(error: &io::Error) -> i32 {
    error.raw_os_error().unwrap_or(libc::EINVAL)
}

fn command_line(runtime: &OciRuntime, id: &str, stage: &Stage) -> Result<Program, StepError> {
    let path = |path: PathBuf| path.to_string_lossy().into_owned();
    let own = ["--root".into(), path(stage.state()), "--log".into(), path(stage.log())];
    let format = ["--log-format".into(), "json".into()];
    let detach = ["--detach".into(), "--pid-file".into(), path(stage.pid())];
    let mut args = Vec::from(own);
    args.extend(format);
    args.extend(runtime.args.iter().cloned());
    args.push("run".into());
    if runtime.detaches {
        args.extend(detach);
    }
    args.extend(["--bundle".into(), path(stage.bundle()), stage.name(id)]);
    let (name, value) = RUNTIME_ENVIRONMENT.split_once('=').unwrap_or_default();
    Program::of(&runtime.program, &args, &[(name.to_owned(), value.to_owned())])
}

/// A container that is started or runs.
pub(crate) struct Container {
    stage: Stage,
    phase: Phase,
}

enum Phase {
    /// The runtime runs and will leave the container's first process to the init. Processes may end before
    /// it is known which of them that is.
    Starting { ended: Vec<Reaped>, terminate: bool },
    /// The first process is the init's child.
    Running,
    /// The runtime stays until the container has ended.
    Attached,
}

impl Container {
    /// The container of which a runtime was just started.
    pub(crate) fn starting(spec: &JailSpec, stage: Stage) -> Self {
        let detaches = spec.runtime.as_ref().is_some_and(|runtime| runtime.detaches);
        let phase =
            if detaches { Phase::Starting { ended: Vec::new(), terminate: false } } else { Phase::Attached };
        Self { stage, phase }
    }

    /// A child of the init has ended; returns what ends the sandbox. `main` is the process to wait for: the
    /// runtime, and later perhaps the container's first process.
    pub(crate) fn reaped(&mut self, main: &mut i32, child: Reaped) -> Option<Event> {
        match &mut self.phase {
            Phase::Starting { ended, .. } if child.pid != *main => {
                ended.push(child);
                None
            }
            _ if child.pid != *main => None,
            Phase::Running => Some(child.event()),
            Phase::Attached => Some(translate(&self.stage, child)),
            Phase::Starting { .. } if child.status != Ok(0) => {
                Some(last_error(&self.stage).map_or_else(|| child.event(), failure))
            }
            Phase::Starting { ended, terminate } => {
                *main = match first_process(&self.stage) {
                    Ok(pid) => pid,
                    Err(error) => return Some(failure(error)),
                };
                let first = ended.drain(..).find(|child| child.pid == *main);
                if *terminate && first.is_none() {
                    sys::terminate(*main);
                }
                self.phase = Phase::Running;
                first.map(|child| child.event())
            }
        }
    }

    /// Sends `SIGTERM` to the container's first process, as soon as it is known. An attached runtime passes it
    /// on.
    pub(crate) fn terminate(&mut self, main: i32) {
        match &mut self.phase {
            Phase::Starting { terminate, .. } => *terminate = true,
            Phase::Running | Phase::Attached => sys::terminate(main),
        }
    }
}

/// The container's first process as the runtime tells it.
fn first_process(stage: &Stage) -> Result<i32, StepError> {
    let path = stage.pid();
    let text = std::fs::read_to_string(&path).step_with(|| format!("read {}", path.display()))?;
    text.trim().parse().map_err(|_| StepError {
        step: format!("read the number of a process in {}", path.display()).into(),
        errno: libc::EPROTO,
    })
}

/// What the end of an attached runtime tells about the container. A runtime passes an exit code on, adds 128
/// to the number of a signal, and ends with an arbitrary code if it could not start the container; then the
/// reason is in its log.
fn translate(stage: &Stage, runtime: Reaped) -> Event {
    let Ok(code @ 1..) = runtime.status else { return runtime.event() };
    match last_error(stage) {
        Some(reason) => failure(reason),
        None if (SIGNAL_BASE + 1..=SIGNAL_BASE + SIGNALS).contains(&code) => {
            Reaped { status: Err(code - SIGNAL_BASE), ..runtime }.event()
        }
        None => runtime.event(),
    }
}

/// The last error in the runtime's log, one JSON document a line.
fn last_error(stage: &Stage) -> Option<StepError> {
    #[derive(serde::Deserialize)]
    struct Line {
        level: String,
        msg: String,
    }
    let mut text = String::new();
    File::open(stage.log()).ok()?.take(LONGEST_LOG).read_to_string(&mut text).ok()?;
    let lines = text.lines().rev().filter_map(|line| serde_json::from_str::<Line>(line).ok());
    let error = lines.into_iter().find(|line| matches!(line.level.as_str(), "error" | "fatal"))?;
    let (step, errno) = split(&error.msg);
    Some(StepError { step: step.to_owned().into(), errno })
}

/// A message and the error number whose text it ends with, zero for none.
fn split(message: &str) -> (&str, i32) {
    let lower = message.to_lowercase();
    // The numbers of Linux end at 133.
    let known = (1..=133).find_map(|number| {
        let text = io::Error::from_raw_os_error(number).to_string().to_lowercase();
        let text = text.split(" (os error").next()?.to_owned();
        lower.strip_suffix(&text).map(|rest| (rest.len(), number))
    });
    match known {
        // Lower case may have another length outside ASCII; then the message stays whole.
        Some((length, number)) if message.is_char_boundary(length) && lower.len() == message.len() => {
            (message[..length].trim_end_matches([':', ' ']), number)
        }
        _ => (message, 0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stage(log: &str) -> (tempfile::TempDir, Stage) {
        let directory = tempfile::tempdir().expect("temporary directory");
        let stage = Stage { shared: directory.path().to_owned(), role: Role::Function };
        std::fs::write(stage.log(), log).expect("write");
        (directory, stage)
    }

    fn ended(pid: i32, status: Result<i32, i32>) -> Reaped {
        Reaped { pid, status, max_rss_bytes: 7 }
    }

    #[test]
    fn codes_of_an_attached_runtime_above_128_are_signals() {
        let (_directory, stage) = stage("");
        let exited = |code| Event::Exited { code, max_rss_bytes: 7 };
        let signaled = |signal| Event::Signaled { signal, max_rss_bytes: 7 };
        for (status, expected) in [
            (Ok(0), exited(0)),
            (Ok(1), exited(1)),
            (Ok(128), exited(128)),
            (Ok(137), signaled(9)),
            (Ok(192), signaled(64)),
            (Ok(193), exited(193)),
            (Err(9), signaled(9)),
        ] {
            assert_eq!(translate(&stage, ended(1, status)), expected, "{status:?}");
        }
    }

    #[test]
    fn a_logged_error_is_the_reason() {
        let (_directory, stage) = stage(concat!(
            "{\"level\":\"warning\",\"msg\":\"old kernel\",\"time\":\"t\"}\n",
            "{\"msg\":\"mount `proc` to `proc`: Operation not permitted\",\"level\":\"error\",\"time\":\"t\"}\n",
            "not JSON\n",
        ));
        let reason = Event::SetupFailed { step: "mount `proc` to `proc`".into(), errno: libc::EPERM };
        assert_eq!(translate(&stage, ended(1, Ok(1))), reason);
        assert_eq!(translate(&stage, ended(1, Ok(0))), ended(1, Ok(0)).event());
        let mut starting =
            Container { stage, phase: Phase::Starting { ended: Vec::new(), terminate: false } };
        assert_eq!(starting.reaped(&mut 1, ended(1, Ok(1))), Some(reason));
    }

    #[test]
    fn the_first_process_may_end_before_the_runtime() {
        for early in [true, false] {
            let (_directory, stage) = stage("");
            std::fs::write(stage.pid(), "5").expect("write");
            let phase = Phase::Starting { ended: Vec::new(), terminate: false };
            let mut container = Container { stage, phase };
            let mut main = 3;
            let mut reap = |pid, code| container.reaped(&mut main, ended(pid, Ok(code)));
            assert_eq!(reap(4, 0), None, "an orphan");
            let last = if early {
                assert_eq!(reap(5, 6), None);
                reap(3, 0)
            } else {
                assert_eq!(reap(3, 0), None);
                reap(5, 6)
            };
            assert_eq!(last, Some(Event::Exited { code: 6, max_rss_bytes: 7 }));
        }
    }

    #[test]
    fn scripts_name_their_interpreter() {
        let noexec = Err(rustix::io::Errno::NOEXEC);
        for (start, expected) in [
            (&b"\x7fELF\x02"[..], Ok(None)),
            (b"#!/bin/sh\necho", Ok(Some("/bin/sh".into()))),
            (b"#! \t/usr/bin/env python3\n", Ok(Some("/usr/bin/env".into()))),
            (b"#!/bin/sh\r\n", Ok(Some("/bin/sh\r".into()))),
            (b"#!\n/bin/sh", noexec.clone()),
            (b"echo hello\n", noexec.clone()),
            (b"", noexec),
        ] {
            assert_eq!(interpreter(start), expected, "{start:?}");
        }
    }

    #[test]
    fn messages_are_split_at_the_text_of_their_number() {
        for (message, expected) in [
            ("exec: \"/x\": permission denied", ("exec: \"/x\"", libc::EACCES)),
            ("open `a`: No such file or directory", ("open `a`", libc::ENOENT)),
            ("something else", ("something else", 0)),
        ] {
            assert_eq!(split(message), expected);
        }
    }
}
