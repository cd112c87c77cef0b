//! A running sandbox: its end, killing it, its memory.

use std::fmt;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Once, Weak};
use std::time::Duration;

use lambd_jail::protocol::{Event, Order, Phase};
use lambd_jail::snapshot::{Captured, Snapshot};
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::process::{Signal, pidfd_send_signal};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};

use crate::cgroups::CgroupSet;
use crate::channel::{self, Control};
use crate::companions::{self, CompanionEnd, Questions};
use crate::network::Connection;
use crate::peers::Peers;
use crate::prepared::ListenerSocket;
use crate::process;
use crate::scratch::Lease;
use crate::tmp::{self, TmpDirectory};

/// How a sandbox ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ExitStatus {
    /// The program ended with this exit code.
    Exited(i32),
    /// The program was ended by this signal, or the sandbox was killed by [`Sandbox::kill`] (9).
    Signaled(i32),
    /// The kernel killed the program because the sandbox was over its memory limit.
    OutOfMemory,
    /// The program was never started.
    NotStarted(ExecError),
    /// The sandbox ended without a report: its spawner or its init was killed from outside.
    Lost,
}

/// Why a program was not started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExecError {
    /// `execve`, or a step just before it.
    pub step: String,
    /// The error number, see execve(2); zero where an OCI runtime told no more than the step says.
    pub errno: i32,
}

impl ExecError {
    /// The error number's kind: `NotFound`, `PermissionDenied` and others.
    #[must_use]
    pub fn kind(&self) -> io::ErrorKind {
        io::Error::from_raw_os_error(self.errno).kind()
    }
}

impl fmt::Display for ExecError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.errno {
            0 => f.write_str(&self.step),
            number => write!(f, "{}: {}", self.step, io::Error::from_raw_os_error(number)),
        }
    }
}

/// The process tree of a sandbox, by its init. Killed when dropped.
pub(crate) struct Tree {
    pub(crate) pid: i32,
    /// Host user id of the function, if nobody else has it.
    pub(crate) uid: Option<u32>,
    /// Whether the kernel kills the rest with the init. Else the init does, and must not be killed itself.
    is_namespace: bool,
    pidfd: AsyncFd<OwnedFd>,
    killed: AtomicBool,
}

impl Tree {
    pub(crate) fn new(pid: i32, uid: Option<u32>, is_namespace: bool, pidfd: OwnedFd) -> io::Result<Self> {
        let pidfd = channel::register(pidfd, Interest::READABLE)?;
        Ok(Self { pid, uid, is_namespace, pidfd, killed: AtomicBool::new(false) })
    }

    /// Whether its init has not ended, see poll(2) on a pidfd.
    pub(crate) fn is_alive(&self) -> bool {
        let mut polled = [PollFd::new(self.pidfd.get_ref(), PollFlags::IN)];
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        matches!(rustix::event::poll(&mut polled, Some(&now)), Ok(0))
    }

    fn kill(&self) {
        self.killed.store(true, Ordering::Relaxed);
        // Fails only when it is dead already. Without a namespace the init ends when its control socket does,
        // unless somebody has stopped it.
        let signal = if self.is_namespace { Signal::KILL } else { Signal::CONT };
        let _ = pidfd_send_signal(self.pidfd.get_ref(), signal);
    }

    /// Another handle to its init.
    pub(crate) fn handle(&self) -> io::Result<OwnedFd> {
        self.pidfd.get_ref().try_clone()
    }

    /// Waits until no process is left: the init ends last.
    async fn gone(&self) {
        let _ = self.pidfd.readable().await;
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        self.kill();
    }
}

struct Shared {
    tree: Tree,
    /// Served as long as the sandbox is there.
    _connection: Option<Connection>,
    control: Control,
    cgroups: CgroupSet,
    /// What `/tmp` is, unless `tmp` takes its place.
    scratch: Lease,
    tmp: Option<TmpDirectory>,
    /// From the program's resource usage once it has ended; zero before.
    max_rss_bytes: AtomicU64,
    frozen: AtomicBool,
    /// Whether other programs run beside the sandbox's own.
    has_companions: bool,
    sockets: Questions<io::Result<OwnedFd>>,
    images: Questions<Result<Captured, String>>,
}

