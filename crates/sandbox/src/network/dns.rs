//! Names in a connected network: a small forwarder to the host's own name servers.
//!
//! It listens in the sandbox's network on loopback, served from the host's. So a resolver that only listens on
//! the host's loopback (systemd-resolved) can be asked, although the function cannot reach it; large answers
//! can be had over TCP; and a host that moves to another network takes its sandboxes along.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, ToSocketAddrs as _};
use std::sync::Arc;
use std::time::Duration;

use lambd_jail::protocol::{Listener, Transport};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::prepared::ListenerSocket;

/// Where it listens.
const ADDRESS: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(127, 0, 0, 53), 53);
/// Where the host says whom to ask.
const CONFIGURATION: &str = "/etc/resolv.conf";
/// Name servers that are asked, as many as the C library asks.
const SERVERS: usize = 3;
/// Questions and connections of one sandbox at a time; more are left unanswered.
const AT_ONCE: usize = 64;
/// Resolvers ask again after five seconds by default; until then each server has its turn.
const PATIENCE: Duration = Duration::from_millis(1600);
const PATIENCE_OF_CONNECTION: Duration = Duration::from_secs(30);
/// Longest message over UDP that anybody sends.
const LONGEST: usize = 4096;

/// The sockets that it needs.
pub(super) fn listeners() -> [Listener; 2] {
    [Transport::Udp, Transport::Tcp].map(|transport| Listener { transport, address: ADDRESS })
}

/// `/etc/resolv.conf` of a sandbox: our address, and the host's search list and options.
pub(super) fn configuration() -> String {
    let host = std::fs::read_to_string(CONFIGURATION).unwrap_or_default();
    format!("nameserver {}\n{}", ADDRESS.ip(), kept(&host))
}

fn kept(host: &str) -> String {
    let keeps =
        |line: &&str| matches!(line.split_ascii_whitespace().next(), Some("search" | "domain" | "options"));
    host.lines().filter(keeps).flat_map(|line| [line, "\n"]).collect()
}

/// The forwarder of one sandbox.
pub(super) struct Forwarder {
    datagrams: Arc<UdpSocket>,
    connections: TcpListener,
    room: Arc<Semaphore>,
}

impl Forwarder {
    /// From the sockets of [`listeners`], in their order; `None` when they are not these.
    pub(super) fn new(sockets: Vec<ListenerSocket>) -> io::Result<Option<Self>> {
        let Ok([ListenerSocket::Udp(datagrams), ListenerSocket::Tcp(connections)]) =
            <[ListenerSocket; 2]>::try_from(sockets)
        else {
            return Ok(None);
        };
        Ok(Some(Self {
            datagrams: Arc::new(UdpSocket::from_std(datagrams)?),
            connections: TcpListener::from_std(connections)?,
            room: Arc::new(Semaphore::new(AT_ONCE)),
        }))
    }

    /// Answers until dropped.
    pub(super) async fn run(self) {
        // Dropped with this future, and all that is under way with it.
        let mut under_way = JoinSet::new();
        let mut buffer = [0; LONGEST];
        loop {
            tokio::select! {
                question = self.datagrams.recv_from(&mut buffer) => {
                    // An error is that of an answer that could not be delivered.
                    let Ok((length, client)) = question else { continue };
                    let Ok(room) = Arc::clone(&self.room).try_acquire_owned() else { continue };
                    let (question, socket) = (buffer[..length].to_vec(), Arc::clone(&self.datagrams));
                    under_way.spawn(async move {
                        if let Some(answer) = ask(&question, &servers()).await {
                            let _ = socket.send_to(&answer, client).await;
                        }
                        drop(room);
                    });
                }
                accepted = self.connections.accept() => {
                    let Ok((client, _)) = accepted else { continue };
                    let Ok(room) = Arc::clone(&self.room).try_acquire_owned() else { continue };
                    under_way.spawn(async move {
                        let _ = tokio::time::timeout(PATIENCE_OF_CONNECTION, relay(client)).await;
                        drop(room);
                    });
                }
                Some(_) = under_way.join_next() => {}
            }
        }
    }
}

/// The answer of the first server that gives one.
async fn ask(question: &[u8], servers: &[SocketAddr]) -> Option<Vec<u8>> {
    for server in servers {
        if let Ok(Ok(answer)) = tokio::time::timeout(PATIENCE, ask_one(question, *server)).await {
            return Some(answer);
        }
    }
    None
}

