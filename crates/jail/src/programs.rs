//! The programs of a sandbox: its own one, and the companions that run beside it.
//!
//! All are children of the init. Companions are forked first; the sandbox's own program is forked with them, as long
//! as the init has the rights for it, and waits at a gate (a pipe) until the daemon orders its launch.
//!
//! A program without companions may be restored from an image, or be one of which an image is to be taken.

use std::fs;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Pid, Signal, kill_process_group};

use crate::ahead::{self, Door, Waiting};
use crate::error::{Step, StepError};
use crate::function::{self, Image, Role, Start};
use crate::init::Init;
use crate::oci::{self, Container, Stage};
use crate::protocol::{Companions, Event, JailSpec};
use crate::snapshot::{self, CaptureError, Snapshot};
use crate::sys::{self, Reaped, Side};

/// Where a function may leave files.
const TMP: &str = "/tmp";

/// How long a program that is ready for its capture may take until it waits at its door.
const PATIENCE: Duration = Duration::from_secs(5);

/// What was built for the programs to run in.
pub(crate) enum Built {
    /// What their processes need.
    Function,
    /// Containers, which a runtime will run.
    Container(Stage),
}

/// The end of a child, as far as it is of interest.
pub(crate) enum Ended {
    /// To be told; the sandbox goes on.
    Told(Event),
    /// To be told; the sandbox ends.
    Last(Event),
}

/// The programs of one sandbox.
pub(crate) struct Programs {
    own: Program,
    companions: Vec<Program>,
    /// Closed until the sandbox's own program may start.
    gate: Option<Gate>,
    /// Of a program that is to be captured: where it waits then.
    capture: Option<Capture>,
}

/// How a program is captured.
struct Capture {
    /// Closed, it would end the program.
    door: Door,
    /// By which number the program keeps its end.
    waits_on: i32,
}

/// What keeps the sandbox's own program from starting.
enum Gate {
    /// It waits for a byte from this pipe.
    Pipe(OwnedFd),
    /// It waits for this environment.
    Ahead(Door, Vec<(String, String)>),
}

struct Program {
    /// Its process, or that of a runtime which starts it.
    pid: i32,
    container: Option<Container>,
    has_ended: bool,
}

impl Programs {
    /// Forks all of them but the one that waits already; `file` is for the output of companions, or the image from which
    /// the program is restored.
    pub(crate) fn fork(
        init: &Init<'_>,
        spec: &JailSpec,
        built: &Built,
        null: BorrowedFd<'_>,
        file: Option<OwnedFd>,
        waiting: Option<Waiting>,
    ) -> Result<Self, StepError> {
        match (&spec.snapshot, spec.door, built, &waiting) {
            (None, None, ..) => {}
            _ if !spec.companions.commands.is_empty() => return Err(unfit("companions")),
            (Some(snapshot), None, Built::Function, None) => {
                let file = file.ok_or_else(|| unfit("no image"))?;
                return Self::restore(init, spec, null, snapshot, file);
            }
            (None, Some(waits_on), Built::Function, None) => {
                return Self::to_be_captured(init, spec, built, waits_on);
            }
            _ => return Err(unfit("another program")),
        }
        let mut companions = Vec::new();
        for index in 0..spec.companions.commands.len() {
            let output = file
                .as_ref()
                .ok_or(rustix::io::Errno::PROTO)
                .step("receive the order to build: output of companions expected")?;
            let spec = companion(spec, index);
            let start = Start { role: Role::Companion(index), input: null, output: output.as_fd() };
            companions.push(Program::fork(init, &spec, built, &start, None)?);
        }
        if let Some(Waiting { pid, door, .. }) = waiting {
            let own = Program::of(pid);
            let is_alone = companions.is_empty();
            let gate = Some(Gate::Ahead(door, spec.env.clone()));
            let mut programs = Self { own, companions, gate, capture: None };
            if is_alone {
                programs.launch();
            }
            return Ok(programs);
        }
        // Made after the companions were forked, which must not have it.
        let gate = match companions.is_empty() {
            true => None,
            false => Some(pipe_with(PipeFlags::CLOEXEC).step("create pipe for the launch")?),
        };
        let start = Start { role: Role::Function, input: null, output: init.output };
        let own = Program::fork(init, spec, built, &start, gate.as_ref())?;
        Ok(Self { own, companions, gate: gate.map(|(_, write)| Gate::Pipe(write)), capture: None })
    }

