//! Sandboxes that reach other networks through the daemon's: the policy [`Network::Nat`].
//!
//! A program on the host, pasta(1), holds the other end of the sandbox's one interface and opens an ordinary
//! socket for each of its connections. Nothing of the host's own network is changed, and no right is needed.
//! It takes some ten milliseconds of a processor and some twenty megabytes, so where sandboxes can be stopped for a
//! moment it is not started before the function sends its first packet.
//! What the program must not be asked for is decided inside the sandbox's network, by its routes and by a
//! packet filter, before the function starts and out of its reach.
//!
//! | module      | idea                                                              |
//! |-------------|-------------------------------------------------------------------|
//! | `deny`      | what a function must not reach                                    |
//! | `host`      | the host's own addresses, followed while they change              |
//! | `interface` | addresses and routes of the sandbox's interface                   |
//! | `filter`    | the packet filter in the sandbox's network                        |
//! | `dns`       | names: a forwarder to the host's name servers                     |
//! | `held`      | an interface whose program is started when it is needed           |
//! | `netlink`   | the messages in which the kernel is told all that                 |

mod deny;
mod dns;
mod filter;
mod held;
mod host;
mod interface;
mod netlink;

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use lambd_jail::protocol::{self, Listener, Uplink};
use lambd_types::Cidr;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Signal, pidfd_send_signal};
use tokio::io::AsyncBufReadExt as _;
use tokio::net::unix::pipe;
use tokio::sync::{Notify, watch};
use tokio::task::AbortHandle;

use self::deny::Denied;
use self::dns::Forwarder;
use self::held::HeldInterface;
use self::host::{Host, HostView};
use crate::cgroups::Freezer;
use crate::channel::Requests;
use crate::error::SandboxError;
use crate::prepared::ListenerSocket;
use crate::spec::Network;

/// How sandboxes of [`Network::Nat`] are connected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NatOptions {
    /// Path of pasta(1).
    pub program: PathBuf,
    /// Networks that no sandbox reaches, beside loopback, link-local and multicast addresses, the host's own,
    /// and the metadata services of clouds.
    pub denied: Vec<Cidr>,
}

/// Looks for pasta(1) on `PATH` and where systems keep it.
#[must_use]
pub fn find_pasta() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let usual = ["/usr/bin", "/usr/local/bin", "/bin"].map(PathBuf::from);
    let mut candidates = std::env::split_paths(&path).chain(usual).map(|folder| folder.join("pasta"));
    candidates.find(|file| {
        file.is_absolute() && file.is_file() && rustix::fs::access(file, rustix::fs::Access::EXEC_OK).is_ok()
    })
}

/// The files of `/etc` that depend on the network.
pub(crate) fn etc(network: Network) -> Vec<(String, String)> {
    let of_host = |name: &str| {
        std::fs::read_to_string(Path::new("/etc").join(name)).ok().map(|contents| (name.to_owned(), contents))
    };
    match network {
        Network::None => Vec::new(),
        Network::Nat => vec![("resolv.conf".to_owned(), dns::configuration())],
        Network::Host => {
            ["resolv.conf", "hosts"].into_iter().filter_map(of_host).map(with_own_names).collect()
        }
    }
}

/// The host's names, and those of the sandbox itself, whose loopback interface is the host's.
fn with_own_names((name, mut contents): (String, String)) -> (String, String) {
    if name == "hosts" {
        contents.push_str(&format!("\n127.0.0.1 {}\n", lambd_jail::OWN_NAMES));
    }
    (name, contents)
}

/// The daemon's side of all connected sandboxes.
pub(crate) struct Nat {
    uplinks: Uplinks,
    host: Host,
    /// Whether uplinks are started with their sandboxes wherever that is: this machine makes no interface without.
    at_once: AtomicBool,
}

/// How one sandbox is to be connected.
pub(crate) struct Plan {
    pub(crate) network: protocol::Network,
    with_v6: bool,
}

/// What a sandbox has handed out to be connected.
pub(crate) struct Ends {
    pub(crate) id: String,
    /// A handle to its init.
    pub(crate) init: OwnedFd,
    /// Those of [`Nat::listeners`].
    pub(crate) sockets: Vec<ListenerSocket>,
    /// What followed its listeners.
    pub(crate) configuration: Vec<OwnedFd>,
    /// The read end of what its uplink says, if that was started with it.
    pub(crate) log: Option<OwnedFd>,
    /// What stops it.
    pub(crate) freezer: Option<Arc<Freezer>>,
}

