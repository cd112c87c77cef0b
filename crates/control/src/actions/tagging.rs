//! What the actions on tags share (CORE-234..240).

use std::collections::BTreeMap;

use lambd_api::{ApiError, Route, Violations, patterns};
use lambd_http::RequestHead;
use lambd_store::code_signing::CodeSigningConfig;
use lambd_store::mappings::MappingRow;
use lambd_types::Scope;

use super::{lookup, mapping, signing};
use crate::Control;
use crate::context::store_error;
use crate::functions::{Target, violation};
use crate::{mappings, tags};

/// Tags of a function at most.
const TAGS_MAX: usize = 50;

/// What can have tags here.
pub(super) enum Tagged {
    /// A function as a whole.
    Function(Target),
    /// An event source mapping.
    Mapping(MappingRow),
    /// A code signing configuration of this account and region.
    Signing(Scope, signing::ConfigName, CodeSigningConfig),
}

/// What the ARN of a path names.
pub(super) async fn resource(
    control: &Control,
    route: &Route,
    head: &RequestHead,
) -> Result<Tagged, ApiError> {
    let arn = route.label("Resource");
    if !arn.starts_with("arn:") || !arn.contains(":lambda:") {
        return Err(not_taggable(arn));
    }
    if let Some((_, uuid)) = arn.split_once(":event-source-mapping:") {
        let scope = &head.caller.scope;
        let found = control.store().mapping(scope, uuid).await.map_err(store_error)?;
        let found = found.filter(|row| mappings::arn(scope, &row.uuid) == arn);
        return found.map(Tagged::Mapping).ok_or_else(|| missing(arn));
    }
    if arn.contains(":code-signing-config:") {
        let scope = head.caller.scope.clone();
        let name = signing::parse(&scope, arn).map_err(|_| not_taggable(arn))?;
        let config = signing::find(control, &scope, &name).await?.ok_or_else(|| missing(arn))?;
        return Ok(Tagged::Signing(scope, name, config));
    }
    if !arn.contains(":function:") {
        let kinds = ["layer", "capacity-provider"];
        return match kinds.iter().any(|kind| arn.contains(&format!(":{kind}:"))) {
            true => Err(missing(arn)),
            false => Err(not_taggable(arn)),
        };
    }
    let target = Target::parse(&head.caller.scope, arn).map_err(|error| match error {
        ApiError::Validation(_) => not_taggable(arn),
        other => other,
    })?;
    if target.qualifier.is_some() {
        return Err(ApiError::InvalidParameterValue(
            "Tags on function aliases and versions are not supported. Please specify a function ARN."
                .to_owned(),
        ));
    }
    lookup::exists(control, &target).await?;
    Ok(Tagged::Function(target))
}

/// The tags of a resource.
pub(super) async fn tags(control: &Control, resource: &Tagged) -> Result<BTreeMap<String, String>, ApiError> {
    match resource {
        Tagged::Function(target) => {
            control.store().function_tags(&target.scope, &target.name).await.map_err(store_error)
        }
        Tagged::Mapping(row) => Ok(row.tags.clone()),
        Tagged::Signing(_, _, config) => Ok(config.tags.clone()),
    }
}

fn missing(arn: &str) -> ApiError {
    ApiError::ResourceNotFound(format!("Resource not found: {arn}"))
}

fn not_taggable(arn: &str) -> ApiError {
    let mut violations = Violations::default();
    violations.pattern(arn, "resource", patterns::TAGGABLE);
    violation(violations)
}

/// Refuses tags that no function can have.
pub(super) async fn check(control: &Control, tags: &BTreeMap<String, String>) -> Result<(), ApiError> {
    check_limits(tags)?;
    tags::check(tags, &control.options().network).await
}

