//! What the actions on layers share, and the layers of functions.

use lambd_api::responses::layers::{LayerVersion, LayerVersionContent, LayerVersionsListItem};
use lambd_api::{ApiError, Route, Violations, patterns, runtimes};
use lambd_http::RequestHead;
use lambd_store::functions::{FunctionRow, UsedLayer};
use lambd_store::layers::{LayerFilter, LayerVersionRow};
use lambd_types::{LayerKey, LayerName, LayerVersionKey, NameError, Scope, Sha256Digest, limits};

use super::packages::package_error;
use super::revision::Effect;
use crate::context::store_error;
use crate::functions::Target;
use crate::{Control, download, layer_policy};

/// The layer of a path, by name or ARN (API-060).
pub(super) fn layer(head: &RequestHead, route: &Route, violations: &mut Violations) -> Option<LayerKey> {
    let text = route.label("LayerName");
    let key = match LayerName::parse(text) {
        Ok(name) => Ok(LayerKey { scope: head.caller.scope.clone(), name }),
        Err(error) => LayerKey::parse_arn(text).ok_or(error),
    };
    match key {
        Ok(key) => return Some(key),
        Err(NameError::TooLong(text, max)) => violations.too_long(&text, "layerName", max),
        Err(NameError::Pattern(text)) => violations.pattern(&text, "layerName", patterns::LAYER_NAME),
    }
    None
}

/// The version of a path.
pub(super) fn version(head: &RequestHead, route: &Route) -> Result<LayerVersionKey, ApiError> {
    let mut violations = Violations::default();
    let layer = layer(head, route, &mut violations);
    violations.into_result()?;
    let number: i64 = route.label("VersionNumber").parse().map_err(|_| {
        let text = route.label("VersionNumber");
        ApiError::Serialization(format!("{text:?} can not be converted to a Long for VersionNumber"))
    })?;
    match (layer, u64::try_from(number)) {
        (Some(layer), Ok(version @ 1..)) => Ok(LayerVersionKey { layer, version }),
        _ => Err(ApiError::InvalidParameterValue("Layer Version Cannot be less than 1.".to_owned())),
    }
}

/// Refuses a layer of somebody else, or of another region, for what only its owner may do.
pub(super) fn check_owner(head: &RequestHead, layer: &LayerKey, action: &str) -> Result<(), ApiError> {
    check_region(&head.caller.scope, layer)?;
    match layer.scope.account == head.caller.scope.account {
        true => Ok(()),
        false => Err(denied(&head.caller.scope, action, &layer.arn())),
    }
}

/// A region knows its own layers only.
pub(super) fn check_region(caller: &Scope, layer: &LayerKey) -> Result<(), ApiError> {
    if layer.scope.region == caller.region { Ok(()) } else { Err(not_found()) }
}

pub(super) fn not_found() -> ApiError {
    ApiError::ResourceNotFound("The resource you requested does not exist.".to_owned())
}

fn denied(caller: &Scope, action: &str, resource: &str) -> ApiError {
    ApiError::AccessDenied(format!(
        "User: arn:aws:iam::{}:root is not authorized to perform: lambda:{action} on resource: {resource} because no \
         resource-based policy allows the lambda:{action} action",
        caller.account
    ))
}

/// A version that the caller may use: one of its own, or one whose policy permits it. `None` when the caller's
/// own account has no such version; of others' it is not told what they have.
pub(super) async fn usable(
    control: &Control,
    caller: &Scope,
    key: &LayerVersionKey,
) -> Result<Option<LayerVersionRow>, ApiError> {
    let row = control.store().layer_version(key).await.map_err(store_error)?;
    if key.layer.scope.account == caller.account {
        return Ok(row);
    }
    match row.filter(|row| layer_policy::permits(row.policy.as_ref(), &caller.account)) {
        Some(row) => Ok(Some(row)),
        None => Err(denied(caller, "GetLayerVersion", &key.arn())),
    }
}

