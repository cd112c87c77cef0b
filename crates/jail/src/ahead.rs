//! A program that is started ahead of demand: before it is known for whom.
//!
//! It is started in the empty sandbox, while its init still has the rights to build it. It gives up every right as any
//! program of a sandbox does, and then waits at its standard input for its environment. Until then the host's root is
//! still mounted where only root may enter, so such a program must be one that runs no code of a function: an
//! interpreter with a bootstrap of the daemon's.

use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd, RawFd};
use std::path::PathBuf;
use std::time::Duration;

use rustix::net::{AddressFamily, SendFlags, SocketFlags, SocketType, send, socketpair};
use rustix::pipe::{PipeFlags, pipe_with};

use crate::error::{Step, StepError};
use crate::function::{self, Image, Role, Start};
use crate::init::{self, Init};
use crate::protocol::{Event, JailSpec, Level};
use crate::snapshot::{self, CaptureError, Captured};
use crate::sys::{self, Side};
use crate::{identity, mounts, namespaces, protocol};

/// What a program waits on: its standard input.
const INPUT: RawFd = 0;

/// How long one that is ready may take until it waits.
const PATIENCE: Duration = Duration::from_secs(1);

/// A program that waits.
pub(crate) struct Waiting {
    pub(crate) pid: i32,
    pub(crate) door: Door,
    /// See [`JailSpec::directories`].
    pub(crate) directories: Vec<PathBuf>,
    is_ready: bool,
}

/// Our end of its standard input.
pub(crate) struct Door(OwnedFd);

impl Door {
    /// With the program's end.
    pub(crate) fn new() -> Result<(Self, OwnedFd), StepError> {
        let pair = socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None);
        let (own, its) = pair.step("create the input of the program")?;
        Ok((Self(own), its))
    }

    /// For poll(2): readable when the program has something to tell.
    pub(crate) fn file(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }

    /// Gives the program its environment, and lets it go on. One that has ended is told of by its end.
    pub(crate) fn open(self, env: &[(String, String)]) {
        let text: String = env.iter().map(|(name, value)| format!("{name}={value}\0")).collect();
        let mut left = text.as_bytes();
        while !left.is_empty() {
            // NOSIGNAL: a reader that has died is no reason to die of SIGPIPE.
            match send(&self.0, left, SendFlags::NOSIGNAL) {
                Ok(sent) => left = left.get(sent..).unwrap_or_default(),
                Err(rustix::io::Errno::INTR) => {}
                Err(_) => return,
            }
        }
    }
}

impl Waiting {
    /// Starts the program; it may still have a lot to load when this returns. One that is restored from an image is
    /// ready.
    pub(crate) fn start(
        init: &mut Init<'_>,
        spec: &JailSpec,
        image: Option<OwnedFd>,
    ) -> Result<Self, StepError> {
        if init.request.level != Level::Namespaces || !init.request.host_root {
            return Err(StepError { step: "start a program ahead".into(), errno: libc::EOPNOTSUPP });
        }
        show(init, spec)?;
        init::prepare_questions(init)?;
        let (own, its) = Door::new()?;
        let report = pipe_with(PipeFlags::CLOEXEC).step("create pipe for the report")?;
        let door = its.try_clone().step("copy the input of the program")?;
        let image = match (&spec.snapshot, image) {
            (Some(snapshot), Some(file)) => {
                Some(Image { snapshot: snapshot.clone(), file, door, report: report.1 })
            }
            _ => None,
        };
        // SAFETY: this process is a copy of the single-threaded spawner and has started no thread.
        match unsafe { sys::fork() }.step("fork the function's process")? {
            Side::Child => {
                // Its init does this when the sandbox is built.
                let failed = match namespaces::become_init(init) {
                    Ok(true) => {
                        let start = Start { role: Role::Function, input: its.as_fd(), output: init.output };
                        match image {
                            None => function::run(init, spec, &start),
                            // SAFETY: this child of a process with one thread has no other, and does nothing else.
                            Some(image) => unsafe { function::restore(init, spec, &start, image) },
                        }
                    }
                    Ok(false) => None,
                    Err(error) => Some(error),
                };
                let event = failed.map(|error| Role::Function.failure(error));
                let _ = event.map(|event| protocol::send(init.control, &event, &[]));
                sys::exit_now(function::EXIT_NOT_STARTED)
            }
            Side::Parent(pid) => {
                let is_restored = image.is_some();
                // Our copies of its ends must be gone, or its own end could not be told.
                drop((its, image));
                if is_restored {
                    match snapshot::failure(report.0.as_fd()) {
                        Some(error) => return Err(error),
                        None => protocol::send(init.control, &Event::Started, &[]),
                    }
                    .step("report the program started ahead")?;
                }
                let directories = spec.directories.clone();
                Ok(Self { pid, door: own, directories, is_ready: is_restored })
            }
        }
    }

    /// Takes its image and hands that out.
    pub(crate) fn capture(&self, control: BorrowedFd<'_>) -> Result<(), StepError> {
        hand_out(snapshot::capture(self.pid, INPUT, PATIENCE), control)
    }

    /// Reads what it has to tell, once [`Door::file`] is readable, and passes on that it is ready.
    ///
    /// # Errors
    /// When it has ended, or says what it should not.
    pub(crate) fn listen(&mut self, control: BorrowedFd<'_>) -> Result<(), StepError> {
        match rustix::io::read(self.door.file(), &mut [0; 1]) {
            Ok(1) if !self.is_ready => {
                self.is_ready = true;
                protocol::send(control, &Event::Started, &[]).step("report the program started ahead")
            }
            Err(rustix::io::Errno::INTR) => Ok(()),
            Ok(_) => {
                Err(StepError { step: "wait for the program started ahead".into(), errno: libc::ECHILD })
            }
            Err(error) => Err(StepError::new("wait for the program started ahead", error)),
        }
    }
}

/// Tells of an image, or why there is none.
pub(crate) fn hand_out(
    captured: Result<Captured, CaptureError>,
    control: BorrowedFd<'_>,
) -> Result<(), StepError> {
    let (snapshot, image) = match captured {
        Ok(Captured { snapshot, image }) => (Ok(snapshot), Some(image)),
        Err(error) => (Err(error.to_string()), None),
    };
    let image: Vec<_> = image.iter().map(OwnedFd::as_fd).collect();
    protocol::send(control, &Event::Captured { snapshot }, &image).step("hand out the image")
}

/// Mounts what the program needs: in a child, because it takes another user than the one that may look for sources.
fn show(init: &Init<'_>, spec: &JailSpec) -> Result<(), StepError> {
    let binds = mounts::capture_in_host(spec)?;
    // SAFETY: as in `Waiting::start`.
    match unsafe { sys::fork() }.step("fork to show the program")? {
        Side::Child => {
            let shown = identity::become_init(init.lease).and_then(|()| mounts::show(binds, spec));
            if let Err(error) = &shown {
                let event = Event::SetupFailed { step: error.step.to_string(), errno: error.errno };
                let _ = protocol::send(init.control, &event, &[]);
            }
            sys::exit_now(shown.is_err().into())
        }
        Side::Parent(pid) => match sys::wait_for(pid).step("wait for the program's files")? {
            Ok(0) => Ok(()),
            _ => Err(StepError { step: "show the program".into(), errno: libc::ECHILD }),
        },
    }
}
