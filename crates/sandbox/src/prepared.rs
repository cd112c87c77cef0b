//! An empty sandbox: everything about it that is the same for all functions.

use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use lambd_jail::protocol::{self, Event, Order, Phase, SpawnRequest, Transport};
use rustix::pipe::{PipeFlags, pipe_with};

use crate::cgroups::{CgroupSet, Cgroups};
use crate::channel::{self, Control, Requests};
use crate::cleaner::Cleaner;
use crate::error::SandboxError;
use crate::isolation::Isolation;
use crate::limits::EnforcedBy;
use crate::network::{Nat, Plan};
use crate::sandbox::{Parts, Sandbox, Tree};
use crate::spec::{Network, SandboxSpec};

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
    network: Network,
}

/// `RLIMIT_DATA` counts private writable memory from when it is mapped, whether it is ever touched or
/// not. Thread stacks of 8 MiB each and the heaps that managed runtimes reserve would exceed the
/// limit of a small function that never uses them, so this much is allowed on top.
const DATA_ALLOWANCE_BYTES: u64 = 256 << 20;

/// What is needed to make empty sandboxes.
pub(crate) struct Maker {
    pub(crate) isolation: Isolation,
    pub(crate) requests: Requests,
    pub(crate) cgroups: Arc<Cgroups>,
    pub(crate) cleaner: Cleaner,
    pub(crate) listeners: Vec<protocol::Listener>,
    /// Or why there is none.
    pub(crate) nat: Result<Nat, String>,
}

impl Maker {
    /// Makes an empty sandbox. When the future is dropped, whatever exists of it is removed.
    pub(crate) async fn prepare(&self, id: &str, network: Network) -> Result<Prepared, SandboxError> {
        let failed = |step| move |source| SandboxError::Io { step, source };
        let cgroups = self.create_cgroups(id).await?;
        let (ours, theirs) = channel::pair().map_err(failed("create control socket"))?;
        let control = Control::new(ours).map_err(failed("register control socket"))?;
        let (output, output_write) = output_pipe().map_err(failed("create output pipe"))?;
        let plan = self.plan(network)?;
        let log = plan.is_some().then(output_pipe).transpose().map_err(failed("create pipe for uplink"))?;
        let (log, log_write) = log.unzip();
        let request = SpawnRequest {
            id: id.to_owned(),
            level: self.isolation.level(),
            network: match (network, &plan) {
                (_, Some((_, plan))) => protocol::Network::Connected(plan.uplink.clone()),
                (Network::Host, None) => protocol::Network::Host,
                (Network::None | Network::Nat, None) => protocol::Network::Own,
            },
            listeners: self.listeners_in(network),
            cgroup: cgroups.placement(),
        };
        let mut passed = vec![theirs.as_fd(), output_write.as_fd()];
        passed.extend(log_write.as_ref().map(AsFd::as_fd));
        self.requests.send(&request, &passed).await.map_err(|source| match source.kind() {
            io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset => SandboxError::SpawnerGone,
            _ => SandboxError::Io { step: "send request to spawner", source },
        })?;
        // Our copies must be gone, or neither socket nor pipe would ever end.
        drop((theirs, output_write, log_write));
        let (tree, mut sockets, phases) = in_time(wait_until_prepared(&control)).await?;
        let configuration = sockets.split_off(request.listeners.len().min(sockets.len()));
        let transports = request.listeners.iter().map(|listener| listener.transport);
        let mut listeners: Vec<_> = transports
            .zip(sockets)
            .map(|(transport, socket)| ListenerSocket::new(transport, socket))
            .collect();
        let of_nat = listeners.split_off(self.listeners.len().min(listeners.len()));
        let connection = match plan.zip(log) {
            Some(((nat, plan), log)) => {
                let init = tree.handle().map_err(failed("copy pidfd"))?;
                Some(in_time(nat.connect(&plan, init, of_nat, configuration, log)).await?)
            }
            None => None,
        };
        let addresses = listeners.iter().map(ListenerSocket::local_addr).collect::<io::Result<_>>();
        Ok(Prepared {
            addresses: addresses.map_err(failed("read address of listener"))?,
            parts: Parts { tree, connection, control, cgroups, listeners, output, phases },
            limits_data: self.cgroups.limits().memory == EnforcedBy::Rlimit,
            network,
        })
    }

    /// How a sandbox is to be connected, if it is to be.
    fn plan(&self, network: Network) -> Result<Option<(&Nat, Plan)>, SandboxError> {
        match (network, &self.nat) {
            (Network::None | Network::Host, _) => Ok(None),
            (Network::Nat, Ok(nat)) => Ok(Some((nat, nat.plan()))),
            (Network::Nat, Err(reason)) => Err(SandboxError::Uplink { reason: reason.clone() }),
        }
    }

    /// Where many share a network, each gets free ports.
    fn listeners_in(&self, network: Network) -> Vec<protocol::Listener> {
        let mut listeners = self.listeners.clone();
        if network == Network::Host || self.isolation == Isolation::Process {
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

    /// The network it was made with.
    #[must_use]
    pub fn network(&self) -> Network {
        self.network
    }

    /// Whether its init has not ended.
    pub(crate) fn is_alive(&self) -> bool {
        self.parts.tree.is_alive()
    }

    /// Builds what was asked for and starts the program, which is about to be executed when this
    /// returns; should that fail, [`Sandbox::exited`] tells. `spec.network` is not looked at.
    ///
    /// When the future is dropped, whatever exists of the sandbox is killed and removed.
    ///
    /// # Errors
    /// When the specification is unusable, or the kernel refuses a step.
    pub async fn build(mut self, spec: SandboxSpec) -> Result<Sandbox, SandboxError> {
        spec.check()?;
        self.parts.cgroups.limit_memory(spec.memory_bytes)?;
        let data_limit = self.limits_data.then_some(spec.memory_bytes.saturating_add(DATA_ALLOWANCE_BYTES));
        let order = Order::Build(Box::new(spec.to_jail(self.network, data_limit)));
        // A sandbox that cannot be told has died; the socket has its last words.
        let _ = self.parts.control.send(&order).await;
        let phases = in_time(wait_until_ready(&self.parts.control)).await?;
        self.parts.phases.extend(phases);
        Ok(Sandbox::new(spec.id, self.parts))
    }
}

async fn in_time<T>(step: impl Future<Output = Result<T, SandboxError>>) -> Result<T, SandboxError> {
    tokio::time::timeout(STEP_TIMEOUT, step).await.map_err(|_| SandboxError::Timeout(STEP_TIMEOUT))?
}

/// A pipe with a non-blocking read end; the write end blocks, as programs expect of their output.
fn output_pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let (read, write) = pipe_with(PipeFlags::CLOEXEC)?;
    channel::set_nonblocking(&read)?;
    Ok((read, write))
}

/// Follows the sandbox's events until it waits for its order.
async fn wait_until_prepared(control: &Control) -> Result<(Tree, Vec<OwnedFd>, Vec<Phase>), SandboxError> {
    let mut tree = None;
    loop {
        match next(control).await? {
            (Event::Spawned { pid }, fds) => {
                let pidfd = fds.into_iter().next().ok_or(SandboxError::Died)?;
                let register = |source| SandboxError::Io { step: "register pidfd", source };
                tree = Some(Tree::new(pid, pidfd).map_err(register)?);
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
