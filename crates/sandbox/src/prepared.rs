//! An empty sandbox: everything about it that is the same for all functions.

use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use lambd_jail::protocol::{self, Event, Order, Phase, Request, SpawnRequest, Transport};
use lambd_jail::snapshot::Captured;
use rustix::pipe::{PipeFlags, pipe_with};

use crate::ahead::Ahead;
use crate::cgroups::{CgroupSet, Cgroups};
use crate::channel::{self, Control, Requests};
use crate::cleaner::Cleaner;
use crate::error::SandboxError;
use crate::isolation::Isolation;
use crate::limits::{EnforcedBy, LimitsInForce, TmpInForce};
use crate::network::{self, Ends, Nat, Plan};
use crate::oci::OciRuntime;
use crate::sandbox::{Parts, Sandbox, Tree};
use crate::scratch::{Lease, Scratch};
use crate::spec::{self, Base, BaseRoot, Network, SandboxSpec};
use crate::tmp::{TmpDirectories, TmpDirectory};

/// Each step of making a sandbox takes milliseconds; one that is not done after this has a sick machine
/// below.
const STEP_TIMEOUT: Duration = Duration::from_secs(30);

/// A socket that was made in a sandbox's network and is served from outside.
#[derive(Debug)]
pub enum ListenerSocket {
    /// Accepts connections.
    Tcp(TcpListener),
    /// Receives datagrams.
    Udp(UdpSocket),
}

impl ListenerSocket {
    fn new(transport: Transport, socket: OwnedFd) -> Self {
        match transport {
            Transport::Tcp => Self::Tcp(socket.into()),
            Transport::Udp => Self::Udp(socket.into()),
        }
    }

    /// Where it is bound, in the sandbox's network.
    ///
    /// # Errors
    /// Those of getsockname(2).
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        match self {
            Self::Tcp(socket) => socket.local_addr(),
            Self::Udp(socket) => socket.local_addr(),
        }
    }
}

/// An empty sandbox that waits for what to run. Dropping it removes it.
pub struct Prepared {
    parts: Parts,
    addresses: Vec<SocketAddr>,
    /// Whether memory is limited for each process instead of for all together.
    limits_data: bool,
    scratch: Arc<Scratch>,
    base: Base,
    /// At level `oci`.
    runtime: Option<protocol::OciRuntime>,
    /// The program that waits in it, and its `/tmp`.
    ahead: Option<(Arc<Ahead>, Lease)>,
}

/// `RLIMIT_DATA` counts private writable memory from when it is mapped, whether it is ever touched or
/// not. Thread stacks of 8 MiB each and the heaps that managed runtimes reserve would exceed the
/// limit of a small function that never uses them, so this much is allowed on top.
const DATA_ALLOWANCE_BYTES: u64 = 256 << 20;

/// What is needed to make empty sandboxes.
pub(crate) struct Maker {
    pub(crate) isolation: Isolation,
    pub(crate) requests: Arc<Requests>,
    pub(crate) cgroups: Arc<Cgroups>,
    pub(crate) scratch: Arc<Scratch>,
    pub(crate) cleaner: Cleaner,
    pub(crate) listeners: Vec<protocol::Listener>,
    /// At the level `process`.
    pub(crate) tmp: Option<TmpDirectories>,
    /// Or why there is none.
    pub(crate) nat: Result<Nat, String>,
}