/// Refuses tags that nothing can have.
pub(super) fn check_limits(tags: &BTreeMap<String, String>) -> Result<(), ApiError> {
    if tags.len() > TAGS_MAX {
        return Err(ApiError::InvalidParameterValue("Number of tags exceeds resource tag limit.".to_owned()));
    }
    match tags.iter().find(|(key, value)| !is_tag(key, value)) {
        Some((key, _)) => Err(ApiError::InvalidParameterValue(format!(
            "The tag {key:?} is invalid: a key has 1 to 128 characters and does not begin with aws:, a value has at \
             most 256 characters."
        ))),
        None => Ok(()),
    }
}

fn is_tag(key: &str, value: &str) -> bool {
    (1..=128).contains(&key.chars().count()) && !key.starts_with("aws:") && value.chars().count() <= 256
}

/// Replaces the tags of a resource by what `change` makes of them.
pub(super) async fn change(
    control: &Control,
    resource: &Tagged,
    change: impl FnOnce(&mut BTreeMap<String, String>),
) -> Result<(), ApiError> {
    let _changes = control.changes().await;
    match resource {
        Tagged::Function(target) => change_function(control, target, change).await,
        Tagged::Mapping(row) => change_mapping(control, row, change).await,
        Tagged::Signing(scope, name, _) => change_signing(control, scope, name, change).await,
    }
}

async fn change_mapping(
    control: &Control,
    row: &MappingRow,
    change: impl FnOnce(&mut BTreeMap<String, String>),
) -> Result<(), ApiError> {
    // It may have changed, or gone, while this waited.
    let mut row = mapping::find(control, &row.scope, &row.uuid).await?;
    change(&mut row.tags);
    check_limits(&row.tags)?;
    match control.store().update_mapping(&row).await.map_err(store_error)? {
        true => Ok(()),
        false => Err(mapping::missing()),
    }
}

async fn change_signing(
    control: &Control,
    scope: &Scope,
    name: &signing::ConfigName,
    change: impl FnOnce(&mut BTreeMap<String, String>),
) -> Result<(), ApiError> {
    // It may have changed, or gone, while this waited.
    let found = signing::find(control, scope, name).await?;
    let mut config = found.ok_or_else(|| missing(&name.arn))?;
    change(&mut config.tags);
    check_limits(&config.tags)?;
    control.store().put_code_signing_config(scope, &name.id, &config).await.map_err(store_error)
}

async fn change_function(
    control: &Control,
    target: &Target,
    change: impl FnOnce(&mut BTreeMap<String, String>),
) -> Result<(), ApiError> {
    // It may have been deleted while this waited.
    lookup::exists(control, target).await?;
    let before = control.store().function_tags(&target.scope, &target.name).await.map_err(store_error)?;
    let mut tags = before.clone();
    change(&mut tags);
    self::check(control, &tags).await?;
    if tags != before {
        let replaced = control.store().replace_function_tags(&target.scope, &target.name, &tags).await;
        replaced.map_err(store_error)?;
        if tags::network(&tags) != tags::network(&before) {
            // Instances keep the network that they were started with.
            control.publish_removal(&target.scope, &target.name);
            control.publish_provisioned(&target.scope, &target.name).await;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// CORE-240.
    #[test]
    fn tags_have_limits() {
        let long = |n: usize| "k".repeat(n);
        for (key, value, good) in [
            ("k".to_owned(), String::new(), true),
            (long(128), long(256), true),
            (String::new(), "v".into(), false),
            (long(129), "v".into(), false),
            ("k".into(), long(257), false),
            ("aws:k".into(), "v".into(), false),
            ("AWS:k".into(), "v".into(), true),
        ] {
            assert_eq!(is_tag(&key, &value), good, "{key}={value}");
        }
        let many = |n: usize| (0..n).map(|n| (n.to_string(), String::new())).collect::<BTreeMap<_, _>>();
        assert!(check_limits(&many(50)).is_ok());
        assert_eq!(
            check_limits(&many(51)).unwrap_err().to_string(),
            "Number of tags exceeds resource tag limit."
        );
    }
}