impl Nat {
    /// Must be called inside a runtime.
    ///
    /// # Errors
    /// Why no sandbox can be connected.
    pub(crate) fn start(options: NatOptions) -> Result<Self, String> {
        let host = Host::follow().map_err(|error| format!("cannot list the host's addresses: {error}"))?;
        let uplinks = Uplinks(Arc::new(options));
        Ok(Self { uplinks, host, at_once: AtomicBool::new(false) })
    }

    /// Sockets that a connected sandbox needs beside its listeners.
    pub(crate) fn listeners() -> [Listener; 2] {
        dns::listeners()
    }

    /// From now on uplinks are started with their sandboxes; whether that is news.
    pub(crate) fn connect_at_once(&self) -> bool {
        !self.at_once.swap(true, Ordering::Relaxed)
    }

    /// For a sandbox that can be stopped for a moment, or not.
    pub(crate) fn plan(&self, can_be_stopped: bool) -> Plan {
        let v6_interface = self.host.view().borrow().v6_interface.clone();
        let with_v6 = v6_interface.is_some();
        let network = if can_be_stopped && !self.at_once.load(Ordering::Relaxed) {
            protocol::Network::Held { interface: interface::NAME.to_owned() }
        } else {
            protocol::Network::Connected(self.uplinks.uplink(v6_interface))
        };
        Plan { network, with_v6 }
    }

    /// Sets up the network of a sandbox and serves it until the value is dropped.
    pub(crate) async fn connect(
        &self,
        plan: &Plan,
        ends: Ends,
        requests: &Arc<Requests>,
    ) -> Result<Connection, SandboxError> {
        let Ends { id, init, sockets, configuration, log, freezer } = ends;
        let mut configuration = configuration.into_iter();
        let (Some(route), Some(filter)) = (configuration.next(), configuration.next()) else {
            return Err(SandboxError::Died);
        };
        let failed = |step| move |source| SandboxError::Io { step, source };
        let forwarder =
            Forwarder::new(sockets).map_err(failed("register name server"))?.ok_or(SandboxError::Died)?;
        let mut view = self.host.view();
        let denied = Denied::new(&view.borrow_and_update().own, self.uplinks.denied());
        let with_v6 = plan.with_v6;
        // On a thread for blocking work: the kernel may wait for locks, and pasta takes some milliseconds.
        let (configured, log) = tokio::task::spawn_blocking(move || {
            let namespace = Namespace { route, filter, denied };
            (namespace.set_up(log.as_ref(), with_v6).map(|()| namespace), log)
        })
        .await
        .map_err(|error| SandboxError::Io { step: "set up network", source: io::Error::other(error) })?;
        let namespace = configured.map_err(|reason| SandboxError::Uplink { reason })?;
        let namespace = Arc::new(Mutex::new(namespace));
        let (connected, is_connected) = watch::channel(log.as_ref().map(|_| Ok(())));
        let wanted = Arc::new(Notify::new());
        let held = match (log.is_some(), configuration.next(), configuration.next(), freezer) {
            (false, Some(tap), Some(packets), Some(freezer)) => {
                let held = HeldInterface::new(tap, packets, freezer);
                Some(held.map_err(failed("register the interface"))?)
            }
            (true, ..) => None,
            (false, ..) => return Err(SandboxError::Died),
        };
        let lifeline = {
            let (namespace, wanted, host) = (Arc::clone(&namespace), Arc::clone(&wanted), self.host.view());
            let (uplinks, requests) = (self.uplinks.clone(), Arc::clone(requests));
            async move {
                let log = match (log, held) {
                    (Some(log), _) => Ok(log),
                    (None, Some(held)) => {
                        let frames = held.needed(&wanted).await;
                        let uplink = uplinks.uplink(host.borrow().v6_interface.clone());
                        let request = protocol::ConnectRequest { id, uplink };
                        held.connect(frames, request, &requests, namespace).await
                    }
                    (None, None) => std::future::pending().await,
                };
                match log {
                    Ok(log) => {
                        connected.send_replace(Some(Ok(())));
                        repeat_log(log).await;
                    }
                    Err(reason) => {
                        tracing::error!(reason, "a sandbox is ended: it cannot be connected");
                        connected.send_replace(Some(Err(reason)));
                    }
                }
            }
        };
        let operator = self.uplinks.clone();
        let task = tokio::spawn(async move {
            tokio::select! {
                () = forwarder.run() => {}
                () = lifeline => {
                    let _ = pidfd_send_signal(&init, Signal::KILL);
                }
                error = follow(namespace, view, &operator) => {
                    tracing::error!(%error, "a sandbox is ended: its network cannot follow that of the host");
                    let _ = pidfd_send_signal(&init, Signal::KILL);
                }
            }
        });
        Ok(Connection { task: task.abort_handle(), wanted, is_connected })
    }
}

