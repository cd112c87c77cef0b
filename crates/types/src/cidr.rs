//! Networks in CIDR notation.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// All addresses that share their first bits: `10.0.0.0/8`, `fd00:ec2::/32`, or a single one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Cidr {
    first: IpAddr,
    length: u8,
}

/// Why a text is not a network.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CidrError {
    /// It is neither an address nor an address with a length.
    #[error("{0:?} is not a network such as 10.0.0.0/8 or fd00::/8")]
    Form(String),
    /// Bits beyond the length are set, so that it is unclear what is meant.
    #[error("{text:?} names an address within a network; the network is {network}")]
    HostBits {
        /// What was given.
        text: String,
        /// The network around it.
        network: Cidr,
    },
}

impl Cidr {
    /// One address.
    pub const fn single(address: IpAddr) -> Self {
        Self { first: address, length: width(address) }
    }

    /// The network of this many leading bits around an address; `None` when the address has fewer bits.
    pub fn around(address: IpAddr, length: u8) -> Option<Self> {
        if length > width(address) {
            return None;
        }
        let first = match address {
            IpAddr::V4(address) => IpAddr::V4(Ipv4Addr::from_bits(address.to_bits() & mask_v4(length))),
            IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & mask_v6(length))),
        };
        Some(Self { first, length })
    }

    /// Its first address.
    pub const fn first(self) -> IpAddr {
        self.first
    }

    /// Its last address.
    pub fn last(self) -> IpAddr {
        match self.first {
            IpAddr::V4(first) => IpAddr::V4(Ipv4Addr::from_bits(first.to_bits() | !mask_v4(self.length))),
            IpAddr::V6(first) => IpAddr::V6(Ipv6Addr::from_bits(first.to_bits() | !mask_v6(self.length))),
        }
    }

    /// How many leading bits its addresses share.
    pub const fn length(self) -> u8 {
        self.length
    }
}

const fn width(address: IpAddr) -> u8 {
    match address {
        IpAddr::V4(_) => 32,
        IpAddr::V6(_) => 128,
    }
}

fn mask_v4(length: u8) -> u32 {
    u32::MAX.checked_shl(32 - u32::from(length)).unwrap_or(0)
}

fn mask_v6(length: u8) -> u128 {
    u128::MAX.checked_shl(128 - u32::from(length)).unwrap_or(0)
}

impl FromStr for Cidr {
    type Err = CidrError;

    fn from_str(text: &str) -> Result<Self, CidrError> {
        let form = || CidrError::Form(text.to_owned());
        let (address, length) = text.split_once('/').map_or((text, None), |(a, l)| (a, Some(l)));
        let address: IpAddr = address.parse().map_err(|_| form())?;
        let length = length.map_or(Ok(width(address)), str::parse).map_err(|_| form())?;
        let network = Self::around(address, length).ok_or_else(form)?;
        if network.first == address {
            Ok(network)
        } else {
            Err(CidrError::HostBits { text: text.to_owned(), network })
        }
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.first, self.length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_reach_from_their_first_to_their_last_address() {
        for (text, first, last) in [
            ("10.0.0.0/8", "10.0.0.0", "10.255.255.255"),
            ("0.0.0.0/0", "0.0.0.0", "255.255.255.255"),
            ("192.0.2.7", "192.0.2.7", "192.0.2.7"),
            ("fd00:ec2::/32", "fd00:ec2::", "fd00:ec2:ffff:ffff:ffff:ffff:ffff:ffff"),
            ("::/0", "::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
        ] {
            let network: Cidr = text.parse().unwrap();
            assert_eq!(
                (network.first().to_string(), network.last().to_string()),
                (first.into(), last.into())
            );
        }
    }

    #[test]
    fn only_whole_networks_are_accepted() {
        for bad in ["", "10", "10.0.0.0/33", "10.0.0.0/-1", "10.0.0.0/", "fd00::/129", "host/8", "/8"] {
            assert_eq!(bad.parse::<Cidr>(), Err(CidrError::Form(bad.into())));
        }
        let error = "10.1.2.3/8".parse::<Cidr>().unwrap_err().to_string();
        assert!(error.ends_with("the network is 10.0.0.0/8"), "{error}");
    }
}
