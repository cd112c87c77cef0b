//! The spawner: turns a request into a process in new namespaces.
//!
//! It has one thread, which is what makes cloning sound, and it stays small, which is what makes
//! cloning fast: the daemon's memory, threads and sockets are never copied into a sandbox.
//!
//! It ends when its request socket does. A parent-death signal would be wrong here: prctl(2) ties it
//! to the *thread* that started the process, and threads of the daemon come and go.

use std::cell::OnceCell;
use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{Mode, OFlags};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Pid, Signal, kill_process, pidfd_send_signal};

use crate::error::{Step, StepError};
use crate::filter::{Filters, Surroundings};
use crate::identity::Lease;
use crate::ids::{self, HostIds};
use crate::init::{self, Init};
use crate::oci::Policy;
use crate::phases::Phases;
use crate::protocol::{self, ConnectRequest, Event, Level, Network, Request, SpawnRequest};
use crate::sys::{self, Cloned, Side};
use crate::uplink::Uplinks;
use crate::{SPAWNER_ARG0, fds, namespaces, rlimits, tree};

/// How readily the kernel's out-of-memory killer picks a sandbox instead of the daemon or anything
/// else on the host, see proc_pid_oom_score_adj(5). Never needs a right, because it only rises.
const OOM_SCORE_ADJ: &str = "500";

struct Spawner {
    requests: OwnedFd,
    /// Readable when a child ended.
    children: OwnedFd,
    /// A pipe whose write end is held by this process only, so that the read end tells each init when this
    /// process is gone.
    alive: (OwnedFd, OwnedFd),
    filters: Filters,
    /// Made with the first container.
    policy: OnceCell<Policy>,
    /// See [`sys::landlock_abi`].
    landlock_abi: Option<u32>,
    ids: HostIds,
    /// Whether sandboxes at the level `process` can have ids of their own.
    ids_without_namespace: bool,
    /// By the process id of the init.
    sandboxes: HashMap<i32, Living>,
    /// Freezers of living sandboxes by the process id of their init.
    freezers: HashMap<i32, PathBuf>,
    uplinks: Uplinks,
}

/// A sandbox whose init was not reaped.
struct Living {
    id: String,
    level: Level,
    lease: Lease,
}

/// Runs until the request socket ends.
pub(crate) fn run() -> Result<(), StepError> {
    let mut spawner = Spawner::new()?;
    loop {
        let (requested, ended) = spawner.wait()?;
        if ended {
            spawner.reap();
        }
        if requested && !spawner.serve_one()? {
            spawner.thaw_all();
            return Ok(());
        }
    }
}

