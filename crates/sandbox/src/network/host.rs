//! What of the host's network matters to sandboxes, followed while it changes.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use lambd_types::Cidr;
use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, recv, socket_with};
use tokio::io::Interest;
use tokio::sync::watch;
use tokio::task::AbortHandle;

use super::netlink::{self, Batch, DUMP};
use crate::channel;

const GET_ROUTE: u16 = 26;
const NEW_ROUTE: u16 = 24;
/// `struct rtmsg`.
const ROUTE_HEADER: usize = 12;
const ROUTE_DESTINATION: u16 = 1;
const ROUTE_INTERFACE: u16 = 4;
const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;
const TABLE_MAIN: u8 = 254;
const TABLE_LOCAL: u8 = 255;
const UNICAST: u8 = 1;
/// `RTN_LOCAL`, `RTN_BROADCAST`, `RTN_ANYCAST`: what the host takes for itself.
const TAKEN: [u8; 3] = [2, 3, 4];
/// `RTMGRP_IPV4_IFADDR`, `RTMGRP_IPV4_ROUTE`, `RTMGRP_IPV6_IFADDR`, `RTMGRP_IPV6_ROUTE`.
const CHANGES: u32 = 0x10 | 0x40 | 0x100 | 0x400;

/// The host's network as far as it matters.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct HostView {
    /// Addresses that lead to the host itself. From its routes rather than from its interfaces: a route may
    /// make a whole network the host's.
    pub(super) own: Vec<Cidr>,
    /// The interface of the default route in IPv6, if there is one.
    pub(super) v6_interface: Option<String>,
}

/// Follows the host's network. The task ends with the value.
#[derive(Debug)]
pub(super) struct Host {
    view: watch::Receiver<Arc<HostView>>,
    task: AbortHandle,
}

impl Drop for Host {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Host {
    /// Starts following; must be called inside a runtime.
    pub(super) fn follow() -> io::Result<Self> {
        // Subscribed before the first look, so that no change falls between.
        let changes = channel::register(open(CHANGES)?, Interest::READABLE)?;
        let (sender, view) = watch::channel(Arc::new(look()?));
        let task = tokio::spawn(async move {
            loop {
                let drained = changes.async_io(Interest::READABLE, |socket| drain(socket.as_fd())).await;
                // Changes that did not fit into the socket's buffer are changes.
                if let Err(error) = drained
                    && error.raw_os_error() != Some(rustix::io::Errno::NOBUFS.raw_os_error())
                {
                    tracing::error!(%error, "cannot follow the changes of the host's network");
                    return;
                }
                match look() {
                    Ok(now) => {
                        sender.send_if_modified(|view| {
                            let changed = **view != now;
                            if changed {
                                *view = Arc::new(now);
                            }
                            changed
                        });
                    }
                    Err(error) => tracing::warn!(%error, "cannot look at the host's network"),
                }
            }
        });
        Ok(Self { view, task: task.abort_handle() })
    }

    /// The present view, and those to come.
    pub(super) fn view(&self) -> watch::Receiver<Arc<HostView>> {
        self.view.clone()
    }
}

fn open(groups: u32) -> io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, None)?;
    bind(&socket, &SocketAddrNetlink::new(0, groups))?;
    Ok(socket)
}

/// Reads all that waits; what it says does not matter, because everything is looked at anew.
fn drain(socket: BorrowedFd<'_>) -> io::Result<()> {
    let mut buffer = [0; 4096];
    recv(socket, &mut buffer, rustix::net::RecvFlags::empty())?;
    while recv(socket, &mut buffer, rustix::net::RecvFlags::empty()).is_ok() {}
    Ok(())
}

/// Looks at the host's routes.
pub(super) fn look() -> io::Result<HostView> {
    let socket = open(0)?;
    let mut view = HostView::default();
    let mut v6_index = None;
    for family in [AF_INET, AF_INET6] {
        let mut batch = Batch::default();
        let mut header = [0; ROUTE_HEADER];
        header[0] = family;
        batch.request("list routes", GET_ROUTE, DUMP, &header, |_| {});
        for (kind, body) in batch.dump(socket.as_fd())? {
            if kind != NEW_ROUTE {
                continue;
            }
            let Some(route) = Route::read(&body) else { continue };
            if route.table == TABLE_LOCAL && TAKEN.contains(&route.kind) {
                view.own.push(route.destination);
            } else if route.is_default_v6() {
                v6_index = v6_index.or(route.interface);
            }
        }
    }
    view.own.sort_unstable();
    view.own.dedup();
    view.v6_interface = v6_index.and_then(|index| rustix::net::netdevice::index_to_name(&socket, index).ok());
    Ok(view)
}

struct Route {
    table: u8,
    kind: u8,
    destination: Cidr,
    interface: Option<u32>,
}

impl Route {
    fn read(body: &[u8]) -> Option<Self> {
        let &[family, length, _, _, table, _, _, kind, ..] = body else { return None };
        let mut address = match family {
            AF_INET => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            _ => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        };
        let mut interface = None;
        for (kind, value) in netlink::attributes(body, ROUTE_HEADER) {
            match kind {
                ROUTE_DESTINATION => address = address_of(value)?,
                ROUTE_INTERFACE => interface = netlink::i32_at(value, 0).and_then(|i| i.try_into().ok()),
                _ => {}
            }
        }
        Some(Self { table, kind, destination: Cidr::around(address, length)?, interface })
    }

    fn is_default_v6(&self) -> bool {
        self.table == TABLE_MAIN
            && self.kind == UNICAST
            && self.destination.length() == 0
            && self.destination.first().is_ipv6()
    }
}

fn address_of(bytes: &[u8]) -> Option<IpAddr> {
    match bytes.len() {
        4 => <[u8; 4]>::try_from(bytes).ok().map(IpAddr::from),
        _ => <[u8; 16]>::try_from(bytes).ok().map(IpAddr::from),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hosts_own_addresses_are_found() {
        let view = look().expect("routes can be listed");
        let loopback: Cidr = "127.0.0.0/8".parse().expect("a network");
        assert!(view.own.contains(&loopback), "{view:?}");
    }
}