/// Makes command lines of uplinks.
#[derive(Clone)]
struct Uplinks(Arc<NatOptions>);

impl Uplinks {
    fn denied(&self) -> &[Cidr] {
        &self.0.denied
    }

    /// pasta's command line, see pasta(1): what the sandbox's side looks like is said in full, so that nothing
    /// is taken from the host, and nothing is forwarded to the sandbox.
    fn uplink(&self, v6_interface: Option<String>) -> Uplink {
        let mut args: Vec<String> = [
            "--foreground",
            "--quiet",
            "--netns-only",
            "--no-netns-quit",
            "--no-map-gw",
            "--no-icmp",
            "--no-dhcp",
            "--no-dhcpv6",
            "--no-ndp",
            "--no-ra",
        ]
        .map(str::to_owned)
        .into();
        let mut set = |option: &str, value: String| args.extend([option.to_owned(), value]);
        for forwarding in ["--tcp-ports", "--udp-ports", "--tcp-ns", "--udp-ns", "--dns"] {
            set(forwarding, "none".to_owned());
        }
        set("--ns-ifname", interface::NAME.to_owned());
        set("--mac-addr", interface::GATEWAY_MAC.to_owned());
        set("--address", interface::ADDRESS_V4.to_string());
        set("--netmask", "32".to_owned());
        set("--gateway", interface::GATEWAY_V4.to_string());
        // The interface is only looked at for what is not said here; without IPv6, any will do.
        match v6_interface {
            Some(name) => {
                set("--interface", name);
                set("--address", interface::ADDRESS_V6.to_string());
                set("--gateway", interface::GATEWAY_V6.to_string());
            }
            None => {
                set("--interface", "lo".to_owned());
                args.push("--ipv4-only".to_owned());
            }
        }
        args.push("--netns".to_owned());
        Uplink { program: self.0.program.clone(), args }
    }
}

/// The daemon's side of one connected sandbox.
pub(crate) struct Connection {
    task: AbortHandle,
    wanted: Arc<Notify>,
    is_connected: watch::Receiver<Option<Result<(), String>>>,
}

impl Connection {
    /// Starts the uplink, unless it was, and waits for that.
    pub(crate) async fn complete(&self) -> Result<(), SandboxError> {
        self.wanted.notify_one();
        let mut is_connected = self.is_connected.clone();
        let result = is_connected.wait_for(Option::is_some).await;
        match result.map_err(|_| SandboxError::Died)?.clone() {
            Some(Err(reason)) => Err(SandboxError::Uplink { reason }),
            Some(Ok(())) | None => Ok(()),
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A sandbox's network, by sockets that were opened in it.
struct Namespace {
    route: OwnedFd,
    filter: OwnedFd,
    denied: Denied,
}

/// What pasta(1) does not name itself when it lacks it.
const NEEDS: &str = "it must be able to open /dev/net/tun: modprobe tun; chmod 0666 /dev/net/tun";

/// pasta(1) takes some ten milliseconds.
const PATIENCE: Duration = Duration::from_secs(10);
const LOOK_EVERY: Duration = Duration::from_millis(1);

impl Namespace {
    /// Sets up filter and interface; with the log of the uplink if that makes the interface.
    fn set_up(&self, log: Option<&OwnedFd>, with_v6: bool) -> Result<(), String> {
        // The filter first: there is no moment at which the interface is up without it.
        filter::install(self.filter.as_fd(), &self.denied).map_err(|error| {
            format!("{error} (the kernel needs nf_tables; in a container, the host must have loaded it)")
        })?;
        let index = match log {
            Some(log) => self.await_interface(log)?,
            None => interface::find(self.route.as_fd())
                .map_err(|error| format!("look for the interface: {error}"))?
                .ok_or("the interface is not there")?,
        };
        interface::configure(self.route.as_fd(), index, with_v6, &self.denied).map_err(|e| e.to_string())
    }

    /// Waits until the uplink has taken over the interface.
    fn await_uplink(&self, log: &OwnedFd) -> Result<(), String> {
        let text = |error: io::Error| format!("wait for the interface: {error}");
        let deadline = Instant::now() + PATIENCE;
        let mut said = Vec::new();
        while !interface::is_connected(self.route.as_fd()).map_err(text)? {
            if Instant::now() >= deadline {
                return Err("pasta did not take the interface in time".to_owned());
            }
            // The kernel may keep news of an interface back for a second.
            let pause = Timespec { tv_sec: 0, tv_nsec: LOOK_EVERY.subsec_nanos().into() };
            match poll(&mut [PollFd::new(log, PollFlags::IN)], Some(&pause)) {
                Ok(0) | Err(rustix::io::Errno::INTR) => {}
                Ok(_) if has_ended(log, &mut said) => {
                    let said = String::from_utf8_lossy(&said);
                    return Err(format!("pasta has ended: {} ({NEEDS})", reason(&said)));
                }
                Ok(_) => {}
                Err(error) => return Err(text(error.into())),
            }
        }
        Ok(())
    }

    /// Waits until the uplink has made the interface.
    fn await_interface(&self, log: &OwnedFd) -> Result<u32, String> {
        let text = |error: io::Error| format!("wait for the interface: {error}");
        if let Some(index) = interface::find(self.route.as_fd()).map_err(text)? {
            return Ok(index);
        }
        let deadline = Instant::now() + PATIENCE;
        let mut said = Vec::new();
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err("pasta made no interface in time".to_owned());
            }
            let mut polled = [PollFd::new(&self.route, PollFlags::IN), PollFd::new(log, PollFlags::IN)];
            let timeout = Timespec { tv_sec: left.as_secs() as _, tv_nsec: left.subsec_nanos().into() };
            match poll(&mut polled, Some(&timeout)) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(text(error.into())),
            }
            let (changed, spoken) = (!polled[0].revents().is_empty(), !polled[1].revents().is_empty());
            if changed && let Some(index) = interface::next_change(self.route.as_fd()).map_err(text)? {
                return Ok(index);
            }
            if spoken && has_ended(log, &mut said) {
                let said = String::from_utf8_lossy(&said);
                return Err(format!("pasta has ended: {} ({NEEDS})", reason(&said)));
            }
        }
    }
}

