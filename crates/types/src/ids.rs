//! Identifiers that every request carries.

use std::fmt;
use std::sync::Arc;

use crate::random;

/// A 12-digit account number.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AccountId(Arc<str>);

impl AccountId {
    /// `None` unless `text` is exactly twelve digits.
    pub fn parse(text: &str) -> Option<Self> {
        let ok = text.len() == 12 && text.bytes().all(|b| b.is_ascii_digit());
        ok.then(|| Self(text.into()))
    }

    /// The account used when credentials name none: `000000000000`, as local AWS tools have it.
    pub fn default_local() -> Self {
        Self("000000000000".into())
    }

    /// The twelve digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A region name such as `us-east-1`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Region(Arc<str>);

impl Region {
    /// `None` unless `text` looks like a region: `[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\d` (API-622).
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('-');
        let mut part = || parts.next();
        let parts = [part(), part(), part(), part(), part()];
        let lower = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_lowercase());
        let digit = |s: &str| s.len() == 1 && s.bytes().all(|b| b.is_ascii_digit());
        let partition =
            |s: &str| s == "gov" || s == "iso" || (s.len() == 4 && s.starts_with("iso") && lower(s));
        let ok = match parts {
            [Some(c), Some(area), Some(n), None, None] => c.len() == 2 && lower(c) && lower(area) && digit(n),
            [Some(c), Some(p), Some(area), Some(n), None] => {
                c.len() == 2 && lower(c) && partition(p) && lower(area) && digit(n)
            }
            _ => false,
        };
        ok.then(|| Self(text.into()))
    }

    /// The region used when a request names none: `us-east-1`.
    pub fn default_local() -> Self {
        Self("us-east-1".into())
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The account and region that a request acts in. Everything stored is keyed by both.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Scope {
    /// The account.
    pub account: AccountId,
    /// The region.
    pub region: Region,
}

/// The id of one request or invocation, a UUID.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct RequestId(Arc<str>);

impl RequestId {
    /// A fresh random id.
    pub fn random() -> Self {
        Self(random::with_uuid(|text| text.into()))
    }

    /// An id that came back from storage; it is not checked again.
    pub fn from_stored(text: String) -> Self {
        Self(text.into())
    }

    /// The UUID text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The revision of a function's configuration; changes on every update (API-011).
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct RevisionId(String);

impl RevisionId {
    /// A fresh random id.
    pub fn random() -> Self {
        Self(random::uuid())
    }

    /// An id that came back from storage; it is not checked again.
    pub fn from_stored(text: String) -> Self {
        Self(text)
    }

    /// The UUID text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

macro_rules! shown_as_text {
    ($($name:ident),+) => {$(
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($name), self.0)
            }
        }
    )+};
}
shown_as_text!(AccountId, Region, RequestId, RevisionId);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regions_follow_the_pattern() {
        for good in ["us-east-1", "eu-central-2", "us-gov-west-1", "us-iso-east-1", "us-isob-east-1"] {
            assert!(Region::parse(good).is_some(), "{good}");
        }
        for bad in ["", "us-east", "us-east-11", "US-east-1", "us--1", "us-foo-east-1", "usa-east-1"] {
            assert!(Region::parse(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn accounts_are_twelve_digits() {
        assert!(AccountId::parse("123456789012").is_some());
        for bad in ["", "12345678901", "1234567890123", "12345678901a"] {
            assert!(AccountId::parse(bad).is_none(), "{bad}");
        }
    }
}