/// What a sandbox is made of.
pub(crate) struct Parts {
    pub(crate) tree: Tree,
    pub(crate) connection: Option<Connection>,
    pub(crate) control: Control,
    pub(crate) cgroups: CgroupSet,
    pub(crate) tmp: Option<TmpDirectory>,
    pub(crate) listeners: Vec<ListenerSocket>,
    pub(crate) output: OwnedFd,
    pub(crate) phases: Vec<Phase>,
    pub(crate) shares_network: bool,
}

/// A running sandbox. Dropping it kills every process in it and removes its cgroups and its directory in the
/// place of `/tmp`.
pub struct Sandbox {
    id: String,
    shared: Arc<Shared>,
    listeners: Vec<ListenerSocket>,
    output: Option<OwnedFd>,
    companion_output: Option<OwnedFd>,
    companion_ends: Option<mpsc::UnboundedReceiver<CompanionEnd>>,
    status: watch::Receiver<Option<ExitStatus>>,
    gone: watch::Receiver<bool>,
    phases: Vec<Phase>,
    shares_network: bool,
}

impl fmt::Debug for Sandbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sandbox").field("id", &self.id).field("pid", &self.pid()).finish_non_exhaustive()
    }
}

impl Sandbox {
    pub(crate) fn new(
        id: String,
        parts: Parts,
        scratch: Lease,
        tmp_bytes: u64,
        companion_output: Option<OwnedFd>,
    ) -> Self {
        let Parts { tree, connection, control, cgroups, tmp, listeners, output, phases, shares_network } =
            parts;
        let (status_sender, status) = watch::channel(None);
        let (gone_sender, gone) = watch::channel(false);
        let (end_sender, companion_ends) = mpsc::unbounded_channel();
        let shared = Arc::new(Shared {
            tree,
            _connection: connection,
            control,
            cgroups,
            scratch,
            tmp,
            max_rss_bytes: AtomicU64::new(0),
            frozen: AtomicBool::new(false),
            has_companions: companion_output.is_some(),
            sockets: Questions::default(),
            images: Questions::default(),
        });
        let news = News { status: status_sender, gone: gone_sender, companions: end_sender };
        tokio::spawn(watch_end(Arc::clone(&shared), news));
        if shared.tmp.is_some() {
            tokio::spawn(watch_tmp(Arc::downgrade(&shared), status.clone(), tmp_bytes));
        }
        let companion_ends = companion_output.is_some().then_some(companion_ends);
        Self {
            id,
            shared,
            listeners,
            output: Some(output),
            companion_output,
            companion_ends,
            status,
            gone,
            phases,
            shares_network,
        }
    }

    /// The name it was spawned with.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Process id of its init in the daemon's pid namespace.
    #[must_use]
    pub fn pid(&self) -> i32 {
        self.shared.tree.pid
    }

    /// Whether others can reach its listeners: at [`Isolation::Process`](crate::Isolation::Process), and with
    /// [`Network::Host`](crate::Network::Host).
    #[must_use]
    pub fn shares_network(&self) -> bool {
        self.shares_network
    }

    /// Tells its processes from others on the same network.
    #[must_use]
    pub fn peers(&self) -> Peers {
        Peers::new(self.shared.tree.pid, self.shared.tree.uid)
    }

    /// How long each step of making it took, as its init saw it.
    #[must_use]
    pub fn phases(&self) -> &[Phase] {
        &self.phases
    }

    /// The sockets in the order of [`SpawnerOptions::listeners`](crate::SpawnerOptions::listeners), non-blocking and close-on-exec; empty
    /// when taken before.
    pub fn take_listeners(&mut self) -> Vec<ListenerSocket> {
        std::mem::take(&mut self.listeners)
    }

    /// The read end of the pipe that is the program's standard output and error, non-blocking and
    /// close-on-exec. It ends when no process of the sandbox is left.
    ///
    /// # Panics
    /// When taken before.
    pub fn take_output(&mut self) -> OwnedFd {
        self.output.take().expect("the output of a sandbox is taken once")
    }

    /// The same of the companions, all together; `None` without any, or when taken before.
    pub fn take_companion_output(&mut self) -> Option<OwnedFd> {
        self.companion_output.take()
    }

    /// The ends of companions as they happen; `None` without any, or when taken before.
    pub fn take_companion_ends(&mut self) -> Option<mpsc::UnboundedReceiver<CompanionEnd>> {
        self.companion_ends.take()
    }

    /// Lets the program start that waits beside companions. Harmless when it has.
    pub async fn launch(&self) {
        // A sandbox that cannot be told is ending already.
        let _ = self.shared.control.send(&Order::Launch).await;
    }

