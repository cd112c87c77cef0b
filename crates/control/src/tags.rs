//! The tags by which a function asks for what AWS has no setting for. Every AWS tool can set them.

use std::collections::BTreeMap;

use lambd_api::ApiError;
use lambd_types::{NetworkPolicy, NetworkRules};
use tokio::sync::SetOnce;

/// What all of them begin with.
const PREFIX: &str = "lambd:";
/// Which network the function sees.
const NETWORK: &str = "lambd:network";

/// Refuses tags of ours that ask for nothing we know or for what this daemon does not give; waits for the rules only if
/// there is a tag that they are about.
pub(crate) async fn check(
    tags: &BTreeMap<String, String>,
    rules: &SetOnce<NetworkRules>,
) -> Result<(), ApiError> {
    if let Some(unknown) = tags.keys().find(|key| key.starts_with(PREFIX) && *key != NETWORK) {
        return Err(ApiError::InvalidParameterValue(format!(
            "The tag {unknown:?} means nothing to lambd; of the tags that begin with {PREFIX:?} there is {NETWORK:?}."
        )));
    }
    let Some(value) = tags.get(NETWORK) else { return Ok(()) };
    let policy: NetworkPolicy = value.parse().map_err(|reason| {
        ApiError::InvalidParameterValue(format!("The value {value:?} of the tag {NETWORK:?} is {reason}."))
    })?;
    rules.wait().await.decide(Some(policy)).map(drop).map_err(|reason| {
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
    use futures_util::FutureExt as _;

    use super::*;

    async fn checked(key: &str, value: &str) -> Result<(), String> {
        let rules = NetworkRules::new(NetworkPolicy::Nat).refuse(NetworkPolicy::Host, "not allowed");
        let rules = SetOnce::new_with(Some(rules));
        check(&BTreeMap::from([(key.to_owned(), value.to_owned())]), &rules).await.map_err(|e| e.to_string())
    }

    #[tokio::test]
    async fn only_a_tag_that_the_rules_are_about_waits_for_them() {
        let rules = SetOnce::new();
        let with = |key: &str, value: &str| BTreeMap::from([(key.to_owned(), value.to_owned())]);
        assert!(check(&with("team", "blue"), &rules).await.is_ok());
        assert!(check(&with("lambd:network", "bridge"), &rules).await.is_err());
        let tags = with("lambd:network", "none");
        let mut asked = std::pin::pin!(check(&tags, &rules));
        assert!((&mut asked).now_or_never().is_none());
        rules.set(NetworkRules::new(NetworkPolicy::Nat).refuse(NetworkPolicy::None, "not allowed")).unwrap();
        assert!(asked.await.unwrap_err().to_string().contains("not allowed"));
    }

    #[tokio::test]
    async fn only_known_tags_with_known_values_are_accepted() {
        for (key, value) in [("lambd:network", "none"), ("lambd:network", "nat"), ("team", "lambd:network")] {
            assert_eq!(checked(key, value).await, Ok(()), "{key}={value}");
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
            let error = checked(key, value).await.expect_err(key);
            assert!(error.contains(part), "{error}");
        }
    }

    #[test]
    fn a_function_asks_by_its_tag() {
        assert_eq!(network(&BTreeMap::from([(NETWORK.into(), "host".into())])), Some(NetworkPolicy::Host));
        assert_eq!(network(&BTreeMap::from([("other".into(), "host".into())])), None);
    }
}
