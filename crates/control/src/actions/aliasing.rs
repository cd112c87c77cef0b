//! What the actions on aliases share: names, restrictions, answers.

use std::collections::BTreeMap;

use lambd_api::requests::RoutingConfig;
use lambd_api::responses::{AliasConfiguration, RoutingConfigResponse};
use lambd_api::{ApiError, Route, Violations, patterns};
use lambd_http::RequestHead;
use lambd_store::aliases::{AliasKey, AliasRow};
use lambd_types::{AliasName, FunctionKey, NameError, Qualifier, Version, function_arn};

use super::revision;
use crate::Control;
use crate::context::store_error;
use crate::functions::Target;

/// The alias of a path.
pub(super) fn key(head: &RequestHead, route: &Route) -> Result<AliasKey, ApiError> {
    let mut violations = Violations::default();
    let alias = name(route.label("Name"), &mut violations);
    violations.into_result()?;
    let target = revision::target(head, route.function_name())?;
    match alias {
        Some(alias) => Ok(AliasKey { scope: target.scope, name: target.name, alias }),
        None => Err(ApiError::Service("an alias without a name passed the checks".to_owned())),
    }
}

/// Checks the name of an alias.
pub(super) fn name(text: &str, violations: &mut Violations) -> Option<AliasName> {
    match AliasName::parse(text) {
        Ok(name) => return Some(name),
        Err(NameError::TooLong(text, max)) => violations.too_long(&text, "name", max),
        Err(NameError::Pattern(text)) => violations.pattern(&text, "name", patterns::ALIAS),
    }
    None
}

/// Checks the version that an alias is to lead to.
pub(super) fn version(text: &str, violations: &mut Violations) -> Option<Version> {
    let version = Version::parse(text);
    if version.is_none() {
        violations.pattern(text, "functionVersion", patterns::VERSION);
    }
    version
}

/// Checks the keys and values of a routing configuration against the model.
pub(super) fn check_weights(routing: Option<&RoutingConfig>, violations: &mut Violations) {
    let at = "routingConfig.additionalVersionWeights";
    let weights = routing.and_then(|routing| routing.additional_version_weights.as_ref());
    for (version, weight) in weights.into_iter().flatten() {
        let shown = format!("{{{version}={weight:?}}}");
        if !(0.0..=1.0).contains(weight) {
            violations.custom(
                &shown,
                at,
                "Map value must satisfy constraint: [Member must have value less than or equal to 1.0, Member must \
                 have value greater than or equal to 0.0, Member must not be null]",
            );
        }
        if !matches!(Version::parse(version), Some(Version::Published(_))) {
            violations.custom(
                &shown,
                at,
                "Map keys must satisfy constraint: [Member must have length less than or equal to 1024, Member must \
                 have length greater than or equal to 1, Member must satisfy regular expression pattern: [0-9]+]",
            );
        }
    }
}

/// The second version of a routing configuration that was checked.
pub(super) fn additional(routing: &RoutingConfig) -> Result<Option<(Version, f64)>, ApiError> {
    let Some(weights) = &routing.additional_version_weights else { return Ok(None) };
    if weights.len() > 1 {
        let text = "Number of items in AdditionalVersionWeights cannot be greater than 1";
        return Err(ApiError::InvalidParameterValue(text.to_owned()));
    }
    let first = weights.iter().next();
    Ok(first.and_then(|(version, weight)| Some((Version::parse(version)?, *weight))))
}

/// Refuses an alias that leads nowhere, or to two versions that cannot stand in for each other (CORE-200).
pub(super) async fn check_versions(control: &Control, row: &AliasRow) -> Result<(), ApiError> {
    let invalid = |text: String| Err(ApiError::InvalidParameterValue(text));
    if let Some((additional, _)) = row.additional {
        if row.version == Version::Latest {
            return invalid(
                "$LATEST is not supported for an alias pointing to more than 1 version".to_owned(),
            );
        }
        if additional == row.version {
            return invalid(format!(
                "Invalid function version {additional}. Function version {additional} is already included in routing \
                 configuration."
            ));
        }
    }
    let role = role(control, row, row.version).await?;
    match row.additional {
        Some((additional, _)) if self::role(control, row, additional).await? != role => invalid(format!(
            "Function versions {} and {additional} have different execution roles. An alias can only point to \
             versions with the same execution role.",
            row.version
        )),
        _ => Ok(()),
    }
}

/// The role of a version, which must exist.
async fn role(control: &Control, row: &AliasRow, version: Version) -> Result<String, ApiError> {
    let AliasKey { scope, name, .. } = &row.key;
    let key = FunctionKey { scope: scope.clone(), name: name.clone(), version };
    match control.store().function(&key).await.map_err(store_error)? {
        Some(found) => Ok(found.configuration.role),
        None => {
            let target = Target { scope: key.scope, name: key.name, qualifier: None };
            Err(target.qualified(Qualifier::Version(version)).not_found())
        }
    }
}

/// What the client sees of an alias.
pub(super) fn describe(row: &AliasRow) -> AliasConfiguration {
    AliasConfiguration {
        alias_arn: arn(&row.key),
        name: row.key.alias.to_string(),
        function_version: row.version.to_string(),
        description: row.description.clone(),
        revision_id: row.revision.to_string(),
        routing_config: row.additional.map(|(version, weight)| RoutingConfigResponse {
            additional_version_weights: BTreeMap::from([(version.to_string(), weight)]),
        }),
    }
}

/// The ARN of an alias.
pub(super) fn arn(key: &AliasKey) -> String {
    format!("{}:{}", function_arn(&key.scope, &key.name), key.alias)
}
