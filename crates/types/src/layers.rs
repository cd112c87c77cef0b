//! Layers: their names, and the ARNs by which functions use them (API-060..062).

use std::fmt;

use crate::{AccountId, NameError, Partition, Region, Scope};

/// The name of a layer: `[a-zA-Z0-9-_]{1,140}`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LayerName(String);

impl LayerName {
    /// Longest name, and longest ARN of a layer or of a version of it.
    pub const MAX: usize = 140;

    /// Checks pattern and length.
    ///
    /// # Errors
    /// When the text is not a name.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        let word = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
        if text.is_empty() || !text.bytes().all(word) {
            return Err(NameError::Pattern(text.to_owned()));
        }
        if text.len() > Self::MAX {
            return Err(NameError::TooLong(text.to_owned(), Self::MAX));
        }
        Ok(Self(text.to_owned()))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for LayerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What names a layer in the whole system.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct LayerKey {
    /// Account and region.
    pub scope: Scope,
    /// The layer.
    pub name: LayerName,
}

/// What names one version of a layer in the whole system.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct LayerVersionKey {
    /// The layer.
    pub layer: LayerKey,
    /// Its number, counted from 1.
    pub version: u64,
}

impl LayerKey {
    /// Reads the ARN of a layer, `None` for anything else.
    pub fn parse_arn(text: &str) -> Option<Self> {
        let (key, version) = parse(text)?;
        version.is_none().then_some(key)
    }

    /// The layer's ARN.
    pub fn arn(&self) -> String {
        let Scope { account, region } = &self.scope;
        format!(
            "arn:{}:lambda:{region}:{account}:layer:{}",
            Partition::of(region.as_str()).as_str(),
            self.name
        )
    }
}

impl LayerVersionKey {
    /// Reads the ARN of a version, `None` for anything else.
    pub fn parse_arn(text: &str) -> Option<Self> {
        let (layer, version) = parse(text)?;
        Some(Self { layer, version: version?.parse().ok()? })
    }

    /// The version's ARN.
    pub fn arn(&self) -> String {
        format!("{}:{}", self.layer.arn(), self.version)
    }
}

/// A layer and the digits of a version, if there are some.
fn parse(text: &str) -> Option<(LayerKey, Option<&str>)> {
    let (head, rest) = text.strip_prefix("arn:")?.split_once(":layer:")?;
    let fields: Vec<&str> = head.split(':').collect();
    let [partition, "lambda", region, account] = fields.as_slice() else { return None };
    let (name, version) = match rest.split_once(':') {
        Some((name, version)) => (name, Some(version)),
        None => (rest, None),
    };
    let is_number = |v: &str| !v.is_empty() && v.bytes().all(|b| b.is_ascii_digit());
    if text.len() > LayerName::MAX || !partition.starts_with("aws") || !version.is_none_or(is_number) {
        return None;
    }
    let scope = Scope { account: AccountId::parse(account)?, region: Region::parse(region)? };
    Some((LayerKey { scope, name: LayerName::parse(name).ok()? }, version))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// CORE-131, CORE-132.
    #[test]
    fn arns_of_layers_and_of_their_versions() {
        let layer = "arn:aws:lambda:us-west-2:123456789012:layer:my-layer";
        let version = "arn:aws:lambda:us-west-2:123456789012:layer:my-layer:17";
        let key = LayerVersionKey::parse_arn(version).expect("an ARN");
        assert_eq!((key.version, key.arn().as_str(), key.layer.arn().as_str()), (17, version, layer));
        assert_eq!(LayerKey::parse_arn(layer), Some(key.layer));
        assert_eq!(LayerKey::parse_arn(version), None);
        assert_eq!(LayerVersionKey::parse_arn(layer), None);
    }

    #[test]
    fn other_texts_name_no_version() {
        for bad in [
            "",
            "my-layer:1",
            "arn:aws:lambda:us-west-2:123456789012:layer:my-layer:",
            "arn:aws:lambda:us-west-2:123456789012:layer:my-layer:x",
            "arn:aws:lambda:us-west-2:123456789012:layer:my-layer:+1",
            "arn:aws:lambda:us-west-2:123456789012:layer:my-layer:1:2",
            "arn:aws:lambda:us-west-2:123456789012:layer::1",
            "arn:aws:lambda:us-west-2:1234:layer:my-layer:1",
            "arn:aws:s3:us-west-2:123456789012:layer:my-layer:1",
            "arn:aws:lambda:us-west-2:123456789012:function:my-layer:1",
            "arn:aws:lambda:us-west-2:123456789012:layer:my-layer:99999999999999999999",
        ] {
            assert_eq!(LayerVersionKey::parse_arn(bad), None, "{bad}");
        }
        assert!(matches!(LayerName::parse(&"a".repeat(141)), Err(NameError::TooLong(_, 140))));
        assert!(LayerName::parse(&"a".repeat(140)).is_ok());
        assert!(LayerName::parse("a.b").is_err());
    }
}