    /// Forks the sandbox's own program with a door as its input.
    fn to_be_captured(
        init: &Init<'_>,
        spec: &JailSpec,
        built: &Built,
        waits_on: i32,
    ) -> Result<Self, StepError> {
        let (door, its) = Door::new()?;
        let start = Start { role: Role::Function, input: its.as_fd(), output: init.output };
        let own = Program::fork(init, spec, built, &start, None)?;
        Ok(Self { own, companions: Vec::new(), gate: None, capture: Some(Capture { door, waits_on }) })
    }

    /// Makes the sandbox's own program from an image, and gives it its environment.
    fn restore(
        init: &Init<'_>,
        spec: &JailSpec,
        null: BorrowedFd<'_>,
        snapshot: &Snapshot,
        file: OwnedFd,
    ) -> Result<Self, StepError> {
        let (own, its) = Door::new()?;
        let report = pipe_with(PipeFlags::CLOEXEC).step("create pipe for the report")?;
        let image = Image { snapshot: snapshot.clone(), file, door: its, report: report.1 };
        // SAFETY: this process is a copy of the single-threaded spawner and has started no thread.
        match unsafe { sys::fork() }.step("fork the function's process")? {
            Side::Child => {
                let start = Start { role: Role::Function, input: null, output: init.output };
                // SAFETY: this child of a process with one thread has no other, and does nothing else.
                unsafe { function::restore(init, spec, &start, image) }
            }
            Side::Parent(pid) => {
                // Our copies of its ends must be gone, or its own end could not be told.
                drop(image);
                if let Some(error) = snapshot::failure(report.0.as_fd()) {
                    return Err(error);
                }
                own.open(&spec.env);
                Ok(Self { own: Program::of(pid), companions: Vec::new(), gate: None, capture: None })
            }
        }
    }

    /// Whether [`Self::capture`] may be asked for.
    pub(crate) fn is_to_be_captured(&self) -> bool {
        self.capture.is_some()
    }

    /// Takes the image of the sandbox's own program once it waits at its door, and hands it out, or tells why there is
    /// none.
    pub(crate) fn capture(&self, control: BorrowedFd<'_>) {
        let Some(capture) = self.capture.as_ref() else { return };
        let captured = leftovers().and_then(|()| snapshot::capture(self.own.pid, capture.waits_on, PATIENCE));
        // A daemon that cannot be told is gone.
        let _ = ahead::hand_out(captured, control);
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.companions.len() + 1
    }

    /// The files that must stay open: until the launch, or for a capture.
    pub(crate) fn files(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        let gate = self.gate.as_ref().map(|gate| match gate {
            Gate::Pipe(pipe) => pipe.as_fd(),
            Gate::Ahead(door, _) => door.file(),
        });
        gate.into_iter().chain(self.capture.iter().map(|capture| capture.door.file()))
    }

    /// Lets the sandbox's own program start.
    pub(crate) fn launch(&mut self) {
        match self.gate.take() {
            Some(Gate::Pipe(pipe)) => {
                let _ = rustix::io::write(&pipe, &[1]);
            }
            Some(Gate::Ahead(door, env)) => door.open(&env),
            None => {}
        }
    }

    /// A child has ended.
    pub(crate) fn reaped(&mut self, child: Reaped) -> Vec<Ended> {
        let mut told = Vec::new();
        for (index, companion) in self.companions.iter_mut().enumerate() {
            match companion.reaped(child) {
                Some(Event::Exited { code, .. }) => {
                    told.push(Event::CompanionEnded { index, status: Ok(code) });
                }
                Some(Event::Signaled { signal, .. }) => {
                    told.push(Event::CompanionEnded { index, status: Err(signal) });
                }
                Some(Event::SetupFailed { step, errno }) => {
                    told.push(Event::CompanionNotStarted { index, step, errno });
                }
                _ => {}
            }
        }
        let mut told: Vec<_> = told.into_iter().map(Ended::Told).collect();
        let own = self.own.reaped(child);
        told.extend(own.map(if self.companions.is_empty() { Ended::Last } else { Ended::Told }));
        told
    }

