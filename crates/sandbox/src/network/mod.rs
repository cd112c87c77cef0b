//! Sandboxes that reach other networks through the daemon's: the policy [`Network::Nat`].
//!
//! A program on the host, pasta(1), holds the other end of the sandbox's one interface and opens an ordinary
//! socket for each of its connections. Nothing of the host's own network is changed, and no right is needed.
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
//! | `netlink`   | the messages in which the kernel is told all that                 |

mod deny;
mod dns;
mod filter;
mod host;
mod interface;
mod netlink;

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use lambd_jail::protocol::{Listener, Uplink};
use lambd_types::Cidr;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Signal, pidfd_send_signal};
use tokio::io::AsyncBufReadExt as _;
use tokio::net::unix::pipe;
use tokio::sync::watch;
use tokio::task::AbortHandle;

use self::deny::Denied;
use self::dns::Forwarder;
use self::host::{Host, HostView};
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
    options: NatOptions,
    host: Host,
}

/// How one sandbox is to be connected.
pub(crate) struct Plan {
    pub(crate) uplink: Uplink,
    with_v6: bool,
}

impl Nat {
    /// Must be called inside a runtime.
    ///
    /// # Errors
    /// Why no sandbox can be connected.
    pub(crate) fn start(options: NatOptions) -> Result<Self, String> {
        let host = Host::follow().map_err(|error| format!("cannot list the host's addresses: {error}"))?;
        Ok(Self { options, host })
    }

    /// Sockets that a connected sandbox needs beside its listeners.
    pub(crate) fn listeners() -> [Listener; 2] {
        dns::listeners()
    }

    pub(crate) fn plan(&self) -> Plan {
        let v6_interface = self.host.view().borrow().v6_interface.clone();
        Plan { with_v6: v6_interface.is_some(), uplink: self.uplink(v6_interface) }
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
        Uplink { program: self.options.program.clone(), args }
    }

    /// Sets up the network of a sandbox and serves it until the value is dropped; `sockets` are those of
    /// [`Self::listeners`], `log` is the read end of what the uplink says.
    pub(crate) async fn connect(
        &self,
        plan: &Plan,
        init: OwnedFd,
        sockets: Vec<ListenerSocket>,
        configuration: Vec<OwnedFd>,
        log: OwnedFd,
    ) -> Result<Connection, SandboxError> {
        let Ok([route, filter]) = <[OwnedFd; 2]>::try_from(configuration) else {
            return Err(SandboxError::Died);
        };
        let forwarder = Forwarder::new(sockets)
            .map_err(|source| SandboxError::Io { step: "register name server", source })?
            .ok_or(SandboxError::Died)?;
        let mut view = self.host.view();
        let denied = Denied::new(&view.borrow_and_update().own, &self.options.denied);
        let with_v6 = plan.with_v6;
        // On a thread for blocking work: the kernel may wait for locks, and pasta takes some milliseconds.
        let (configured, log) = tokio::task::spawn_blocking(move || {
            let namespace = Namespace { route, filter, denied };
            (namespace.set_up(&log, with_v6).map(|()| namespace), log)
        })
        .await
        .map_err(|error| SandboxError::Io { step: "set up network", source: io::Error::other(error) })?;
        let namespace = configured.map_err(|reason| SandboxError::Uplink { reason })?;
        let operator = self.options.denied.clone();
        let task = tokio::spawn(async move {
            tokio::select! {
                () = forwarder.run() => {}
                () = repeat_log(log) => {}
                error = follow(namespace, view, operator) => {
                    tracing::error!(%error, "a sandbox is ended: its network cannot follow that of the host");
                    let _ = pidfd_send_signal(&init, Signal::KILL);
                }
            }
        });
        Ok(Connection(task.abort_handle()))
    }
}

/// The daemon's side of one connected sandbox.
pub(crate) struct Connection(AbortHandle);

impl Drop for Connection {
    fn drop(&mut self) {
        self.0.abort();
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

impl Namespace {
    fn set_up(&self, log: &OwnedFd, with_v6: bool) -> Result<(), String> {
        // The filter first: there is no moment at which the interface is up without it.
        filter::install(self.filter.as_fd(), &self.denied).map_err(|error| {
            format!("{error} (the kernel needs nf_tables; in a container, the host must have loaded it)")
        })?;
        let index = self.await_interface(log)?;
        interface::configure(self.route.as_fd(), index, with_v6, &self.denied).map_err(|e| e.to_string())
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
    mut namespace: Namespace,
    mut view: watch::Receiver<Arc<HostView>>,
    operator: Vec<Cidr>,
) -> String {
    while view.changed().await.is_ok() {
        let now = Denied::new(&view.borrow_and_update().own, &operator);
        let followed = tokio::task::spawn_blocking(move || {
            let Namespace { route, filter, denied } = namespace;
            filter::replace(filter.as_fd(), &now)?;
            interface::follow(route.as_fd(), &denied, &now)?;
            Ok::<_, netlink::Refused>(Namespace { route, filter, denied: now })
        });
        namespace = match followed.await {
            Ok(Ok(namespace)) => namespace,
            Ok(Err(error)) => return error.to_string(),
            Err(error) => return error.to_string(),
        };
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