impl Spawner {
    fn new() -> Result<Self, StepError> {
        rustix::thread::set_name(c"lambd-spawner").step("set process name")?;
        // A session of its own: Ctrl-C in the daemon's terminal is the daemon's to handle, and the
        // sandboxes must live until it has drained them. Fails only for a session leader, which is fine.
        let _ = rustix::process::setsid();
        sys::ignore_signals(&[libc::SIGINT, libc::SIGTERM, libc::SIGHUP, libc::SIGQUIT, libc::SIGPIPE]);
        rustix::process::umask(Mode::from_raw_mode(0o022));
        rlimits::raise_shared();
        fds::close_all_except(&[]).step("close inherited files")?;
        // What an init leaves that was killed before it could end its sandbox comes here.
        rustix::process::set_child_subreaper(Some(rustix::process::getpid())).step("adopt orphans")?;

        // The request socket leaves the place of standard input, so that no child can mistake it.
        let requests =
            rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdin(), 3).step("take over request socket")?;
        let null = rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())
            .step("open /dev/null")?;
        rustix::stdio::dup2_stdin(&null).step("replace standard input")?;

        Ok(Self {
            requests,
            children: sys::child_signal_fd().step("create signalfd")?,
            alive: pipe_with(PipeFlags::CLOEXEC).step("create pipe")?,
            filters: Filters::default(),
            policy: OnceCell::new(),
            landlock_abi: sys::landlock_abi(),
            ids: HostIds::detect(),
            ids_without_namespace: ids::has_ids_for_sandboxes(),
            sandboxes: HashMap::new(),
            freezers: HashMap::new(),
            uplinks: Uplinks::default(),
        })
    }

    /// Waits for a request or the end of a child; says which.
    fn wait(&self) -> Result<(bool, bool), StepError> {
        let mut polled =
            [PollFd::new(&self.requests, PollFlags::IN), PollFd::new(&self.children, PollFlags::IN)];
        match poll(&mut polled, None) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(StepError::new("wait for requests", error)),
        }
        Ok((!polled[0].revents().is_empty(), !polled[1].revents().is_empty()))
    }

    fn reap(&mut self) {
        let _ = rustix::io::read(&self.children, &mut [0; 1024]);
        while let Some(child) = sys::reap() {
            self.freezers.remove(&child.pid);
            if let Some(killed) = self.uplinks.reaped(child.pid) {
                self.thaw(killed);
            }
            let Some(Living { level, lease, .. }) = self.sandboxes.remove(&child.pid) else { continue };
            // An init that ends by itself has ended its sandbox before.
            if level == Level::Process && child.status.is_err() && lease != Lease::Own {
                let _ = tree::signal(lease, Signal::KILL);
            }
            self.ids.give_back(lease);
        }
        self.kill_orphans();
    }

    /// Kills what came here because its init was killed. It may have children itself; they come here when
    /// it is dead, which wakes this process again.
    fn kill_orphans(&self) {
        let own = rustix::process::getpid().as_raw_nonzero().get();
        let known = |pid: &i32| self.sandboxes.contains_key(pid) || self.uplinks.contains(*pid);
        for child in tree::children(own).into_iter().filter(|pid| !known(pid)) {
            if let Some(pid) = Pid::from_raw(child) {
                let _ = kill_process(pid, Signal::KILL);
            }
        }
    }

    /// Lets a killed sandbox die: a process that cgroup v1 has frozen does not end by a signal.
    fn thaw(&self, init: i32) {
        if let Some(state) = self.freezers.get(&init) {
            let _ = std::fs::write(state, "THAWED");
        }
    }

    /// When this process ends, all sandboxes have to.
    fn thaw_all(&self) {
        self.freezers.keys().for_each(|init| self.thaw(*init));
    }

    /// Serves one request; `false` at the end of the socket.
    fn serve_one(&mut self) -> Result<bool, StepError> {
        let (request, passed) = match protocol::receive::<Request>(&self.requests) {
            Ok(Some(message)) => message,
            Ok(None) => return Ok(false),
            // A daemon that was killed with requests under way resets the connection.
            Err(error) if error.raw_os_error() == Some(libc::ECONNRESET) => return Ok(false),
            Err(error) => return Err(StepError::new("receive request", error)),
        };
        let mut passed = passed.into_iter();
        let missing = || StepError { step: "receive request: files expected".into(), errno: libc::EPROTO };
        let request = match request {
            Request::Spawn(request) => request,
            Request::Connect(request) => {
                self.connect_later(&request, &passed.next().ok_or_else(missing)?);
                return Ok(true);
            }
        };
        let (Some(control), Some(output)) = (passed.next(), passed.next()) else { return Err(missing()) };
        if let Err(error) = self.spawn(&request, &control, output, passed.next()) {
            let failed = Event::SetupFailed { step: error.step.into_owned(), errno: error.errno };
            // A daemon that closed the control socket has lost interest.
            let _ = protocol::send(&control, &failed, &[]);
        }
        Ok(true)
    }

    fn spawn(
        &mut self,
        request: &SpawnRequest,
        control: &OwnedFd,
        output: OwnedFd,
        uplink_log: Option<OwnedFd>,
    ) -> Result<(), StepError> {
        let phases = Phases::start();
        let home = request
            .cgroup
            .v2_directory
            .as_ref()
            .map(|path| {
                rustix::fs::open(path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
                    .step_with(|| format!("open cgroup {}", path.display()))
            })
            .transpose()?;
        let mut tasks = open_tasks(&request.cgroup.v1_tasks_files)?;
        let (released, release) = pipe_with(PipeFlags::CLOEXEC).step("create pipe")?;
        let lease = match request.level {
            Level::Oci => self.ids.take()?.for_runtime(),
            Level::Process if !self.ids_without_namespace => Lease::Own,
            Level::Namespaces | Level::Process => self.ids.take()?,
        };
        let filter = self.filters.get(Surroundings::of(request, lease, self.landlock_abi));
        let policy = (request.level == Level::Oci).then(|| self.policy.get_or_init(|| Policy::new(filter)));

        // SAFETY: the spawner runs before any thread exists (see `run_if_spawner`) and starts none.
        let cloned = match unsafe { clone(request, home.as_ref(), &mut tasks) } {
            Ok(Side::Parent(cloned)) => cloned,
            Ok(Side::Child) => init::run(Init {
                request,
                lease,
                control: control.as_fd(),
                output: output.as_fd(),
                released: released.as_fd(),
                cgroup_tasks: &tasks,
                spawner_alive: self.alive.0.as_fd(),
                filter,
                policy,
                listeners: Vec::new(),
                questions: None,
                phases,
            }),
            Err(error) => {
                self.ids.give_back(lease);
                return Err(StepError::new("clone3 with new namespaces", error));
            }
        };
        let living = Living { id: request.id.clone(), level: request.level, lease };
        self.sandboxes.insert(cloned.pid, living);
        if let Some(freezer) = freezer(&request.cgroup.v1_tasks_files) {
            self.freezers.insert(cloned.pid, freezer);
        }
        let admitted = admit(&cloned, lease, request.level).and_then(|()| {
            self.connect(request, &cloned, lease, uplink_log)?;
            let spawned = Event::Spawned { pid: cloned.pid, uid: lease.own_uid() };
            protocol::send(control, &spawned, &[cloned.pidfd.as_fd()]).step("report the new process")?;
            rustix::io::write(&release, &[1]).step("release the new process").map(drop)
        });
        if admitted.is_err() {
            let _ = pidfd_send_signal(&cloned.pidfd, Signal::KILL);
        }
        admitted
    }
}