    /// Sends `SIGTERM` to the sandbox's own program.
    pub(crate) fn terminate(&mut self) {
        let own = &mut self.own;
        match &mut own.container {
            _ if own.has_ended => {}
            None => sys::terminate(own.pid),
            Some(container) => container.terminate(own.pid),
        }
    }

    /// Kills the sandbox's own program and its process group.
    pub(crate) fn kill(&self) {
        if let Some(group) = Pid::from_raw(self.own.pid).filter(|_| !self.own.has_ended) {
            // It has made itself the leader of a group, or has not come so far yet.
            if kill_process_group(group, Signal::KILL).is_err() {
                let _ = rustix::process::kill_process(group, Signal::KILL);
            }
        }
    }
}

impl Program {
    fn of(pid: i32) -> Self {
        Self { pid, container: None, has_ended: false }
    }

    fn fork(
        init: &Init<'_>,
        spec: &JailSpec,
        built: &Built,
        start: &Start<'_>,
        gate: Option<&(OwnedFd, OwnedFd)>,
    ) -> Result<Self, StepError> {
        // SAFETY: this process is a copy of the single-threaded spawner and has started no thread.
        match unsafe { sys::fork() }.step("fork the function's process")? {
            Side::Child => {
                if let Some(gate) = gate {
                    wait_at(gate);
                }
                match built {
                    Built::Function => function::run(init, spec, start),
                    Built::Container(stage) => oci::run(init, spec, &stage.of(start.role), start),
                }
            }
            Side::Parent(pid) => {
                let container = match built {
                    Built::Function => None,
                    Built::Container(stage) => Some(Container::starting(spec, stage.of(start.role))),
                };
                Ok(Self { pid, container, has_ended: false })
            }
        }
    }

    /// What is to be told if that was its end.
    fn reaped(&mut self, child: Reaped) -> Option<Event> {
        if self.has_ended {
            return None;
        }
        let event = match &mut self.container {
            None => (child.pid == self.pid).then(|| child.event()),
            Some(container) => container.reaped(&mut self.pid, child),
        };
        self.has_ended = event.is_some();
        event
    }
}

/// Refuses a program that left files, which other instances would not have.
fn leftovers() -> Result<(), CaptureError> {
    let left = fs::read_dir(TMP).and_then(|mut entries| entries.next().transpose()).step("list /tmp")?;
    match left {
        None => Ok(()),
        Some(entry) => {
            let path = entry.path();
            Err(CaptureError::Refused(format!("the process left {}", path.display()).into()))
        }
    }
}

/// An order that cannot be followed.
fn unfit(what: &str) -> StepError {
    StepError { step: format!("follow the order to build: {what}").into(), errno: libc::EINVAL }
}

/// Waits for the launch. An init that ends first takes this process along.
fn wait_at((read, write): &(OwnedFd, OwnedFd)) {
    // This process's own copy of the other end would keep the read waiting for an init that has died.
    let own = write.as_raw_fd();
    let _ = sys::close_range(own, own);
    loop {
        match rustix::io::read(read, &mut [0; 1]) {
            Ok(1) => return,
            Err(rustix::io::Errno::INTR) => {}
            _ => sys::exit_now(function::EXIT_NOT_STARTED),
        }
    }
}

/// What one companion is to run.
pub(crate) fn companion(spec: &JailSpec, index: usize) -> JailSpec {
    let Companions { commands, env, cwd } = &spec.companions;
    JailSpec {
        command: commands.get(index).cloned().unwrap_or_default(),
        args: Vec::new(),
        env: env.clone(),
        cwd: cwd.clone(),
        companions: Companions::default(),
        ..spec.clone()
    }
}
