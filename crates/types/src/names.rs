//! Function names, versions and qualifiers.

use std::fmt;
use std::sync::Arc;

/// Why a text is not a name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// It has a character that the pattern does not allow, or is empty.
    #[error("{0:?} does not match the pattern of a name")]
    Pattern(String),
    /// It is longer than the limit.
    #[error("{0:?} is longer than {1} characters")]
    TooLong(String, usize),
}

fn is_word(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}

/// A bare function name: `[a-zA-Z0-9-_]{1,64}` (API-004, API-050).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FunctionName(Arc<str>);

impl FunctionName {
    /// Longest bare name.
    pub const MAX: usize = 64;

    /// Checks pattern and length.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        if !is_word(text) {
            return Err(NameError::Pattern(text.to_owned()));
        }
        if text.len() > Self::MAX {
            return Err(NameError::TooLong(text.to_owned(), Self::MAX));
        }
        Ok(Self(text.into()))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for FunctionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A function version: the unpublished one or a published number (API-053).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Version {
    /// `$LATEST`, the only version whose code and configuration can change.
    Latest,
    /// A published, immutable version, counted from 1.
    Published(u64),
}

impl Version {
    /// `$LATEST` or decimal digits.
    pub fn parse(text: &str) -> Option<Self> {
        if text == "$LATEST" {
            return Some(Self::Latest);
        }
        let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        digits.then(|| text.parse().ok()).flatten().map(Self::Published)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Latest => f.write_str("$LATEST"),
            Self::Published(n) => write!(f, "{n}"),
        }
    }
}

/// The name of an alias: `(?!^[0-9]+$)([a-zA-Z0-9-_]{1,128})`, so not all digits (API-054).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AliasName(String);

impl AliasName {
    /// Longest name.
    pub const MAX: usize = 128;

    /// Checks pattern and length.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        if text.len() > Self::MAX {
            return Err(NameError::TooLong(text.to_owned(), Self::MAX));
        }
        if is_word(text) && !text.bytes().all(|b| b.is_ascii_digit()) {
            return Ok(Self(text.to_owned()));
        }
        Err(NameError::Pattern(text.to_owned()))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for AliasName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a caller may append to a function's name: a version or an alias (CORE-008, API-052).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Qualifier {
    /// `$LATEST` or a number.
    Version(Version),
    /// An alias.
    Alias(AliasName),
}

impl Qualifier {
    /// Longest qualifier.
    pub const MAX: usize = 128;

    /// Checks pattern and length.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        if text.len() > Self::MAX {
            return Err(NameError::TooLong(text.to_owned(), Self::MAX));
        }
        if let Some(version) = Version::parse(text) {
            return Ok(Self::Version(version));
        }
        AliasName::parse(text).map(Self::Alias)
    }
}

impl fmt::Display for Qualifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Version(v) => v.fmt(f),
            Self::Alias(a) => a.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_keep_the_pattern_and_the_length() {
        assert!(FunctionName::parse("my-function_1").is_ok());
        assert!(FunctionName::parse(&"a".repeat(64)).is_ok());
        for bad in ["", "a b", "a.b", "a/b", "ä"] {
            assert!(matches!(FunctionName::parse(bad), Err(NameError::Pattern(_))), "{bad}");
        }
        assert!(matches!(FunctionName::parse(&"a".repeat(65)), Err(NameError::TooLong(_, 64))));
    }

    #[test]
    fn qualifiers_are_versions_or_aliases() {
        assert_eq!(Qualifier::parse("$LATEST"), Ok(Qualifier::Version(Version::Latest)));
        assert_eq!(Qualifier::parse("7"), Ok(Qualifier::Version(Version::Published(7))));
        assert_eq!(Qualifier::parse("PROD"), AliasName::parse("PROD").map(Qualifier::Alias));
        assert!(Qualifier::parse("").is_err());
        assert!(Qualifier::parse("$OTHER").is_err());
        assert!(Qualifier::parse(&"9".repeat(40)).is_err(), "a number that no version can have");
    }
}
