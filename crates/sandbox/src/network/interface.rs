//! The interface of a connected network: its addresses, its routes.
//!
//! Everything is set here by hand, so that nothing depends on what the program at the other end would tell by
//! DHCP or router advertisements, and nothing changes afterwards.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::BorrowedFd;

use lambd_types::Cidr;

use super::deny::Denied;
use super::netlink::{self, Batch, CREATE, REPLACE, Refused};

/// Its name.
pub(super) const NAME: &str = "eth0";
/// Hardware address of the other end.
pub(super) const GATEWAY_MAC: &str = "02:00:00:00:00:01";
const GATEWAY_MAC_BYTES: [u8; 6] = [2, 0, 0, 0, 0, 1];
/// The address that the sandbox has in IPv4, and that of the other end. They mean something between these two
/// only, so they come from the network that RFC 7335 sets aside for hosts behind a translator: it hides nothing
/// that anybody wants to reach.
pub(super) const ADDRESS_V4: Ipv4Addr = Ipv4Addr::new(192, 0, 0, 2);
pub(super) const GATEWAY_V4: Ipv4Addr = Ipv4Addr::new(192, 0, 0, 1);
/// The same in IPv6: a unique local prefix, RFC 4193.
pub(super) const ADDRESS_V6: Ipv6Addr = Ipv6Addr::new(0xfd6c, 0x616d, 0x6264, 0, 0, 0, 0, 2);
pub(super) const GATEWAY_V6: Ipv6Addr = Ipv6Addr::new(0xfd6c, 0x616d, 0x6264, 0, 0, 0, 0, 1);
/// Largest packet. Connections end at the other end of the interface, and begin anew on the host, so this is
/// not about the path; large ones save work.
const MTU: u32 = 65_520;

// linux/rtnetlink.h, linux/if_link.h and neighbours
const NEW_LINK: u16 = 16;
const GET_LINK: u16 = 18;
const NEW_ADDRESS: u16 = 20;
const NEW_ROUTE: u16 = 24;
const DELETE_ROUTE: u16 = 25;
const NEW_NEIGHBOUR: u16 = 28;
const LINK_HEADER: usize = 16;
const LINK_MTU: u16 = 4;
const LINK_NAME: u16 = 3;
const LINK_FAMILIES: u16 = 26;
const INET6_ADDRESS_GENERATION: u16 = 8;
const UP: u32 = 1;
/// `IFF_RUNNING` and `IFF_LOWER_UP`.
const CONNECTED: u32 = 0x40 | 0x1_0000;
const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;
const TABLE_MAIN: u8 = 254;
const BY_ADMINISTRATOR: u8 = 4;
const UNICAST: u8 = 1;
const UNREACHABLE: u8 = 7;
const ON_LINK: u32 = 4;
const ROUTE_DESTINATION: u16 = 1;
const ROUTE_INTERFACE: u16 = 4;
const ROUTE_GATEWAY: u16 = 5;
/// `NUD_PERMANENT`.
const PERMANENT: u16 = 0x80;
/// `IFA_F_NODAD`: usable at once.
const NO_DUPLICATE_CHECK: u8 = 2;

/// The index of the interface, if it is there.
pub(super) fn find(socket: BorrowedFd<'_>) -> io::Result<Option<u32>> {
    let mut batch = Batch::default();
    let purpose = "list interfaces";
    batch.request(purpose, GET_LINK, netlink::DUMP, &[0; LINK_HEADER], |_| {});
    let found = batch.dump(socket)?;
    Ok(found.iter().find_map(|(kind, body)| index_in(*kind, body)))
}

/// Waits for the next change of an interface; the index if it is ours that appeared.
pub(super) fn next_change(socket: BorrowedFd<'_>) -> io::Result<Option<u32>> {
    let packet = netlink::receive(socket)?;
    Ok(netlink::messages(&packet).find_map(|message| index_in(message.kind, message.body)))
}

/// Whether the interface has another end and packets flow, see netdevice(7) and the kernel's
/// `networking/operstates`.
pub(super) fn is_connected(socket: BorrowedFd<'_>) -> io::Result<bool> {
    let mut batch = Batch::default();
    batch.request("list interfaces", GET_LINK, netlink::DUMP, &[0; LINK_HEADER], |_| {});
    let found = batch.dump(socket)?;
    let mut ours = found.iter().filter(|(kind, body)| index_in(*kind, body).is_some());
    Ok(ours
        .any(|(_, body)| netlink::i32_at(body, 8).is_some_and(|flags| flags as u32 & CONNECTED == CONNECTED)))
}

fn index_in(kind: u16, body: &[u8]) -> Option<u32> {
    let is_named = |(kind, value): (u16, &[u8])| {
        kind == LINK_NAME && value.strip_suffix(&[0]).unwrap_or(value) == NAME.as_bytes()
    };
    let ours = kind == NEW_LINK && netlink::attributes(body, LINK_HEADER).any(is_named);
    ours.then(|| netlink::i32_at(body, 4)).flatten()?.try_into().ok()
}

