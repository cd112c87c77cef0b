//! The first process of a sandbox: builds it, starts the function's process, and waits.
//!
//! Here is what every isolation level needs; `namespaces` and `process` have the rest.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags};
use rustix::process::{Pid, Signal, kill_process};

use crate::error::{Step, StepError};
use crate::filter::Filter;
use crate::identity::{self, Lease};
use crate::phases::Phases;
use crate::protocol::{self, Event, JailSpec, Level, Network, Order, SpawnRequest};
use crate::sys::{self, Side};
use crate::{fds, function, namespaces, net, process};

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
    /// Started before this process was cloned.
    pub(crate) phases: Phases,
}

/// Runs the init; never returns into the spawner's code.
pub(crate) fn run(mut init: Init<'_>) -> ! {
    let failed = match start(&mut init) {
        Ok(None) => sys::exit_now(0),
        Ok(Some(function)) => watch(&init, function),
        Err(error) => error,
    };
    let event = Event::SetupFailed { step: failed.step.into_owned(), errno: failed.errno };
    let _ = protocol::send(init.control, &event, &[]);
    sys::exit_now(1)
}

/// Makes the empty sandbox, waits for what to build in it, builds it and starts the function; `None`
/// when spawner or daemon gave up.
fn start(init: &mut Init<'_>) -> Result<Option<i32>, StepError> {
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
    let Some(spec) = await_build(init)? else { return Ok(None) };
    init.phases.resume();
    if !build(init, &spec)? {
        return Ok(None);
    }
    let null = rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())
        .step("open /dev/null")?;
    // SAFETY: this process is a copy of the single-threaded spawner and has started no thread.
    match unsafe { sys::fork() }.step("fork the function's process")? {
        Side::Child => function::run(init, &spec, null.as_fd()),
        Side::Parent(pid) => {
            fds::replace_stdio(null.as_fd(), null.as_fd()).step("replace standard files of init")?;
            Ok(Some(pid))
        }
    }
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
    if init.request.level == Level::Namespaces && init.request.network != Network::Host {
        net::loopback_up()?;
    }
    let mut listeners = net::listeners(&init.request.listeners)?;
    if let Network::Connected(_) = init.request.network {
        listeners.extend(net::configuration()?);
    }
    init.phases.end("network");
    // The sockets close here with the end of this function: from now on the daemon alone holds them.
    let listeners: Vec<_> = listeners.iter().map(AsFd::as_fd).collect();
    let prepared = Event::Prepared { phases: init.phases.take() };
    protocol::send(init.control, &prepared, &listeners).step("report the empty sandbox")
}

/// Waits for the order that says what to build; `None` when it never comes.
fn await_build(init: &Init<'_>) -> Result<Option<JailSpec>, StepError> {
    loop {
        let mut polled = [
            PollFd::from_borrowed_fd(init.control, PollFlags::IN),
            PollFd::from_borrowed_fd(init.spawner_alive, PollFlags::IN),
        ];
        match poll(&mut polled, None) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(StepError::new("wait for the order to build", error)),
        }
        if !polled[1].revents().is_empty() {
            return Ok(None);
        }
        if !polled[0].revents().is_empty() {
            return match protocol::receive::<Order>(init.control) {
                Ok(Some((Order::Build(spec), _))) => Ok(Some(*spec)),
                // Told to end before it was anything.
                Ok(Some((Order::Terminate, _)) | None) => Ok(None),
                Err(error) => Err(StepError::new("receive the order to build", error)),
            };
        }
    }
}

/// Everything up to the fork. `false` when the spawner has died meanwhile.
fn build(init: &mut Init<'_>, spec: &JailSpec) -> Result<bool, StepError> {
    let built = match init.request.level {
        Level::Namespaces => namespaces::build(init, spec)?,
        Level::Process => process::build(init)?,
    };
    if built {
        // All that can fail for a reason of the host is done.
        let ready = Event::Ready { phases: init.phases.take() };
        protocol::send(init.control, &ready, &[]).step("report the sandbox")?;
    }
    Ok(built)
}

/// Gives up what waiting does not need. After the fork, because the function's process needs the
/// rights once more to give them up itself.
fn restrict(init: &Init<'_>) -> Result<(), StepError> {
    identity::restrict_init()?;
    rustix::thread::set_no_new_privs(true).step("set no_new_privs of init")?;
    // The output pipe most of all: its reader waits for the end of the function, not of the init.
    fds::close_all_except(&[init.control, init.spawner_alive]).step("close files of init")
}

/// Reaps the sandbox's processes until the function's own ends, the daemon closes the control
/// socket, or the spawner dies.
fn watch(init: &Init<'_>, function: i32) -> StepError {
    let children = match restrict(init).and_then(|()| sys::child_signal_fd().step("create signalfd of init"))
    {
        Ok(children) => children,
        Err(error) => return error,
    };
    loop {
        while let Some(child) = sys::reap() {
            if child.pid == function {
                report_end(init, &child);
            }
        }
        let mut polled = [
            PollFd::from_borrowed_fd(children.as_fd(), PollFlags::IN),
            PollFd::from_borrowed_fd(init.control, PollFlags::IN),
            PollFd::from_borrowed_fd(init.spawner_alive, PollFlags::IN),
        ];
        match poll(&mut polled, None) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return StepError::new("wait in init", error),
        }
        if !polled[2].revents().is_empty() {
            sys::exit_now(1);
        }
        if !polled[1].revents().is_empty() {
            obey(init, function);
        }
        let _ = rustix::io::read(&children, &mut [0; 1024]);
    }
}

/// Reads one order; the end of the control socket ends the sandbox.
fn obey(init: &Init<'_>, function: i32) {
    match protocol::receive::<Order>(init.control) {
        Ok(Some((Order::Terminate, _))) => {
            if let Some(pid) = Pid::from_raw(function) {
                let _ = kill_process(pid, Signal::TERM);
            }
        }
        Ok(Some((Order::Build(_), _)) | None) | Err(_) => sys::exit_now(1),
    }
}

fn report_end(init: &Init<'_>, ended: &sys::Reaped) -> ! {
    let max_rss_bytes = ended.max_rss_bytes;
    let event = match ended.status {
        Ok(code) => Event::Exited { code, max_rss_bytes },
        Err(signal) => Event::Signaled { signal, max_rss_bytes },
    };
    let _ = protocol::send(init.control, &event, &[]);
    sys::exit_now(0)
}

/// Whether the other end of this pipe is closed.
pub(crate) fn has_ended(pipe: BorrowedFd<'_>) -> bool {
    let mut polled = [PollFd::from_borrowed_fd(pipe, PollFlags::IN)];
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    poll(&mut polled, Some(&now)).is_ok_and(|ready| ready > 0)
}