impl Maker {
    /// Makes an empty sandbox. When the future is dropped, whatever exists of it is removed.
    pub(crate) async fn prepare(&self, id: &str, base: Base) -> Result<Prepared, SandboxError> {
        if base.root == BaseRoot::Directory && !self.isolation.has_root_of_its_own() {
            let reason = format!("at the level {} programs see the host's files", self.isolation);
            return Err(SandboxError::InvalidSpec { field: "root", reason });
        }
        let failed = |step| move |source| SandboxError::Io { step, source };
        let cgroups = self.create_cgroups(id).await?;
        let (ours, theirs) = channel::pair().map_err(failed("create control socket"))?;
        let control = Control::new(ours).map_err(failed("register control socket"))?;
        let (output, output_write) = output_pipe().map_err(failed("create output pipe"))?;
        let tmp = self.tmp.as_ref().map(TmpDirectories::reserve);
        let plan = self.plan(base.network, cgroups.freezer().is_some())?;
        let is_at_once = |(_, plan): &(_, Plan)| matches!(plan.network, protocol::Network::Connected(_));
        let log = plan
            .as_ref()
            .is_some_and(is_at_once)
            .then(output_pipe)
            .transpose()
            .map_err(failed("create pipe for uplink"))?;
        let (log, log_write) = log.unzip();
        let request = SpawnRequest {
            id: id.to_owned(),
            level: self.isolation.level(),
            network: match (base.network, &plan) {
                (_, Some((_, plan))) => plan.network.clone(),
                (Network::Host, None) => protocol::Network::Host,
                (Network::None | Network::Nat, None) => protocol::Network::Own,
            },
            listeners: self.listeners_in(base.network),
            host_root: base.root == BaseRoot::Host,
            etc: network::etc(base.network),
            cgroup: cgroups.placement(),
            tmp: tmp.as_ref().map(|tmp| tmp.path().to_owned()),
        };
        let listening = request.listeners.clone();
        let request = Request::Spawn(Box::new(request));
        let mut passed = vec![theirs.as_fd(), output_write.as_fd()];
        passed.extend(log_write.as_ref().map(AsFd::as_fd));
        self.requests.send(&request, &passed).await.map_err(|source| match source.kind() {
            io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset => SandboxError::SpawnerGone,
            _ => SandboxError::Io { step: "send request to spawner", source },
        })?;
        // Our copies must be gone, or neither socket nor pipe would ever end.
        drop((theirs, output_write, log_write));
        let (tree, mut sockets, phases) =
            in_time(wait_until_prepared(&control, self.isolation.has_root_of_its_own())).await?;
        let configuration = sockets.split_off(listening.len().min(sockets.len()));
        let transports = listening.iter().map(|listener| listener.transport);
        let mut listeners: Vec<_> = transports
            .zip(sockets)
            .map(|(transport, socket)| ListenerSocket::new(transport, socket))
            .collect();
        let of_nat = listeners.split_off(self.listeners.len().min(listeners.len()));
        let connection = match plan {
            Some((nat, plan)) => {
                let ends = Ends {
                    id: id.to_owned(),
                    init: tree.handle().map_err(failed("copy pidfd"))?,
                    sockets: of_nat,
                    configuration,
                    log,
                    freezer: cgroups.freezer().cloned(),
                };
                Some(in_time(nat.connect(&plan, ends, &self.requests)).await?)
            }
            None => None,
        };
        let addresses = listeners.iter().map(ListenerSocket::local_addr).collect::<io::Result<_>>();
        let shares_network = self.shares_network(base.network);
        Ok(Prepared {
            addresses: addresses.map_err(failed("read address of listener"))?,
            parts: Parts {
                tree,
                connection,
                control,
                cgroups,
                tmp,
                listeners,
                output,
                phases,
                shares_network,
            },
            limits_data: self.limits().memory == EnforcedBy::Rlimit,
            scratch: Arc::clone(&self.scratch),
            base,
            runtime: self.isolation.runtime().map(OciRuntime::to_jail),
            ahead: None,
        })
    }

    /// What enforces the limits, as far as it is known.
    pub(crate) fn limits(&self) -> LimitsInForce {
        let mut limits = self.cgroups.limits(self.scratch.in_force());
        if self.isolation == Isolation::Process {
            limits.tmp = TmpInForce::Directory;
            if limits.freezer == EnforcedBy::Nothing {
                limits.freezer = EnforcedBy::Signals;
            }
        }
        limits
    }

    fn shares_network(&self, network: Network) -> bool {
        network == Network::Host || !self.isolation.has_network_of_its_own()
    }

    /// How a sandbox is to be connected, if it is to be.
    fn plan(&self, network: Network, can_be_stopped: bool) -> Result<Option<(&Nat, Plan)>, SandboxError> {
        match (network, &self.nat) {
            (Network::None | Network::Host, _) => Ok(None),
            (Network::Nat, _) if !self.isolation.has_network_of_its_own() => {
                let reason = format!("the isolation level {} has no network of its own", self.isolation);
                Err(SandboxError::Uplink { reason })
            }
            (Network::Nat, Ok(nat)) => Ok(Some((nat, nat.plan(can_be_stopped)))),
            (Network::Nat, Err(reason)) => Err(SandboxError::Uplink { reason: reason.clone() }),
        }
    }

    /// Whether another attempt should be made, because this machine makes no interface that waits for its uplink.
    pub(crate) fn changes_plan_for(&self, error: &SandboxError) -> bool {
        match (error, &self.nat) {
            (SandboxError::Setup { step, .. }, Ok(nat)) if step.starts_with(protocol::MAKE_INTERFACE) => {
                nat.connect_at_once()
            }
            _ => false,
        }
    }

