//! Which network functions see.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

/// Which network a function sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum NetworkPolicy {
    /// The daemon's endpoints and nothing else.
    None,
    /// Those, and connections that the function opens to the outside.
    Nat,
    /// The daemon's own network.
    Host,
}

impl NetworkPolicy {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::None, Self::Nat, Self::Host];

    /// The name, as tags and options have it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Nat => "nat",
            Self::Host => "host",
        }
    }
}

impl fmt::Display for NetworkPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for NetworkPolicy {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|policy| policy.as_str() == text).ok_or("not one of none, nat and host")
    }
}

/// What functions get, and what they may ask for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetworkRules {
    /// For functions that ask for nothing.
    default: NetworkPolicy,
    refused: BTreeMap<NetworkPolicy, String>,
}

impl NetworkRules {
    /// Every function may have everything; one that asks for nothing has `default`.
    pub fn new(default: NetworkPolicy) -> Self {
        Self { default, refused: BTreeMap::new() }
    }

    /// No function may have this; the reason goes to whoever asks.
    #[must_use]
    pub fn refuse(mut self, policy: NetworkPolicy, reason: impl Into<String>) -> Self {
        self.refused.insert(policy, reason.into());
        self
    }

    /// For functions that ask for nothing.
    pub fn default_policy(&self) -> NetworkPolicy {
        self.default
    }

    /// What a function gets.
    ///
    /// # Errors
    /// The reason when it may not have what it asks for.
    pub fn decide(&self, asked: Option<NetworkPolicy>) -> Result<NetworkPolicy, &str> {
        let policy = asked.unwrap_or(self.default);
        match self.refused.get(&policy) {
            // What the operator chose for all needs no further permission.
            Some(reason) if policy != self.default => Err(reason),
            _ => Ok(policy),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_back_to_their_policy() {
        for policy in NetworkPolicy::ALL {
            assert_eq!(policy.to_string().parse(), Ok(policy));
        }
        assert!("bridge".parse::<NetworkPolicy>().is_err() && "NAT".parse::<NetworkPolicy>().is_err());
    }

    #[test]
    fn a_function_gets_what_it_asks_for_unless_that_is_refused() {
        use NetworkPolicy::{Host, Nat, None as Nothing};
        let rules = NetworkRules::new(Nat).refuse(Host, "not allowed");
        assert_eq!(rules.decide(None), Ok(Nat));
        assert_eq!(rules.decide(Some(Nothing)), Ok(Nothing));
        assert_eq!(rules.decide(Some(Host)), Err("not allowed"));
        let rules = NetworkRules::new(Host).refuse(Host, "not allowed");
        assert_eq!((rules.decide(None), rules.decide(Some(Host))), (Ok(Host), Ok(Host)));
    }
}
