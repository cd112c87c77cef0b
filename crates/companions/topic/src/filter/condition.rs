//! One condition on one value.

use std::net::IpAddr;

use lambd_types::Cidr;
use serde_json::Value;

/// What a value can be compared with.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Condition {
    Equals(Scalar),
    EqualsIgnoringCase(String),
    Prefix(String),
    Suffix(String),
    Wildcard(Wildcard),
    Numeric(Vec<(Comparison, f64)>),
    Cidr(Cidr),
    Exists(bool),
    /// A text or number for which none of these holds.
    AnythingBut(Vec<Condition>),
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Scalar {
    Text(String),
    Number(f64),
    Flag(bool),
    Null,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Comparison {
    Equal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// A pattern in which `*` stands for any text; the parts between its stars.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wildcard(pub(super) Vec<String>);

impl Condition {
    /// Whether the value fulfils it: any element of an array; an object is none, it has no value of its own.
    pub(super) fn accepts(&self, value: Option<&Value>) -> bool {
        let present = value.is_some_and(|value| !value.is_object());
        match (self, value) {
            (Self::Exists(wanted), _) => *wanted == present,
            (_, Some(Value::Array(items))) => items.iter().any(|item| self.accepts(Some(item))),
            (_, Some(value)) => present && self.accepts_scalar(value),
            (_, None) => false,
        }
    }

    fn accepts_scalar(&self, value: &Value) -> bool {
        let text = value.as_str();
        match self {
            Self::Equals(Scalar::Text(wanted)) => text == Some(wanted),
            Self::Equals(Scalar::Number(wanted)) => value.as_f64() == Some(*wanted),
            Self::Equals(Scalar::Flag(wanted)) => value.as_bool() == Some(*wanted),
            Self::Equals(Scalar::Null) => value.is_null(),
            Self::EqualsIgnoringCase(wanted) => text.is_some_and(|text| text.to_lowercase() == *wanted),
            Self::Prefix(prefix) => text.is_some_and(|text| text.starts_with(prefix)),
            Self::Suffix(suffix) => text.is_some_and(|text| text.ends_with(suffix)),
            Self::Wildcard(pattern) => text.is_some_and(|text| pattern.accepts(text)),
            Self::Numeric(bounds) => value.as_f64().is_some_and(|number| {
                bounds.iter().all(|(comparison, bound)| comparison.holds(number, *bound))
            }),
            Self::Cidr(network) => text.and_then(|text| text.parse().ok()).is_some_and(|address: IpAddr| {
                Cidr::around(address, network.length()).as_ref() == Some(network)
            }),
            Self::AnythingBut(these) => !these.iter().any(|condition| condition.accepts_scalar(value)),
            Self::Exists(_) => false,
        }
    }
}

impl Comparison {
    pub(super) fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "=" => Self::Equal,
            "<" => Self::Less,
            "<=" => Self::LessOrEqual,
            ">" => Self::Greater,
            ">=" => Self::GreaterOrEqual,
            _ => return None,
        })
    }

    fn holds(self, number: f64, bound: f64) -> bool {
        match self {
            Self::Equal => number == bound,
            Self::Less => number < bound,
            Self::LessOrEqual => number <= bound,
            Self::Greater => number > bound,
            Self::GreaterOrEqual => number >= bound,
        }
    }
}

impl Wildcard {
    fn accepts(&self, text: &str) -> bool {
        let [first, middle @ .., last] = self.0.as_slice() else {
            return self.0.first().is_some_and(|only| only == text);
        };
        let Some(mut rest) = text.strip_prefix(first.as_str()) else { return false };
        for part in middle {
            // The earliest place leaves most for those that follow.
            let Some(at) = rest.find(part.as_str()) else { return false };
            rest = &rest[at + part.len()..];
        }
        rest.ends_with(last.as_str())
    }
}
