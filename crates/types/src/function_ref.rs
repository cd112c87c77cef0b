//! The forms in which a caller may name a function (API-004, API-005).

use crate::{AccountId, FunctionName, NameError, Qualifier, Region};

/// A function as a caller named it: a bare name, a partial ARN or a full ARN, each with or without a
/// version or alias.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FunctionRef {
    /// The bare name.
    pub name: FunctionName,
    /// The account, when the caller gave it.
    pub account: Option<AccountId>,
    /// The region, when the caller gave it.
    pub region: Option<Region>,
    /// The version or alias, when the caller appended one.
    pub qualifier: Option<Qualifier>,
}

/// Why a text names no function.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FunctionRefError {
    /// It has none of the documented forms.
    #[error("{0:?} is neither a function name nor a function ARN")]
    Form(String),
    /// The name or the qualifier in it is not valid.
    #[error(transparent)]
    Name(#[from] NameError),
}

impl FunctionRef {
    /// Parses `name`, `account:function:name`, `arn:aws:lambda:region:account:function:name`, each
    /// optionally followed by `:qualifier`.
    pub fn parse(text: &str) -> Result<Self, FunctionRefError> {
        let form = || FunctionRefError::Form(text.to_owned());
        let (account, region, rest) = match text.strip_prefix("arn:") {
            Some(arn) => {
                let (head, rest) = arn.split_once(":function:").ok_or_else(form)?;
                let [partition, service, region, account] =
                    head.split(':').collect::<Vec<_>>().try_into().map_err(|_| form())?;
                if !partition.starts_with("aws") || service != "lambda" {
                    return Err(form());
                }
                let region = Region::parse(region).ok_or_else(form)?;
                let account = AccountId::parse(account).ok_or_else(form)?;
                (Some(account), Some(region), rest)
            }
            None => match text.split_once(":function:") {
                Some((account, rest)) => (Some(AccountId::parse(account).ok_or_else(form)?), None, rest),
                None => (None, None, text.strip_prefix("function:").unwrap_or(text)),
            },
        };
        let (name, qualifier) = match rest.split_once(':') {
            Some((name, qualifier)) => (name, Some(Qualifier::parse(qualifier)?)),
            None => (rest, None),
        };
        Ok(Self { name: FunctionName::parse(name)?, account, region, qualifier })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Version;

    #[test]
    fn every_documented_form_is_understood() {
        let bare = FunctionRef::parse("my-function").unwrap();
        assert_eq!((bare.name.as_str(), bare.account, bare.qualifier), ("my-function", None, None));

        let qualified = FunctionRef::parse("my-function:v1").unwrap();
        assert_eq!(qualified.qualifier, Qualifier::parse("v1").ok());

        let partial = FunctionRef::parse("123456789012:function:my-function:1").unwrap();
        assert_eq!(partial.account.unwrap().as_str(), "123456789012");
        assert_eq!(partial.qualifier, Some(Qualifier::Version(Version::Published(1))));

        let full =
            FunctionRef::parse("arn:aws:lambda:us-west-2:123456789012:function:my-function:$LATEST").unwrap();
        assert_eq!(full.region.unwrap().as_str(), "us-west-2");
        assert_eq!(full.qualifier, Some(Qualifier::Version(Version::Latest)));
    }

    #[test]
    fn other_texts_are_refused() {
        for bad in [
            "",
            ":",
            "a b",
            "name:",
            "name:1:2",
            "arn:aws:lambda:us-west-2:123456789012:name",
            "arn:aws:s3:us-west-2:123456789012:function:name",
            "arn:aws:lambda:nowhere:123456789012:function:name",
            "12345:function:name",
            "arn:aws:lambda:us-west-2:123456789012:function:",
        ] {
            assert!(FunctionRef::parse(bad).is_err(), "{bad}");
        }
    }
}