impl Spawner {
    /// Starts what connects the sandbox's network to the daemon's, if it is to be connected.
    fn connect(
        &mut self,
        request: &SpawnRequest,
        init: &Cloned,
        lease: Lease,
        log: Option<OwnedFd>,
    ) -> Result<(), StepError> {
        let Network::Connected(uplink) = &request.network else { return Ok(()) };
        let log = log.ok_or(rustix::io::Errno::PROTO).step("receive request: log of uplink expected")?;
        // SAFETY: as for the clone of the init, the spawner has a single thread.
        unsafe { self.uplinks.start(uplink, init.pid, lease, log.as_fd()) }
    }

    /// The same for a sandbox that has lived without. What goes wrong is said in the log, whose end is the end of the
    /// uplink; so it is where there is no such sandbox any more.
    fn connect_later(&mut self, request: &ConnectRequest, log: &OwnedFd) {
        let found = self.sandboxes.iter().find(|(_, living)| living.id == request.id);
        let Some((init, lease)) = found.map(|(init, living)| (*init, living.lease)) else { return };
        // SAFETY: as above.
        if let Err(error) = unsafe { self.uplinks.start(&request.uplink, init, lease, log.as_fd()) } {
            let _ = rustix::io::write(log, format!("{error}\n").as_bytes());
        }
    }
}

/// Makes the process, in namespaces if its level has them, and in its cgroup of version 2.
///
/// # Safety
/// As for [`sys::clone_process`].
unsafe fn clone(
    request: &SpawnRequest,
    home: Option<&OwnedFd>,
    tasks: &mut Vec<OwnedFd>,
) -> io::Result<Side<Cloned>> {
    let flags = match request.level {
        Level::Namespaces | Level::Oci => namespaces::flags(&request.network),
        Level::Process => 0,
    };
    // SAFETY: the caller's promise.
    match unsafe { sys::clone_process(flags, home.map(AsFd::as_fd)) } {
        Err(error) if request.level == Level::Process && error.raw_os_error() == Some(libc::ENOSYS) => {
            // The child then enters its cgroup by itself.
            if let Some(home) = home {
                let flags = OFlags::WRONLY | OFlags::CLOEXEC;
                tasks.push(rustix::fs::openat(home, "cgroup.procs", flags, Mode::empty())?);
            }
            // SAFETY: the caller's promise.
            unsafe { sys::clone_plain() }
        }
        cloned => cloned,
    }
}

/// The file that freezes a sandbox, among the tasks files of cgroup v1.
fn freezer(tasks_files: &[PathBuf]) -> Option<PathBuf> {
    tasks_files.iter().map(|tasks| tasks.with_file_name("freezer.state")).find(|state| state.exists())
}

/// Opens files through which the child enters its cgroups by itself. The rights that count are those
/// of the process that opened them (cgroups(7), "Cgroups v2 delegation").
fn open_tasks(paths: &[PathBuf]) -> Result<Vec<OwnedFd>, StepError> {
    let open = |path: &PathBuf| {
        rustix::fs::open(path, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())
            .step_with(|| format!("open {}", path.display()))
    };
    paths.iter().map(open).collect()
}

/// Gives the waiting child its ids. Its parent must do it: only a process outside may write maps with
/// more than its own id.
fn admit(child: &Cloned, lease: Lease, level: Level) -> Result<(), StepError> {
    let write = |file: &Path, contents: &str, step: &'static str| {
        write_once(file, contents).step_with(|| format!("{step} {}", file.display()))
    };
    let process = Path::new("/proc").join(child.pid.to_string());
    prefer_as_victim(&child.pid.to_string());
    if level == Level::Process {
        return Ok(());
    }
    if !lease.may_set_groups() {
        // Before the group map, see user_namespaces(7).
        write(&process.join("setgroups"), "deny", "forbid setgroups in")?;
    }
    write(&process.join("uid_map"), &lease.uid_map(), "write")?;
    write(&process.join("gid_map"), &lease.gid_map(), "write")?;
    Ok(())
}

/// Makes a process in /proc rather than the daemon the victim of the out-of-memory killer. Best effort: a host
/// that hides the file loses a preference, not a limit.
pub(crate) fn prefer_as_victim(process: &str) {
    let _ = write_once(&Path::new("/proc").join(process).join("oom_score_adj"), OOM_SCORE_ADJ);
}

/// One write(2), as the files of /proc and cgroups demand.
fn write_once(path: &Path, contents: &str) -> io::Result<()> {
    File::options().write(true).open(path)?.write_all(contents.as_bytes())
}

// The name in the process list is cut to 15 bytes by the kernel, see PR_SET_NAME in prctl(2).
const _: () = assert!(SPAWNER_ARG0.len() <= 15);