    /// Sends `SIGTERM` to the program alone; the sandbox goes on if it has companions.
    pub async fn terminate_program(&self) {
        let _ = self.shared.control.send(&Order::Terminate).await;
    }

    /// Kills the program and its process group alone; the sandbox goes on if it has companions.
    pub async fn kill_program(&self) {
        let _ = self.shared.control.send(&Order::Kill).await;
    }

    /// Connects to a port of its loopback interface that one of its processes listens on.
    ///
    /// # Errors
    /// `PermissionDenied` when somebody else listens there, on a network that the sandbox shares; else those of
    /// connect(2), or that the sandbox has ended.
    pub fn connect(&self, port: u16) -> impl Future<Output = io::Result<TcpStream>> + Send + use<> {
        let (shared, peers) = (Arc::downgrade(&self.shared), self.shares_network.then(|| self.peers()));
        async move {
            let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
            match peers {
                Some(peers) => {
                    let listens = move || peers.listen_on(port);
                    if !tokio::task::spawn_blocking(listens).await.unwrap_or(false) {
                        return Err(io::ErrorKind::PermissionDenied.into());
                    }
                    TcpStream::connect(address).await
                }
                None => connect_inside(shared, address).await,
            }
        }
    }

    /// Waits for the end of the program, and, where it has no companions, of the sandbox: then none of its processes
    /// is left. May be awaited many times and by many.
    ///
    /// The future does not keep the sandbox: dropping the [`Sandbox`] is one way to resolve it.
    pub fn exited(&self) -> impl Future<Output = ExitStatus> + Send + use<> {
        let mut status = self.status.clone();
        async move {
            match status.wait_for(Option::is_some).await {
                Ok(status) => status.clone().unwrap_or(ExitStatus::Lost),
                Err(_) => ExitStatus::Lost,
            }
        }
    }

    /// Waits until no process of the sandbox is left. As [`Self::exited`].
    pub fn gone(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut gone = self.gone.clone();
        async move {
            let _ = gone.wait_for(|gone| *gone).await;
        }
    }

    /// Takes the image of a program with a [`SandboxSpec::door`](crate::SandboxSpec::door), which waits there or soon
    /// will.
    ///
    /// # Errors
    /// A sentence for whoever wrote the program, where it has something that no other could be given.
    pub async fn capture(&self) -> Result<Captured, String> {
        if self.shared.tree.uid.is_none() {
            return Err("the process has the daemon's own user".to_owned());
        }
        let image = self.shared.images.expect();
        // A sandbox that cannot be told is ending already.
        let _ = self.shared.control.send(&Order::Capture).await;
        image.await.unwrap_or_else(|_| Err("the process has ended".to_owned()))
    }

    /// Stops every process of the sandbox where it is, until [`Self::thaw`]. Where no freezer is in
    /// force ([`crate::LimitsInForce`]) nothing happens.
    ///
    /// # Errors
    /// What the kernel answered; the sandbox may then still run.
    pub fn freeze(&self) -> io::Result<()> {
        self.shared.frozen.store(true, Ordering::Relaxed);
        self.shared.set_frozen(true)
    }

    /// Lets a frozen sandbox go on where it stopped.
    ///
    /// # Errors
    /// What the kernel answered; the sandbox is then still frozen.
    pub fn thaw(&self) -> io::Result<()> {
        if self.shared.frozen.swap(false, Ordering::Relaxed) {
            let still_frozen = |_: &io::Error| self.shared.frozen.store(true, Ordering::Relaxed);
            return self.shared.set_frozen(false).inspect_err(still_frozen);
        }
        Ok(())
    }

    /// From now on the sandbox gets the share of the CPU that comes with its memory. Before, it runs
    /// unthrottled, as the init phase does on AWS. Where no share is in force
    /// ([`crate::LimitsInForce`]) nothing happens.
    ///
    /// # Errors
    /// What the kernel answered; the sandbox may then still run unthrottled.
    pub fn limit_cpu(&self) -> io::Result<()> {
        self.shared.cgroups.limit_cpu()
    }

    /// Kills every process of the sandbox at once. Harmless when it has ended.
    pub fn kill(&self) {
        self.shared.kill();
        // A frozen process dies when it is thawed, before it runs again.
        if let Err(error) = self.thaw() {
            tracing::warn!(sandbox = %self.id, %error, "cannot thaw a killed sandbox");
        }
    }

