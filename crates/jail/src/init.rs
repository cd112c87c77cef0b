//! The first process of a sandbox: builds it, starts its programs, and waits.
//!
//! Here is what every isolation level needs; `namespaces`, `process` and `oci` have the rest.

use std::convert::Infallible;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use rustix::process::Signal;

use crate::ahead::Waiting;
use crate::error::{Step, StepError};
use crate::filter::Filter;
use crate::identity::{self, Lease};
use crate::oci::{self, Policy};
use crate::phases::Phases;
use crate::programs::{Built, Ended, Programs};
use crate::protocol::{self, Event, JailSpec, Level, Listener, Network, Order, SpawnRequest};
use crate::supervisor::Questions;
use crate::sys;
use crate::{fds, namespaces, net, process, tap, tree};

/// What the init gets from the spawner.
pub(crate) struct Init<'a> {
    pub(crate) request: &'a SpawnRequest,
    pub(crate) lease: Lease,
    /// This sandbox's end of its control socket.
    pub(crate) control: BorrowedFd<'a>,
    /// Write end of the function's output.
    pub(crate) output: BorrowedFd<'a>,
    /// Readable once the spawner has given ids.
    pub(crate) released: BorrowedFd<'a>,
    /// Open `tasks` files of the cgroups (v1) to enter.
    pub(crate) cgroup_tasks: &'a [OwnedFd],
    /// Ends when the spawner does.
    pub(crate) spawner_alive: BorrowedFd<'a>,
    pub(crate) filter: &'a Filter,
    /// At level `oci`: what all containers have in common.
    pub(crate) policy: Option<&'a Policy>,
    /// Where the listeners ended up; empty before they are made.
    pub(crate) listeners: Vec<Listener>,
    /// Both ends of a socket over which the function's process hands out the questions of its filter; the
    /// init's own end first.
    pub(crate) questions: Option<(OwnedFd, OwnedFd)>,
    /// Started before this process was cloned.
    pub(crate) phases: Phases,
}

/// Runs the init; never returns into the spawner's code.
pub(crate) fn run(mut init: Init<'_>) -> ! {
    let failed = match start(&mut init) {
        Ok(None) => sys::exit_now(0),
        Ok(Some(programs)) => watch(&init, programs),
        Err(error) => error,
    };
    let event = Event::SetupFailed { step: failed.step.into_owned(), errno: failed.errno };
    let _ = protocol::send(init.control, &event, &[]);
    sys::exit_now(1)
}

/// Makes the empty sandbox, waits for what to build in it, builds it and starts the function; `None`
/// when spawner or daemon gave up.
fn start(init: &mut Init<'_>) -> Result<Option<Programs>, StepError> {
    init.phases.end("clone");
    // Nothing of the spawner's may stay open here; the other end of `released`, for one, would
    // keep the read below waiting for a spawner that has died.
    let mut keep = vec![init.control, init.output, init.spawner_alive, init.released];
    keep.extend(init.cgroup_tasks.iter().map(AsFd::as_fd));
    fds::close_all_except(&keep).step("close inherited files")?;
    // Ids are not mapped before the spawner says so; no step below would work.
    if !matches!(rustix::io::read(init.released, &mut [0; 1]), Ok(1)) {
        return Ok(None);
    }
    init.phases.end("map ids");
    enter_cgroups(init.cgroup_tasks)?;
    fds::close_all_except(&keep[..3]).step("close cgroup files")?;
    init.phases.end("enter cgroups");
    prepare(init)?;
    let Some(Build { spec, file, waiting }) = await_build(init)? else { return Ok(None) };
    init.phases.resume();
    let directories = waiting.as_ref().map(|waiting| &*waiting.directories);
    let Some(built) = build(init, &spec, directories)? else { return Ok(None) };
    // All that can fail for a reason of the host is done, unless a program is restored.
    let is_restored = spec.snapshot.is_some();
    if !is_restored {
        report_ready(init)?;
    }
    prepare_questions(init)?;
    let null = rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())
        .step("open /dev/null")?;
    let programs = Programs::fork(init, &spec, &built, null.as_fd(), file, waiting)?;
    if is_restored {
        init.phases.end("restore");
        report_ready(init)?;
    }
    fds::replace_stdio(null.as_fd(), null.as_fd()).step("replace standard files of init")?;
    Ok(Some(programs))
}