/// The version of a policy that the caller, its owner, asks for.
pub(super) async fn of_policy(
    control: &Control,
    head: &RequestHead,
    route: &Route,
    action: &str,
) -> Result<LayerVersionRow, ApiError> {
    let key = version(head, route)?;
    check_owner(head, &key.layer, action)?;
    let row = control.store().layer_version(&key).await.map_err(store_error)?;
    row.ok_or_else(|| does_not_exist(&key))
}

fn does_not_exist(key: &LayerVersionKey) -> ApiError {
    ApiError::ResourceNotFound(format!("Layer version {} does not exist.", key.arn()))
}

/// Refuses a change of a policy that is for another revision of it.
pub(super) fn check_revision(head: &RequestHead, row: &LayerVersionRow) -> Result<(), ApiError> {
    let expected = head.query.get("RevisionId").filter(|revision| !revision.is_empty());
    let current = row.policy.as_ref().map(|policy| policy.revision.as_str());
    match expected {
        Some(revision) if Some(revision) != current => Err(ApiError::PreconditionFailed(
            "The Revision Id provided does not match the latest Revision Id. Call the GetLayerPolicy API to retrieve \
             the latest Revision Id"
                .to_owned(),
        )),
        _ => Ok(()),
    }
}

/// The filter that a listing asks for (API-131, API-132).
pub(super) fn filter<'a>(head: &'a RequestHead, violations: &mut Violations) -> LayerFilter<'a> {
    let runtime = head.query.get("CompatibleRuntime");
    let architecture = head.query.get("CompatibleArchitecture");
    if let Some(runtime) = runtime
        && !runtimes::all().any(|known| known == runtime)
    {
        let known: Vec<&str> = runtimes::all().collect();
        violations.enumeration(runtime, "compatibleRuntime", &known);
    }
    if let Some(architecture) = architecture
        && !ARCHITECTURES.contains(&architecture)
    {
        violations.enumeration(architecture, "compatibleArchitecture", &ARCHITECTURES);
    }
    LayerFilter { runtime, architecture }
}

/// What a layer can be for.
pub(super) const ARCHITECTURES: [&str; 2] = ["x86_64", "arm64"];

/// What the client sees of a version.
pub(super) fn describe(control: &Control, head: &RequestHead, row: &LayerVersionRow) -> LayerVersion {
    LayerVersion {
        content: LayerVersionContent {
            location: download::link(control, head.host(), row.content.code),
            code_sha256: row.content.code.to_base64(),
            code_size: row.content.code_size,
        },
        layer_arn: row.key.layer.arn(),
        version: list_item(row),
    }
}

/// An item of a list.
pub(super) fn list_item(row: &LayerVersionRow) -> LayerVersionsListItem {
    let content = &row.content;
    LayerVersionsListItem {
        layer_version_arn: row.key.arn(),
        version: row.key.version,
        description: content.description.clone(),
        created_date: content.created.lambda_iso8601(),
        compatible_runtimes: content.runtimes.clone(),
        compatible_architectures: content.architectures.clone(),
        license_info: content.license_info.clone(),
    }
}

/// The layers that a function is to have, by ARNs that were checked (CORE-206, CORE-207, CORE-217).
pub(super) async fn used(
    control: &Control,
    scope: &Scope,
    arns: &[String],
) -> Result<Vec<UsedLayer>, ApiError> {
    let refused = |text: String| ApiError::InvalidParameterValue(text);
    if arns.len() > limits::LAYERS {
        return Err(refused(format!("Cannot reference more than {} layers.", limits::LAYERS)));
    }
    let mut used: Vec<(LayerKey, UsedLayer)> = Vec::new();
    for arn in arns {
        let missing = || refused(format!("Layer version {arn} does not exist."));
        let key = LayerVersionKey::parse_arn(arn).ok_or_else(missing)?;
        if key.layer.scope.region != scope.region {
            return Err(refused(format!(
                "Layers are not in the same region as the function. Layers are expected to be in region {}.",
                scope.region
            )));
        }
        let row = usable(control, scope, &key).await?.ok_or_else(missing)?;
        if let Some((_, other)) = used.iter().find(|(layer, _)| *layer == key.layer) {
            return Err(refused(format!(
                "Two different versions of the same layer are not allowed to be referenced in the same function. {} \
                 and {arn} are versions of the same layer.",
                other.arn
            )));
        }
        let layer = UsedLayer {
            arn: key.arn(),
            code: row.content.code,
            code_size: row.content.code_size,
            unpacked_size: row.content.unpacked_size,
        };
        used.push((key.layer, layer));
    }
    Ok(used.into_iter().map(|(_, layer)| layer).collect())
}