    /// Sends `SIGTERM` to the program, and kills what is left of the sandbox when it has ended, or after `grace`.
    /// Returns when nothing is left.
    pub async fn terminate(&self, grace: Duration) {
        let polite = async {
            // A sandbox that cannot be told is ending already.
            if self.shared.control.send(&Order::Terminate).await.is_ok() {
                self.exited().await;
            }
        };
        let _ = tokio::time::timeout(grace, polite).await;
        self.kill();
        self.gone().await;
    }

    /// Largest memory use so far in bytes: of the whole sandbox where a cgroup accounts for it, else
    /// estimated from the largest resident sets of its processes. `None` when neither is known.
    #[must_use]
    pub fn memory_peak_bytes(&self) -> Option<u64> {
        let at_end = self.shared.max_rss_bytes.load(Ordering::Relaxed);
        self.shared
            .cgroups
            .memory_peak_bytes()
            .or_else(|| (at_end > 0).then_some(at_end))
            .or_else(|| process::tree_peak_bytes(self.pid()))
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Shared {
    fn set_frozen(&self, frozen: bool) -> io::Result<()> {
        if self.tree.is_namespace || self.cgroups.freezer().is_some() {
            return self.cgroups.set_frozen(frozen);
        }
        match self.control.try_send(if frozen { &Order::Stop } else { &Order::Continue }) {
            // It is ending, or has ended.
            Err(error)
                if matches!(error.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset) =>
            {
                Ok(())
            }
            other => other,
        }
    }

    fn kill(&self) {
        if !self.tree.is_namespace {
            // Where a cgroup knows them, nothing of what is frozen runs again.
            self.cgroups.kill_all_but(self.tree.pid);
            self.control.close_our_side();
        }
        self.tree.kill();
        self.cgroups.end();
    }
}

/// Through a socket that the init has opened in the sandbox's network. Does not keep the sandbox.
async fn connect_inside(shared: Weak<Shared>, address: SocketAddr) -> io::Result<TcpStream> {
    let ended = || io::Error::from(io::ErrorKind::NotConnected);
    let socket = {
        let shared = shared.upgrade().ok_or_else(ended)?;
        let socket = shared.sockets.expect();
        shared.control.send(&Order::Socket).await?;
        socket
    };
    let socket = socket.await.map_err(|_| ended())??;
    tokio::net::TcpSocket::from_std_stream(socket.into()).connect(address).await
}

/// Kills a sandbox whose directory in the place of `/tmp` has grown over its limit: no file system limits it.
async fn watch_tmp(shared: Weak<Shared>, status: watch::Receiver<Option<ExitStatus>>, limit: u64) {
    loop {
        tokio::time::sleep(tmp::INTERVAL).await;
        let Some(shared) = shared.upgrade().filter(|_| status.borrow().is_none()) else { return };
        if shared.frozen.load(Ordering::Relaxed) {
            continue;
        }
        let Some(path) = shared.tmp.as_ref().map(|tmp| tmp.path().to_owned()) else { return };
        match tokio::task::spawn_blocking(move || tmp::usage(&path, limit)).await {
            Ok(Ok(used)) if used <= limit => {}
            Ok(Err(error)) if error.kind() == io::ErrorKind::PermissionDenied => {
                static TOLD: Once = Once::new();
                TOLD.call_once(|| {
                    tracing::warn!(
                        "directories for temporary files cannot be measured without CAP_DAC_OVERRIDE: \
                                    their limit holds for each file in them, and not for all together"
                    );
                });
                return;
            }
            Ok(over) => {
                tracing::warn!(
                    limit,
                    ?over,
                    "a function has filled its directory for temporary files and is ended"
                );
                shared.kill();
                return;
            }
            Err(_) => return,
        }
    }
}

/// Where [`watch_end`] tells what it sees.
struct News {
    status: watch::Sender<Option<ExitStatus>>,
    gone: watch::Sender<bool>,
    companions: mpsc::UnboundedSender<CompanionEnd>,
}

/// Waits for the sandbox's own report and then for its last process, and publishes how it ended.
async fn watch_end(shared: Arc<Shared>, news: News) {
    let mut report = None;
    // To the end of the socket: the init reports the end of a process that already reported itself
    // why it did not start. The first report counts.
    while let Ok(Some((event, fds))) = shared.control.receive().await {
        match event {
            Event::Socket { errno } => shared.sockets.arrived(companions::socket(errno, fds)),
            Event::Captured { snapshot } => shared.images.arrived(captured(snapshot, fds)),
            Event::CompanionNotStarted { index, step, errno } => {
                let status = ExitStatus::NotStarted(ExecError { step, errno });
                let _ = news.companions.send(CompanionEnd { index, status });
            }
            Event::CompanionEnded { index, status } => {
                let status = status.map_or_else(ExitStatus::Signaled, ExitStatus::Exited);
                let out_of_memory = shared.cgroups.out_of_memory_kills() > 0;
                let status = decide(Some(status), out_of_memory, was_killed(&shared));
                let _ = news.companions.send(CompanionEnd { index, status });
            }
            event => {
                let is_first = report.is_none();
                report = report.or_else(|| reported(&shared, event));
                if is_first && report.is_some() && shared.has_companions {
                    // The program has ended, and the sandbox goes on.
                    let out_of_memory = shared.cgroups.out_of_memory_kills() > 0;
                    let status = decide(report.clone(), out_of_memory, was_killed(&shared));
                    news.status.send_replace(Some(status));
                }
            }
        }
    }
    shared.sockets.close();
    shared.images.close();
    shared.tree.gone().await;
    shared.scratch.ended();
    if news.status.borrow().is_none() {
        let out_of_memory = shared.cgroups.out_of_memory_kills() > 0;
        news.status.send_replace(Some(decide(report, out_of_memory, was_killed(&shared))));
    }
    news.gone.send_replace(true);
}

fn captured(snapshot: Result<Snapshot, String>, files: Vec<OwnedFd>) -> Result<Captured, String> {
    let image = files.into_iter().next();
    Ok(Captured { snapshot: snapshot?, image: image.ok_or("the image was lost")? })
}

fn was_killed(shared: &Shared) -> bool {
    shared.tree.killed.load(Ordering::Relaxed)
}

fn reported(shared: &Shared, event: Event) -> Option<ExitStatus> {
    match event {
        Event::Spawned { .. }
        | Event::Prepared { .. }
        | Event::Started
        | Event::Captured { .. }
        | Event::Ready { .. }
        | Event::CompanionNotStarted { .. }
        | Event::CompanionEnded { .. }
        | Event::Socket { .. } => None,
        Event::SetupFailed { step, errno } => Some(ExitStatus::NotStarted(ExecError { step, errno })),
        Event::ExecFailed { errno } => {
            Some(ExitStatus::NotStarted(ExecError { step: "execve".into(), errno }))
        }
        Event::Exited { code, max_rss_bytes } => {
            shared.max_rss_bytes.store(max_rss_bytes, Ordering::Relaxed);
            Some(ExitStatus::Exited(code))
        }
        Event::Signaled { signal, max_rss_bytes } => {
            shared.max_rss_bytes.store(max_rss_bytes, Ordering::Relaxed);
            Some(ExitStatus::Signaled(signal))
        }
    }
}

/// The status from what was reported, whether the kernel killed for memory, and whether we killed.
fn decide(report: Option<ExitStatus>, out_of_memory: bool, killed: bool) -> ExitStatus {
    const SIGKILL: i32 = 9;
    match report {
        Some(ExitStatus::Signaled(SIGKILL)) if out_of_memory => ExitStatus::OutOfMemory,
        Some(status) => status,
        // Our own kill hits the init, which then cannot report.
        None if killed => ExitStatus::Signaled(SIGKILL),
        None if out_of_memory => ExitStatus::OutOfMemory,
        None => ExitStatus::Lost,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_status_follows_the_first_certain_cause() {
        use ExitStatus::{Exited, Lost, OutOfMemory, Signaled};
        for (report, out_of_memory, killed, expected) in [
            (Some(Exited(3)), false, false, Exited(3)),
            (Some(Exited(3)), true, true, Exited(3)),
            (Some(Signaled(9)), false, false, Signaled(9)),
            (Some(Signaled(9)), true, false, OutOfMemory),
            (Some(Signaled(11)), true, false, Signaled(11)),
            (None, false, true, Signaled(9)),
            (None, true, true, Signaled(9)),
            (None, true, false, OutOfMemory),
            (None, false, false, Lost),
        ] {
            assert_eq!(
                decide(report.clone(), out_of_memory, killed),
                expected,
                "{report:?} {out_of_memory} {killed}"
            );
        }
    }
}