/// Enters the cgroups (v1) before anything is allocated that they shall account for.
///
/// By itself and by `tasks`, not by its parent and `cgroup.procs`: for a process that moves its own
/// single thread the kernel skips a lock whose holder waits for a grace period of RCU, about six
/// milliseconds on an idle machine.
fn enter_cgroups(tasks: &[OwnedFd]) -> Result<(), StepError> {
    for file in tasks {
        // Zero means the writer.
        rustix::io::write(file, b"0").step("enter cgroup")?;
    }
    Ok(())
}

/// What does not depend on the function: the network and its listeners.
fn prepare(init: &mut Init<'_>) -> Result<(), StepError> {
    rustix::thread::set_name(c"lambd-init").step("set process name")?;
    if init.request.level != Level::Process && init.request.network != Network::Host {
        net::loopback_up()?;
    }
    let mut listeners = net::listeners(&init.request.listeners)?;
    init.listeners = net::addresses(&init.request.listeners, &listeners)?;
    if init.request.network.has_uplink() {
        listeners.extend(net::configuration()?);
    }
    if let Network::Held { interface } = &init.request.network {
        listeners.extend(tap::make(interface)?);
    }
    init.phases.end("network");
    match init.request.level {
        Level::Namespaces => namespaces::prepare(init)?,
        Level::Process => process::prepare(init)?,
        Level::Oci => {}
    }
    // The sockets close here with the end of this function: from now on the daemon alone holds them.
    let listeners: Vec<_> = listeners.iter().map(AsFd::as_fd).collect();
    let prepared = Event::Prepared { phases: init.phases.take() };
    protocol::send(init.control, &prepared, &listeners).step("report the empty sandbox")
}

/// The order that says what to build, and what was there before it came.
struct Build {
    spec: JailSpec,
    /// What came along: the image of a program that is restored, or the write end of the pipe for the output of
    /// companions.
    file: Option<OwnedFd>,
    waiting: Option<Waiting>,
}

/// Waits for the order that says what to build; `None` when it never comes. Starts a program ahead of it where that is
/// ordered.
fn await_build(init: &mut Init<'_>) -> Result<Option<Build>, StepError> {
    let mut waiting: Option<Waiting> = None;
    loop {
        let files = [init.control, init.spawner_alive].into_iter();
        let files = files.chain(waiting.iter().map(|waiting| waiting.door.file()));
        let mut polled: Vec<_> = files.map(|file| PollFd::from_borrowed_fd(file, PollFlags::IN)).collect();
        match poll(&mut polled, None) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(StepError::new("wait for the order to build", error)),
        }
        let ready: Vec<_> = polled.iter().map(|polled| !polled.revents().is_empty()).collect();
        if ready[1] {
            return Ok(None);
        }
        if let (Some(waiting), Some(true)) = (&mut waiting, ready.get(2)) {
            waiting.listen(init.control)?;
        }
        if !ready[0] {
            continue;
        }
        match protocol::receive::<Order>(init.control) {
            Ok(Some((Order::Start(spec), files))) if waiting.is_none() => {
                waiting = Some(Waiting::start(init, &spec, files.into_iter().next())?);
            }
            Ok(Some((Order::Capture, _))) if waiting.is_some() => {
                waiting.iter().try_for_each(|waiting| waiting.capture(init.control))?;
            }
            Ok(Some((Order::Build(spec), files))) => {
                return Ok(Some(Build { spec: *spec, file: files.into_iter().next(), waiting }));
            }
            // Told to end before it was anything.
            Ok(_) => return Ok(None),
            Err(error) => return Err(StepError::new("receive the order to build", error)),
        }
    }
}

/// Makes the socket for what filters ask, once. A container has a filter of its own, which asks nothing.
pub(crate) fn prepare_questions(init: &mut Init<'_>) -> Result<(), StepError> {
    if init.filter.asks() && init.questions.is_none() {
        let flags = SocketFlags::CLOEXEC;
        let pair = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None);
        init.questions = Some(pair.step("create socket for the supervisor")?);
    }
    Ok(())
}

/// Everything up to the fork; `directories` are those of a program that waits, if one does. `None` when the spawner has
/// died meanwhile.
fn build(
    init: &mut Init<'_>,
    spec: &JailSpec,
    directories: Option<&[PathBuf]>,
) -> Result<Option<Built>, StepError> {
    Ok(match init.request.level {
        Level::Namespaces => namespaces::build(init, spec, directories)?.then_some(Built::Function),
        Level::Process => process::build(init)?.then_some(Built::Function),
        Level::Oci => oci::build(init, spec)?.map(Built::Container),
    })
}

fn report_ready(init: &mut Init<'_>) -> Result<(), StepError> {
    let ready = Event::Ready { phases: init.phases.take() };
    protocol::send(init.control, &ready, &[]).step("report the sandbox")
}