    /// Where many share a network, each gets free ports.
    fn listeners_in(&self, network: Network) -> Vec<protocol::Listener> {
        let mut listeners = self.listeners.clone();
        if self.shares_network(network) {
            listeners.iter_mut().for_each(|listener| listener.address.set_port(0));
        }
        if network == Network::Nat {
            listeners.extend(Nat::listeners());
        }
        listeners
    }

    /// On a thread for blocking work: making a cgroup may wait for locks of the kernel.
    async fn create_cgroups(&self, id: &str) -> Result<CgroupSet, SandboxError> {
        let (cgroups, cleaner, id) = (Arc::clone(&self.cgroups), self.cleaner.clone(), id.to_owned());
        tokio::task::spawn_blocking(move || cgroups.create(&id, &cleaner))
            .await
            .map_err(|error| SandboxError::Io { step: "create cgroups", source: io::Error::other(error) })?
    }
}

impl Prepared {
    /// Addresses of the listeners in the sandbox's network, in the order of
    /// [`SpawnerOptions::listeners`](crate::SpawnerOptions::listeners).
    #[must_use]
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Process id of its init in the daemon's pid namespace.
    #[must_use]
    pub fn pid(&self) -> i32 {
        self.parts.tree.pid
    }

    /// What it was made with.
    #[must_use]
    pub fn base(&self) -> Base {
        self.base
    }

    /// The directory in the place of `/tmp`, absolute on the host, where programs see the host's files:
    /// at [`Isolation::Process`]. It exists, and only the program can enter it.
    #[must_use]
    pub fn tmp(&self) -> Option<&Path> {
        self.parts.tmp.as_ref().map(TmpDirectory::path)
    }

    /// Has its network connected now, where that waits for the first packet.
    ///
    /// # Errors
    /// Why it cannot be connected.
    pub async fn connect(&self) -> Result<(), SandboxError> {
        match &self.parts.connection {
            Some(connection) => in_time(connection.complete()).await,
            None => Ok(()),
        }
    }

    /// Whether its init has not ended.
    pub(crate) fn is_alive(&self) -> bool {
        self.parts.tree.is_alive()
    }

    /// Starts a program in it, from its image if there is one, and waits until that is ready for its environment.
    pub(crate) async fn started(
        mut self,
        ahead: &Arc<Ahead>,
        image: Option<&Captured>,
    ) -> Result<Self, SandboxError> {
        let mut tmp = self.take_tmp(ahead.tmp_bytes).await?;
        let spec = spec::ahead(ahead, tmp.tmp(), image.map(|image| image.snapshot.clone()));
        let passed: Vec<_> = image.iter().map(|image| image.image.as_fd()).collect();
        let _ = self.parts.control.send_with(&Order::Start(Box::new(spec)), &passed).await;
        match in_time(next(&self.parts.control)).await? {
            (Event::Started, _) => tmp.mounted(),
            (other, _) => return Err(failure(other)),
        }
        self.ahead = Some((Arc::clone(ahead), tmp));
        Ok(self)
    }

    /// Takes the image of the program that waits; `Err` with a sentence where it has something that no other could be
    /// given.
    pub(crate) async fn capture(&self) -> Result<Result<Captured, String>, SandboxError> {
        let _ = self.parts.control.send(&Order::Capture).await;
        match in_time(next(&self.parts.control)).await? {
            (Event::Captured { snapshot: Err(reason) }, _) => Ok(Err(reason)),
            (Event::Captured { snapshot: Ok(snapshot) }, files) => {
                let image = files.into_iter().next().ok_or(SandboxError::Died)?;
                Ok(Ok(Captured { snapshot, image }))
            }
            (other, _) => Err(failure(other)),
        }
    }

    /// Builds what was asked for and starts the program, which is about to be executed when this
    /// returns; should that fail, [`Sandbox::exited`] tells. A program that waits in it gets its environment instead.
    ///
    /// When the future is dropped, whatever exists of the sandbox is killed and removed.
    ///
    /// # Errors
    /// When the specification is unusable or another base was made for, or the kernel refuses a step.
    pub async fn build(self, spec: SandboxSpec) -> Result<Sandbox, SandboxError> {
        self.build_with(spec, None).await
    }

    /// The same with the program as it was when this image of it was taken, by [`Sandbox::capture`] in a sandbox of the
    /// same specification. It is there when this returns, and has got the environment.
    ///
    /// # Errors
    /// As for [`Self::build`], and where it cannot be restored.
    pub async fn restore(self, spec: SandboxSpec, image: &Captured) -> Result<Sandbox, SandboxError> {
        self.build_with(spec, Some(image)).await
    }

