//! What a function must not reach from a connected network.
//!
//! The program that connects a sandbox opens sockets on the host like any other program there, so whatever the
//! host reaches, the function would reach: services on the host's loopback, on its other addresses, and the
//! metadata service of its cloud, which hands out credentials.

use std::net::{IpAddr, Ipv6Addr};

use lambd_types::Cidr;

/// Never reached, whatever the host's addresses are.
const ALWAYS: &[(&str, &str)] = &[
    ("0.0.0.0/8", "this host, by another name"),
    ("127.0.0.0/8", "loopback"),
    ("169.254.0.0/16", "link-local: the metadata service of nearly every cloud is 169.254.169.254"),
    ("168.63.129.16/32", "Azure's wire server"),
    ("100.100.100.200/32", "Alibaba Cloud's metadata service"),
    ("192.0.0.192/32", "Oracle Cloud's old metadata service"),
    ("224.0.0.0/4", "multicast: listeners on the host hear it too"),
    ("255.255.255.255/32", "broadcast"),
    ("::/128", "this host, by another name"),
    ("::1/128", "loopback"),
    ("::ffff:0:0/96", "IPv4 addresses within IPv6"),
    ("fd00:ec2::/32", "AWS's metadata service and its neighbours"),
    ("fd20:ce::254/128", "Google Cloud's metadata service"),
    ("fe80::/10", "link-local"),
    ("ff00::/8", "multicast"),
];

/// Under this prefix, IPv4 addresses are reached through a translator if there is one (RFC 6052).
const TRANSLATED: Ipv6Addr = Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, 0, 0);

/// Networks as ranges of addresses that neither overlap nor touch, in order; IPv4 and IPv6 apart.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Denied {
    pub(super) networks: Vec<Cidr>,
    pub(super) v4: Vec<(u32, u32)>,
    pub(super) v6: Vec<(u128, u128)>,
}

impl Denied {
    /// What is always denied, the host's own addresses, and what the operator adds; those of IPv4 also behind a
    /// translator.
    pub(super) fn new(host: &[Cidr], operator: &[Cidr]) -> Self {
        let always = ALWAYS.iter().filter_map(|(network, _)| network.parse().ok());
        let mut networks: Vec<Cidr> =
            always.chain(host.iter().copied()).chain(operator.iter().copied()).collect();
        let behind: Vec<Cidr> = networks.iter().filter_map(|network| translated(*network)).collect();
        networks.extend(behind);
        networks.sort_unstable();
        networks.dedup();
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        for network in &networks {
            match (network.first(), network.last()) {
                (IpAddr::V4(first), IpAddr::V4(last)) => v4.push((first.to_bits(), last.to_bits())),
                (IpAddr::V6(first), IpAddr::V6(last)) => v6.push((first.to_bits(), last.to_bits())),
                // The ends of a network are of one kind.
                _ => {}
            }
        }
        Self { networks, v4: merge(v4, |end| end.checked_add(1)), v6: merge(v6, |end| end.checked_add(1)) }
    }
}

/// A network of IPv4 as it is reached through a translator.
fn translated(network: Cidr) -> Option<Cidr> {
    let IpAddr::V4(first) = network.first() else { return None };
    let behind = Ipv6Addr::from_bits(TRANSLATED.to_bits() | u128::from(first.to_bits()));
    Cidr::around(behind.into(), 96 + network.length())
}

/// Joins ranges that overlap or touch.
fn merge<T: Ord + Copy>(mut ranges: Vec<(T, T)>, next: impl Fn(T) -> Option<T>) -> Vec<(T, T)> {
    ranges.sort_unstable();
    let mut merged: Vec<(T, T)> = Vec::with_capacity(ranges.len());
    for (first, last) in ranges {
        match merged.last_mut() {
            // Without a next address the range before reaches to the end of all.
            Some((_, end)) if next(*end).is_none_or(|next| first <= next) => *end = last.max(*end),
            _ => merged.push((first, last)),
        }
    }
    merged
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_network_of_the_table_is_one() {
        for (network, _) in ALWAYS {
            network.parse::<Cidr>().unwrap_or_else(|error| panic!("{error}"));
        }
    }

    #[test]
    fn ranges_neither_overlap_nor_touch() {
        let next = |end: u32| end.checked_add(1);
        assert_eq!(merge(vec![(5, 6), (0, 2), (3, 3), (9, 20), (10, 12)], next), [(0, 3), (5, 6), (9, 20)]);
        assert_eq!(merge(vec![(1, u32::MAX), (7, 9)], next), [(1, u32::MAX)]);
        assert_eq!(merge(vec![(0, u32::MAX), (0, 0)], next), [(0, u32::MAX)]);
    }

    #[test]
    fn the_hosts_and_the_operators_networks_are_added() {
        let host = ["192.0.2.2", "fd00::2"].map(|text| text.parse().unwrap());
        let denied = Denied::new(&host, &["10.0.0.0/8".parse().unwrap()]);
        let covered = |address: &str| match address.parse().unwrap() {
            IpAddr::V4(a) => denied.v4.iter().any(|(first, last)| (*first..=*last).contains(&a.to_bits())),
            IpAddr::V6(a) => denied.v6.iter().any(|(first, last)| (*first..=*last).contains(&a.to_bits())),
        };
        for address in [
            "192.0.2.2",
            "10.9.8.7",
            "127.0.0.53",
            "169.254.169.254",
            "239.1.2.3",
            "::1",
            "fd00::2",
            "fd00:ec2::254",
            "fe80::1",
            "::ffff:169.254.169.254",
            "64:ff9b::127.0.0.1",
            "64:ff9b::169.254.169.254",
            "64:ff9b::168.63.129.16",
            "64:ff9b::192.0.2.2",
            "64:ff9b::10.9.8.7",
        ] {
            assert!(covered(address), "{address}");
        }
        for address in
            ["192.0.2.1", "192.0.2.3", "8.8.8.8", "172.16.0.1", "fd00::1", "2001:db8::1", "64:ff9b::8.8.8.8"]
        {
            assert!(!covered(address), "{address}");
        }
    }
}