/// From a socket and port of its own, so that a forged answer has to guess that as well.
async fn ask_one(question: &[u8], server: SocketAddr) -> io::Result<Vec<u8>> {
    let any: IpAddr =
        if server.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((any, 0)).await?;
    socket.connect(server).await?;
    socket.send(question).await?;
    let mut buffer = vec![0; LONGEST];
    loop {
        let length = socket.recv(&mut buffer).await?;
        // Its first two bytes say which question it answers.
        if length >= 2 && buffer.get(..2) == question.get(..2) {
            buffer.truncate(length);
            return Ok(buffer);
        }
    }
}

async fn relay(mut client: TcpStream) -> io::Result<()> {
    let mut connected = Err(io::Error::from(io::ErrorKind::NotFound));
    for server in servers() {
        let connecting = tokio::time::timeout(PATIENCE, TcpStream::connect(server));
        connected = connecting.await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
        if connected.is_ok() {
            break;
        }
    }
    tokio::io::copy_bidirectional(&mut client, &mut connected?).await?;
    Ok(())
}

/// The host's name servers at present. Reading a small file that is in memory does not keep anybody waiting.
fn servers() -> Vec<SocketAddr> {
    servers_in(&std::fs::read_to_string(CONFIGURATION).unwrap_or_default())
}

/// See resolv.conf(5); without any, the one on this host.
fn servers_in(text: &str) -> Vec<SocketAddr> {
    let named = text.lines().filter_map(|line| {
        let mut words = line.split_ascii_whitespace();
        (words.next() == Some("nameserver")).then(|| words.next()).flatten()
    });
    let mut servers: Vec<_> = named.filter_map(server).take(SERVERS).collect();
    if servers.is_empty() {
        servers.push(SocketAddr::from((Ipv4Addr::LOCALHOST, 53)));
    }
    servers
}

/// An address, with the interface if it is a link-local one.
fn server(text: &str) -> Option<SocketAddr> {
    match text.split_once('%') {
        None => text.parse::<IpAddr>().ok().map(|address| SocketAddr::new(address, 53)),
        Some((address, _)) => {
            // Nothing but a number, or it would be looked up.
            address.parse::<Ipv6Addr>().ok()?;
            (text, 53).to_socket_addrs().ok()?.next()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_servers_are_those_of_the_file() {
        let servers =
            |text: &str| -> Vec<String> { servers_in(text).iter().map(ToString::to_string).collect() };
        assert_eq!(
            servers("# comment\nnameserver 10.0.0.2\nnameserver fd00::53 \nsearch a\nnameserver x\n"),
            ["10.0.0.2:53", "[fd00::53]:53"]
        );
        assert_eq!(servers("nameserver fe80::1%lo\n"), ["[fe80::1%1]:53"]);
        assert_eq!(servers("search a\n"), ["127.0.0.1:53"]);
        assert_eq!(servers(&"nameserver 127.0.0.1\n".repeat(5)).len(), 3);
    }

    #[test]
    fn search_list_and_options_are_kept() {
        let host = "nameserver 10.0.0.2\nsearch corp.example lab\noptions ndots:2\n# x\n";
        assert_eq!(kept(host), "search corp.example lab\noptions ndots:2\n");
    }

    #[tokio::test]
    async fn a_silent_server_gives_way_to_the_next() {
        let silent = UdpSocket::bind("127.0.0.1:0").await.expect("binds");
        let speaking = UdpSocket::bind("127.0.0.1:0").await.expect("binds");
        let servers = [&silent, &speaking].map(|socket| socket.local_addr().expect("bound"));
        let answering = tokio::spawn(async move {
            let mut buffer = [0; 16];
            let (length, from) = speaking.recv_from(&mut buffer).await.expect("receives");
            // One that answers another question first.
            speaking.send_to(b"xxnot this", from).await.expect("sends");
            speaking.send_to(&[&buffer[..length], b"!"].concat(), from).await.expect("sends");
        });
        assert_eq!(ask(b"idquestion", &servers).await.as_deref(), Some(b"idquestion!".as_slice()));
        answering.await.expect("no panic");
    }
}