    async fn build_with(
        mut self,
        spec: SandboxSpec,
        image: Option<&Captured>,
    ) -> Result<Sandbox, SandboxError> {
        spec.check()?;
        if spec.base() != self.base {
            let reason = format!("{:?} was prepared, not {:?}", self.base, spec.base());
            return Err(SandboxError::InvalidSpec { field: "base", reason });
        }
        self.parts.cgroups.limit_memory(spec.memory_bytes)?;
        let (ahead, mut tmp) = match self.ahead.take() {
            Some((ahead, tmp)) => (Some(ahead), tmp),
            None => (None, self.take_tmp(spec.tmp_bytes).await?),
        };
        let data_limit = self.limits_data.then_some(spec.memory_bytes.saturating_add(DATA_ALLOWANCE_BYTES));
        let mut jail = spec.to_jail(tmp.tmp(), data_limit);
        jail.runtime = self.runtime;
        if let Some(ahead) = &ahead {
            spec::without(&mut jail, spec.tmp_bytes, ahead)?;
        }
        jail.snapshot = image.map(|image| image.snapshot.clone());
        let order = Order::Build(Box::new(jail));
        let output = (!spec.companions.commands.is_empty()).then(output_pipe).transpose();
        let step = "create output pipe of companions";
        let (companion_output, write) = output.map_err(|source| SandboxError::Io { step, source })?.unzip();
        let mut passed: Vec<_> = write.iter().map(AsFd::as_fd).collect();
        passed.extend(image.map(|image| image.image.as_fd()));
        // A sandbox that cannot be told has died; the socket has its last words.
        let _ = self.parts.control.send_with(&order, &passed).await;
        drop(write);
        let phases = in_time(wait_until_ready(&self.parts.control)).await?;
        if ahead.is_none() {
            tmp.mounted();
        }
        self.parts.phases.extend(phases);
        Ok(Sandbox::new(spec.id, self.parts, tmp, spec.tmp_bytes, companion_output))
    }

    /// On a thread for blocking work: a volume may have to be made.
    async fn take_tmp(&self, bytes: u64) -> Result<Lease, SandboxError> {
        let scratch = Arc::clone(&self.scratch);
        tokio::task::spawn_blocking(move || scratch.take(bytes))
            .await
            .map_err(|error| SandboxError::Io { step: "make /tmp", source: io::Error::other(error) })
    }
}

async fn in_time<T>(step: impl Future<Output = Result<T, SandboxError>>) -> Result<T, SandboxError> {
    tokio::time::timeout(STEP_TIMEOUT, step).await.map_err(|_| SandboxError::Timeout(STEP_TIMEOUT))?
}

/// A pipe with a non-blocking read end; the write end blocks, as programs expect of their output.
pub(crate) fn output_pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let (read, write) = pipe_with(PipeFlags::CLOEXEC)?;
    channel::set_nonblocking(&read)?;
    Ok((read, write))
}

/// Follows the sandbox's events until it waits for its order.
async fn wait_until_prepared(
    control: &Control,
    is_namespace: bool,
) -> Result<(Tree, Vec<OwnedFd>, Vec<Phase>), SandboxError> {
    let mut tree = None;
    loop {
        match next(control).await? {
            (Event::Spawned { pid, uid }, fds) => {
                let pidfd = fds.into_iter().next().ok_or(SandboxError::Died)?;
                let register = |source| SandboxError::Io { step: "register pidfd", source };
                tree = Some(Tree::new(pid, uid, is_namespace, pidfd).map_err(register)?);
            }
            (Event::Prepared { phases }, fds) => return Ok((tree.ok_or(SandboxError::Died)?, fds, phases)),
            (other, _) => return Err(failure(other)),
        }
    }
}

/// Waits until what was ordered is built.
async fn wait_until_ready(control: &Control) -> Result<Vec<Phase>, SandboxError> {
    match next(control).await? {
        (Event::Ready { phases }, _) => Ok(phases),
        (other, _) => Err(failure(other)),
    }
}

async fn next(control: &Control) -> Result<(Event, Vec<OwnedFd>), SandboxError> {
    match control.receive().await {
        Ok(message) => message.ok_or(SandboxError::Died),
        // It died with an order unread.
        Err(error) if error.kind() == io::ErrorKind::ConnectionReset => Err(SandboxError::Died),
        Err(source) => Err(SandboxError::Io { step: "receive from control socket", source }),
    }
}

fn failure(event: Event) -> SandboxError {
    match event {
        Event::SetupFailed { step, errno } => {
            SandboxError::Setup { step, source: io::Error::from_raw_os_error(errno) }
        }
        _ => SandboxError::Died,
    }
}
