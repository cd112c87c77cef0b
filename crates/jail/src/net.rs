//! The network of a sandbox: a loopback interface, and listeners that the daemon serves.
//!
//! A socket belongs to the network namespace it was created in, wherever its descriptor travels. So
//! the init makes the listeners here and hands them out; the daemon accepts on them from its own
//! namespace, and no bridge, virtual cable or proxy is needed.

use std::net::SocketAddrV4;
use std::os::fd::{AsFd, OwnedFd};

use rustix::net::netlink::{self, SocketAddrNetlink};
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, listen, socket_with, sockopt};

use crate::error::{Step, StepError};
use crate::protocol::{Listener, Transport};
use crate::sys;

/// Connections that may wait for accept(2); an init opens few.
const BACKLOG: i32 = 128;

/// Brings the loopback interface up; a new network namespace has it down. The kernel adds 127.0.0.1
/// and ::1 by itself.
pub(crate) fn loopback_up() -> Result<(), StepError> {
    let socket = socket(SocketType::STREAM).step("create socket for loopback")?;
    sys::loopback_up(socket.as_fd()).step("bring loopback up")
}

/// `RTMGRP_LINK` of rtnetlink(7): changes of network interfaces.
const LINK_CHANGES: u32 = 1;

/// Sockets through which this network namespace can be configured and filtered.
///
/// The daemon uses them, not this process: what a function must not reach changes with the addresses of the
/// host. The kernel asks for the right at each message (netlink(7)), and the daemon has it: it owns the user
/// namespace. Nobody inside has it once the function runs.
pub(crate) fn configuration() -> Result<[OwnedFd; 2], StepError> {
    let open = |protocol, groups| {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, protocol)?;
        bind(&socket, &SocketAddrNetlink::new(0, groups))?;
        Ok::<_, rustix::io::Errno>(socket)
    };
    // `NETLINK_ROUTE` is zero, which is no protocol's name in this library.
    let route = open(None, LINK_CHANGES).step("open rtnetlink socket")?;
    let filter = open(Some(netlink::NETFILTER), 0).step("open netfilter socket")?;
    Ok([route, filter])
}

/// Creates listening sockets in the order given.
pub(crate) fn listeners(wanted: &[Listener]) -> Result<Vec<OwnedFd>, StepError> {
    wanted.iter().map(listener).collect()
}

/// The same listeners with the addresses that they have got.
pub(crate) fn addresses(wanted: &[Listener], sockets: &[OwnedFd]) -> Result<Vec<Listener>, StepError> {
    let address = |(wanted, socket): (&Listener, &OwnedFd)| {
        let bound = rustix::net::getsockname(socket).and_then(SocketAddrV4::try_from);
        Ok(Listener { address: bound.step("read address of listener")?, ..*wanted })
    };
    wanted.iter().zip(sockets).map(address).collect()
}

fn listener(wanted: &Listener) -> Result<OwnedFd, StepError> {
    let Listener { transport, address } = wanted;
    let kind = match transport {
        Transport::Tcp => SocketType::STREAM,
        Transport::Udp => SocketType::DGRAM,
    };
    let socket = socket(kind).step("create listener")?;
    if *transport == Transport::Tcp {
        sockopt::set_socket_reuseaddr(&socket, true).step("set SO_REUSEADDR of listener")?;
    }
    bind(&socket, address).step_with(|| format!("bind listener to {address}"))?;
    if *transport == Transport::Tcp {
        listen(&socket, BACKLOG).step_with(|| format!("listen on {address}"))?;
    }
    Ok(socket)
}

/// Close-on-exec, because the function must not inherit it; non-blocking, because the daemon's
/// event loop gets it.
fn socket(kind: SocketType) -> rustix::io::Result<OwnedFd> {
    socket_with(AddressFamily::INET, kind, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK, None)
}

/// A TCP socket of this network to connect to what listens in it.
pub(crate) fn client() -> rustix::io::Result<OwnedFd> {
    socket(SocketType::STREAM)
}