/// Refuses a function that would be too large together with its layers (CORE-083).
pub(super) fn check_size(control: &Control, code: u64, layers: &[UsedLayer]) -> Result<(), ApiError> {
    within(control.options().unpack.bytes, code, layers).map_err(ApiError::InvalidParameterValue)
}

fn within(limit: u64, code: u64, layers: &[UsedLayer]) -> Result<(), String> {
    let of_layers: u64 = layers.iter().map(|layer| layer.unpacked_size).sum();
    if of_layers > limit {
        return Err(format!("Layers consume more than the available size of {limit} bytes"));
    }
    match code.saturating_add(of_layers) {
        all if all > limit && !layers.is_empty() => Err(format!(
            "Function code combined with layers exceeds the maximum allowed size of {limit} bytes. The actual size is \
             {all} bytes."
        )),
        _ => Ok(()),
    }
}

/// Layers that an update asks for, with what they were checked against.
pub(super) struct Wished {
    layers: Vec<UsedLayer>,
    code: Sha256Digest,
}

impl Wished {
    /// Checks them for a function with this package.
    pub(super) async fn of(
        control: &Control,
        scope: &Scope,
        arns: &[String],
        code: Sha256Digest,
    ) -> Result<Self, ApiError> {
        let layers = used(control, scope, arns).await?;
        if !layers.is_empty() {
            let unpacked = control.store().packages().unpacked_size(code).await.map_err(package_error)?;
            check_size(control, unpacked, &layers)?;
        }
        Ok(Self { layers, code })
    }

    /// Replaces the layers of a function. Others than before must be unpacked and merged.
    pub(super) fn apply(&self, row: &mut FunctionRow, target: &Target) -> Result<Effect, ApiError> {
        if !self.layers.is_empty() && row.code != self.code {
            // Other code came in between; whether all fits together is not known.
            return Err(ApiError::ResourceConflict(format!(
                "The operation cannot be performed at this time. An update is in progress for resource: {}",
                target.unqualified_arn()
            )));
        }
        if row.configuration.layers == self.layers {
            return Ok(Effect::Settings);
        }
        row.configuration.layers.clone_from(&self.layers);
        Ok(if self.layers.is_empty() { Effect::Settings } else { Effect::Package })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layer(unpacked_size: u64) -> UsedLayer {
        UsedLayer { arn: "a".into(), code: Sha256Digest::of(b""), code_size: 1, unpacked_size }
    }

    /// CORE-083, CORE-206: to the byte.
    #[test]
    fn code_and_layers_have_one_limit() {
        assert_eq!(within(100, 40, &[layer(30), layer(30)]), Ok(()));
        assert_eq!(
            within(100, 41, &[layer(30), layer(30)]).unwrap_err(),
            "Function code combined with layers exceeds the maximum allowed size of 100 bytes. The actual size is 101 \
             bytes."
        );
        let layers_alone = within(100, 0, &[layer(51), layer(50)]).unwrap_err();
        assert_eq!(layers_alone, "Layers consume more than the available size of 100 bytes");
        assert_eq!(within(100, 200, &[]), Ok(()), "code alone is checked when it is stored");
    }
}