/// Brings the interface up with its addresses, the way to everywhere, and none to what is denied.
pub(super) fn configure(
    socket: BorrowedFd<'_>,
    index: u32,
    with_v6: bool,
    denied: &Denied,
) -> Result<(), Refused> {
    let mut batch = Batch::default();
    batch.request("set up the interface", NEW_LINK, 0, &link_header(index, 0), |a| {
        a.put_u32(LINK_MTU, MTU);
        // No address from the hardware address: nobody would use it.
        a.nest(LINK_FAMILIES, |f| f.nest(AF_INET6.into(), |i| i.put(INET6_ADDRESS_GENERATION, &[1])));
    });
    // Apart from it, because the kernel would bring the interface up first.
    batch.request("bring the interface up", NEW_LINK, 0, &link_header(index, UP), |_| {});
    add_family(&mut batch, index, ADDRESS_V4.into(), GATEWAY_V4.into());
    if with_v6 {
        add_family(&mut batch, index, ADDRESS_V6.into(), GATEWAY_V6.into());
    }
    for network in &denied.networks {
        refuse(&mut batch, *network);
    }
    batch.send(socket)
}

/// Follows a change of what is denied.
pub(super) fn follow(socket: BorrowedFd<'_>, before: &Denied, now: &Denied) -> Result<(), Refused> {
    let mut batch = Batch::default();
    for network in now.networks.iter().filter(|network| !before.networks.contains(network)) {
        refuse(&mut batch, *network);
    }
    for network in before.networks.iter().filter(|network| !now.networks.contains(network)) {
        let header = route_header(*network, UNREACHABLE, 0);
        let purpose = "remove an unreachable route";
        batch.request(purpose, DELETE_ROUTE, 0, &header, |a| {
            a.put(ROUTE_DESTINATION, &octets(network.first()));
        });
    }
    if batch.is_empty() { Ok(()) } else { batch.send(socket) }
}

fn add_family(batch: &mut Batch, index: u32, address: IpAddr, gateway: IpAddr) {
    let single = Cidr::single(address);
    let family = family(address);
    let mut header = vec![family, single.length(), NO_DUPLICATE_CHECK, 0];
    header.extend(index.to_ne_bytes());
    batch.request("set the interface's address", NEW_ADDRESS, CREATE | REPLACE, &header, |a| {
        a.put(1, &octets(address));
        a.put(2, &octets(address));
    });
    let mut header = vec![family, 0, 0, 0];
    header.extend(index.to_ne_bytes());
    header.extend(PERMANENT.to_ne_bytes());
    header.extend([0, 0]);
    batch.request("set the gateway's address", NEW_NEIGHBOUR, CREATE | REPLACE, &header, |a| {
        a.put(1, &octets(gateway));
        a.put(2, &GATEWAY_MAC_BYTES);
    });
    // The gateway is in no network of the interface's, whence "on link".
    let everywhere = route_header_of(family, 0, UNICAST, ON_LINK);
    batch.request("set the default route", NEW_ROUTE, CREATE | REPLACE, &everywhere, |a| {
        a.put(ROUTE_GATEWAY, &octets(gateway));
        a.put_u32(ROUTE_INTERFACE, index);
    });
}

/// A route that says at once that there is none: without it a connection would be tried in vain for minutes.
fn refuse(batch: &mut Batch, network: Cidr) {
    let header = route_header(network, UNREACHABLE, 0);
    batch.request("set an unreachable route", NEW_ROUTE, CREATE | REPLACE, &header, |a| {
        a.put(ROUTE_DESTINATION, &octets(network.first()));
    });
}

/// `struct ifinfomsg`.
fn link_header(index: u32, flags: u32) -> Vec<u8> {
    let mut header = vec![0; 4];
    header.extend(index.to_ne_bytes());
    // The flags, and which of them are meant.
    header.extend(flags.to_ne_bytes());
    header.extend(flags.to_ne_bytes());
    header
}

fn route_header(network: Cidr, kind: u8, flags: u32) -> Vec<u8> {
    route_header_of(family(network.first()), network.length(), kind, flags)
}

/// `struct rtmsg`.
fn route_header_of(family: u8, length: u8, kind: u8, flags: u32) -> Vec<u8> {
    let mut header = vec![family, length, 0, 0, TABLE_MAIN, BY_ADMINISTRATOR, 0, kind];
    header.extend(flags.to_ne_bytes());
    header
}

fn family(address: IpAddr) -> u8 {
    match address {
        IpAddr::V4(_) => AF_INET,
        IpAddr::V6(_) => AF_INET6,
    }
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}