/// Gives up what waiting does not need. After the fork, because the function's process needs the
/// rights once more to give them up itself.
fn restrict(init: &Init<'_>, programs: &Programs) -> Result<(), StepError> {
    identity::restrict_init(init.request.level, init.lease, programs.is_to_be_captured())?;
    rustix::thread::set_no_new_privs(true).step("set no_new_privs of init")?;
    // The output pipe most of all: its reader waits for the end of the function, not of the init.
    let mut keep = vec![init.control, init.spawner_alive];
    keep.extend(init.questions.iter().map(|(own, _)| own.as_fd()));
    keep.extend(programs.files());
    fds::close_all_except(&keep).step("close files of init")
}

/// Waits until the function's own process ends, the daemon closes the control socket, or the spawner dies;
/// whichever it is, nothing of the sandbox is left then.
fn watch(init: &Init<'_>, programs: Programs) -> StepError {
    let Err(error) = restrict(init, &programs).and_then(|()| serve(init, programs));
    end_all(init);
    error
}

/// Reaps the sandbox's processes, follows orders, answers questions.
fn serve(init: &Init<'_>, mut programs: Programs) -> Result<Infallible, StepError> {
    let children = sys::child_signal_fd().step("create signalfd of init")?;
    let mut questions = Questions::of(init, programs.count());
    loop {
        while let Some(child) = sys::reap() {
            for end in programs.reaped(child) {
                let (Ended::Told(event) | Ended::Last(event)) = &end;
                let _ = protocol::send(init.control, event, &[]);
                if let Ended::Last(_) = end {
                    end_all(init);
                    sys::exit_now(0);
                }
            }
        }
        let files = [children.as_fd(), init.control, init.spawner_alive].into_iter().chain(questions.files());
        let mut polled: Vec<_> = files.map(|file| PollFd::from_borrowed_fd(file, PollFlags::IN)).collect();
        match poll(&mut polled, None) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(StepError::new("wait in init", error)),
        }
        let ready: Vec<_> = polled.iter().map(PollFd::revents).collect();
        if !ready[2].is_empty() {
            end_all(init);
            sys::exit_now(1);
        }
        if !ready[1].is_empty() {
            obey(init, &mut programs);
        }
        questions.serve(&ready[3..]);
        let _ = rustix::io::read(&children, &mut [0; 1024]);
    }
}

/// Reads one order; the end of the control socket ends the sandbox.
fn obey(init: &Init<'_>, programs: &mut Programs) {
    match protocol::receive::<Order>(init.control) {
        Ok(Some((Order::Launch, _))) => programs.launch(),
        Ok(Some((Order::Terminate, _))) => programs.terminate(),
        Ok(Some((Order::Kill, _))) => programs.kill(),
        Ok(Some((Order::Socket, _))) => hand_out_socket(init),
        Ok(Some((Order::Capture, _))) if programs.is_to_be_captured() => programs.capture(init.control),
        Ok(Some((Order::Stop, _))) => signal_all(init, Signal::STOP),
        Ok(Some((Order::Continue, _))) => signal_all(init, Signal::CONT),
        Ok(Some((Order::Start(_) | Order::Capture | Order::Build(_), _)) | None) | Err(_) => {
            end_all(init);
            sys::exit_now(1)
        }
    }
}

/// Opens a socket for the daemon. It belongs to this network for ever, whoever connects it.
fn hand_out_socket(init: &Init<'_>) {
    let _ = match net::client() {
        Ok(socket) => protocol::send(init.control, &Event::Socket { errno: None }, &[socket.as_fd()]),
        Err(error) => protocol::send(init.control, &Event::Socket { errno: Some(error.raw_os_error()) }, &[]),
    };
}

fn signal_all(init: &Init<'_>, signal: Signal) {
    if init.request.level == Level::Process {
        // The daemon asks again before the next event, or gives the sandbox up.
        let _ = tree::signal(init.lease, signal);
    }
}

/// Ends every other process of the sandbox. In a pid namespace that is the kernel's doing, when this
/// process exits.
fn end_all(init: &Init<'_>) {
    if init.request.level == Level::Process {
        tree::kill(init.lease);
    }
}

/// Whether the other end of this pipe is closed.
pub(crate) fn has_ended(pipe: BorrowedFd<'_>) -> bool {
    let mut polled = [PollFd::from_borrowed_fd(pipe, PollFlags::IN)];
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    poll(&mut polled, Some(&now)).is_ok_and(|ready| ready > 0)
}
