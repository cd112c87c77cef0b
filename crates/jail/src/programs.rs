//! The programs of a sandbox: its own one, and the companions that run beside it.
//!
//! All are children of the init. Companions are forked first; the sandbox's own program is forked with them, as long
//! as the init has the rights for it, and waits at a gate (a pipe) until the daemon orders its launch.

use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};

use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Pid, Signal, kill_process_group};

use crate::ahead::{Door, Waiting};
use crate::error::{Step, StepError};
use crate::function::{self, Role, Start};
use crate::init::Init;
use crate::oci::{self, Container, Stage};
use crate::protocol::{Companions, Event, JailSpec};
use crate::sys::{self, Reaped, Side};

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
    /// Forks all of them but the one that waits already; `companion_output` is for the output of companions.
    pub(crate) fn fork(
        init: &Init<'_>,
        spec: &JailSpec,
        built: &Built,
        null: BorrowedFd<'_>,
        companion_output: Option<&OwnedFd>,
        waiting: Option<Waiting>,
    ) -> Result<Self, StepError> {
        let mut companions = Vec::new();
        for index in 0..spec.companions.commands.len() {
            let output = companion_output
                .ok_or(rustix::io::Errno::PROTO)
                .step("receive the order to build: output of companions expected")?;
            let spec = companion(spec, index);
            let start = Start { role: Role::Companion(index), input: null, output: output.as_fd() };
            companions.push(Program::fork(init, &spec, built, &start, None)?);
        }
        if let Some(Waiting { pid, door, .. }) = waiting {
            let own = Program { pid, container: None, has_ended: false };
            let is_alone = companions.is_empty();
            let mut programs = Self { own, companions, gate: Some(Gate::Ahead(door, spec.env.clone())) };
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
        Ok(Self { own, companions, gate: gate.map(|(_, write)| Gate::Pipe(write)) })
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.companions.len() + 1
    }

    /// The file that must stay open until the launch.
    pub(crate) fn gate(&self) -> Option<BorrowedFd<'_>> {
        self.gate.as_ref().map(|gate| match gate {
            Gate::Pipe(pipe) => pipe.as_fd(),
            Gate::Ahead(door, _) => door.file(),
        })
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