/// Reads what there is; whether the other end is closed.
fn has_ended(log: &OwnedFd, said: &mut Vec<u8>) -> bool {
    let mut buffer = [0; 1024];
    match rustix::io::read(log, &mut buffer) {
        Ok(0) => true,
        Ok(length) => {
            said.extend(&buffer[..length]);
            false
        }
        Err(error) => error != rustix::io::Errno::AGAIN && error != rustix::io::Errno::INTR,
    }
}

/// What a program said last before it ended. Where there is no system log, pasta complains about that as well.
fn reason(said: &str) -> &str {
    let mut lines =
        said.lines().map(str::trim).filter(|line| !line.is_empty() && !line.ends_with("to syslog"));
    lines.next_back().unwrap_or("it gave no reason")
}

/// Repeats what the uplink says in the daemon's own log. Whether anybody is interested or not, it must be read:
/// the uplink would wait for room in the pipe.
async fn repeat_log(log: OwnedFd) {
    let Ok(log) = pipe::Receiver::from_owned_fd(log) else { return std::future::pending().await };
    let mut lines = tokio::io::BufReader::new(log).split(b'\n');
    while let Ok(Some(line)) = lines.next_segment().await {
        tracing::debug!(line = %String::from_utf8_lossy(&line), "pasta");
    }
    // It has ended, and the sandbox with it.
    std::future::pending::<()>().await;
}

/// Denies the host's own addresses as they change; returns only when that failed.
async fn follow(
    namespace: Arc<Mutex<Namespace>>,
    mut view: watch::Receiver<Arc<HostView>>,
    uplinks: &Uplinks,
) -> String {
    while view.changed().await.is_ok() {
        let now = Denied::new(&view.borrow_and_update().own, uplinks.denied());
        let namespace = Arc::clone(&namespace);
        let followed = tokio::task::spawn_blocking(move || {
            let mut namespace = namespace.lock().unwrap_or_else(PoisonError::into_inner);
            filter::replace(namespace.filter.as_fd(), &now)?;
            interface::follow(namespace.route.as_fd(), &namespace.denied, &now)?;
            namespace.denied = now;
            Ok::<_, netlink::Refused>(())
        });
        match followed.await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return error.to_string(),
            Err(error) => return error.to_string(),
        }
    }
    // The daemon is ending.
    std::future::pending().await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reason_is_the_last_line_that_says_something() {
        assert_eq!(
            reason("one\nNo routable interface\nFailed to send 9 bytes to syslog\n\n"),
            "No routable interface"
        );
        assert_eq!(reason(""), "it gave no reason");
    }
}
