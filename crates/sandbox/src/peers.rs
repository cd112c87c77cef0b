//! Whose connection it is that came to a listener on a network that a sandbox shares with others.

use std::net::{IpAddr, SocketAddr};

use crate::process;

/// Tells the processes of one sandbox from everybody else on its network. Clones mean the same sandbox.
#[derive(Debug, Clone)]
pub struct Peers {
    /// Process id of its init.
    init: i32,
    /// Host user id of its function, if nobody else has it.
    uid: Option<u32>,
}

/// What the kernel tells about a connected socket, see proc_pid_net(5).
#[derive(Debug, PartialEq, Eq)]
struct Owner {
    uid: u32,
    inode: u64,
}

impl Peers {
    pub(crate) fn new(init: i32, uid: Option<u32>) -> Self {
        Self { init, uid }
    }

    /// Whether a process of the sandbox is at the other end of a TCP connection: `peer` is its address,
    /// `local` the listener's. Reads files of /proc: some tenths of a millisecond.
    ///
    /// The owner is the user who made the socket, where that user is the sandbox's own; else a process of
    /// the sandbox must have it open now.
    #[must_use]
    pub fn include(&self, peer: SocketAddr, local: SocketAddr) -> bool {
        owner(peer, local).is_some_and(|owner| self.are_owners(&owner))
    }

    /// Whether a process of the sandbox listens on this TCP port of the loopback interface, and nobody else does. As
    /// slow as [`Self::include`].
    #[must_use]
    pub fn listen_on(&self, port: u16) -> bool {
        let tables = ["/proc/net/tcp", "/proc/net/tcp6"].map(std::fs::read_to_string);
        let owners: Vec<_> = tables.iter().flatten().flat_map(|table| listeners(table, port)).collect();
        !owners.is_empty() && owners.iter().all(|owner| self.are_owners(owner))
    }

    fn are_owners(&self, owner: &Owner) -> bool {
        match self.uid {
            Some(uid) => owner.uid == uid,
            None => process::tree(self.init).any(|pid| process::has_open(pid, owner.inode)),
        }
    }
}

/// Who listens on a port, on whichever address.
fn listeners(table: &str, port: u16) -> Vec<Owner> {
    const LISTENING: &str = "0A";
    let ending = format!(":{port:04X}");
    let listener = |line: &str| {
        let mut fields = line.split_ascii_whitespace().skip(1);
        let (address, _, state) = (fields.next()?, fields.next()?, fields.next()?);
        if !address.ends_with(&ending) || state != LISTENING {
            return None;
        }
        Some(Owner { uid: fields.nth(3)?.parse().ok()?, inode: fields.nth(1)?.parse().ok()? })
    };
    table.lines().filter_map(listener).collect()
}

/// The owner of the socket whose own address is `socket` and that is connected to `remote`.
fn owner(socket: SocketAddr, remote: SocketAddr) -> Option<Owner> {
    let addresses = |show: fn(SocketAddr) -> Option<String>| Some((show(socket)?, show(remote)?));
    // A socket of version 6 can be connected to an address of version 4.
    [("/proc/net/tcp", addresses(version_4)), ("/proc/net/tcp6", addresses(version_6))].into_iter().find_map(
        |(table, addresses)| {
            let (socket, remote) = addresses?;
            find(&std::fs::read_to_string(table).ok()?, &socket, &remote)
        },
    )
}

fn find(table: &str, socket: &str, remote: &str) -> Option<Owner> {
    table.lines().find_map(|line| {
        let mut fields = line.split_ascii_whitespace().skip(1);
        if fields.next()? != socket || fields.next()? != remote {
            return None;
        }
        let uid = fields.nth(4)?.parse().ok()?;
        let inode = fields.nth(1)?.parse().ok()?;
        Some(Owner { uid, inode })
    })
}

/// As in `/proc/net/tcp`: the bytes of the address as one number of this machine, in hexadecimal.
fn version_4(address: SocketAddr) -> Option<String> {
    let IpAddr::V4(ip) = address.ip().to_canonical() else { return None };
    Some(format!("{:08X}:{:04X}", u32::from_ne_bytes(ip.octets()), address.port()))
}

/// As in `/proc/net/tcp6`: the same for each of the four words.
fn version_6(address: SocketAddr) -> Option<String> {
    let octets = match address.ip() {
        IpAddr::V4(ip) => ip.to_ipv6_mapped().octets(),
        IpAddr::V6(ip) => ip.octets(),
    };
    let words = octets.chunks_exact(4).filter_map(|word| word.try_into().ok());
    let text: String = words.map(|word| format!("{:08X}", u32::from_ne_bytes(word))).collect();
    Some(format!("{text}:{:04X}", address.port()))
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn a_connection_of_this_process_is_its_own_and_nobody_elses() {
        let own = i32::try_from(std::process::id()).expect("pid fits");
        let uid = rustix::process::geteuid().as_raw();
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let listener = TcpListener::bind(address).expect("binds");
            let client = TcpStream::connect(listener.local_addr().expect("address")).expect("connects");
            let (server, peer) = listener.accept().expect("accepts");
            let local = server.local_addr().expect("address");
            assert!(Peers::new(own, None).include(peer, local), "{address}");
            assert!(Peers::new(own, Some(uid)).include(peer, local), "{address}");
            assert!(!Peers::new(own, Some(uid + 1)).include(peer, local), "{address}");
            let mut stranger = std::process::Command::new("sleep").arg("1000").spawn().expect("spawns");
            let pid = i32::try_from(stranger.id()).expect("pid fits");
            assert!(!Peers::new(pid, None).include(peer, local), "{address}");
            stranger.kill().and_then(|()| stranger.wait()).expect("ends");
            assert!(!Peers::new(own, None).include(local, local), "{address}");
            drop(client);
        }
    }

    #[test]
    fn a_listener_of_this_process_is_its_own_and_nobody_elses() {
        let own = i32::try_from(std::process::id()).expect("pid fits");
        let uid = rustix::process::geteuid().as_raw();
        for address in ["127.0.0.1:0", "0.0.0.0:0", "[::]:0"] {
            let listener = TcpListener::bind(address).expect("binds");
            let port = listener.local_addr().expect("address").port();
            assert!(Peers::new(own, None).listen_on(port), "{address}");
            assert!(Peers::new(own, Some(uid)).listen_on(port), "{address}");
            assert!(!Peers::new(own, Some(uid + 1)).listen_on(port), "{address}");
            drop(listener);
            assert!(!Peers::new(own, None).listen_on(port), "nobody listens");
        }
    }

    #[test]
    fn lines_name_user_and_inode() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n\
                     \x20 0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 11 1\n\
                     \x20 1: 0100007F:C350 0100007F:1F90 01 00000000:00000000 00:00000000 00000000  1000        0 4711 1\n";
        let found = find(table, "0100007F:C350", "0100007F:1F90");
        assert_eq!(found, Some(Owner { uid: 1000, inode: 4711 }));
        assert_eq!(find(table, "0100007F:C350", "0100007F:0050"), None);
    }
}
