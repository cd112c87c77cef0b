//! The tags by which a function asks for what AWS has no setting for. Every AWS tool can set them.

use std::collections::BTreeMap;

use lambd_api::ApiError;
use lambd_types::{NetworkPolicy, NetworkRules};

/// What all of them begin with.
const PREFIX: &str = "lambd:";
/// Which network the function sees.
const NETWORK: &str = "lambd:network";

/// Refuses tags of ours that ask for nothing we know or for what this daemon does not give.
pub(crate) fn check(tags: &BTreeMap<String, String>, rules: &NetworkRules) -> Result<(), ApiError> {
    if let Some(unknown) = tags.keys().find(|key| key.starts_with(PREFIX) && *key != NETWORK) {
        return Err(ApiError::InvalidParameterValue(format!(
            "The tag {unknown:?} means nothing to lambd; of the tags that begin with {PREFIX:?} there is {NETWORK:?}."
        )));
    }
    let Some(value) = tags.get(NETWORK) else { return Ok(()) };
    let policy: NetworkPolicy = value.parse().map_err(|reason| {
        ApiError::InvalidParameterValue(format!("The value {value:?} of the tag {NETWORK:?} is {reason}."))
    })?;
    rules.decide(Some(policy)).map(drop).map_err(|reason| {
        ApiError::InvalidParameterValue(format!(
            "The tag {NETWORK:?} asks for {policy}, which functions do not get here: {reason}."
        ))
    })
}

/// The network that a function with these tags asks for.
pub(crate) fn network(tags: &BTreeMap<String, String>) -> Option<NetworkPolicy> {
    // Checked when it was stored.
    tags.get(NETWORK).and_then(|value| value.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(key: &str, value: &str) -> Result<(), String> {
        let rules = NetworkRules::new(NetworkPolicy::Nat).refuse(NetworkPolicy::Host, "not allowed");
        check(&BTreeMap::from([(key.to_owned(), value.to_owned())]), &rules).map_err(|e| e.to_string())
    }

    #[test]
    fn only_known_tags_with_known_values_are_accepted() {
        for (key, value) in [("lambd:network", "none"), ("lambd:network", "nat"), ("team", "lambd:network")] {
            assert_eq!(checked(key, value), Ok(()), "{key}={value}");
        }
        for (key, value, part) in [
            (
                "lambd:network",
                "bridge",
                "\"bridge\" of the tag \"lambd:network\" is not one of none, nat and host",
            ),
            ("lambd:network", "", "not one of"),
            ("lambd:network", "host", "asks for host, which functions do not get here: not allowed"),
            ("lambd:netwrok", "none", "means nothing to lambd"),
        ] {
            let error = checked(key, value).expect_err(key);
            assert!(error.contains(part), "{error}");
        }
    }

    #[test]
    fn a_function_asks_by_its_tag() {
        assert_eq!(network(&BTreeMap::from([(NETWORK.into(), "host".into())])), Some(NetworkPolicy::Host));
        assert_eq!(network(&BTreeMap::from([("other".into(), "host".into())])), None);
    }
}
