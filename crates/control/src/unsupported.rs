//! Settings of today's API that lambd does not act on yet. Accepting one silently would be a lie: each is
//! refused by name, unless it asks for what happens anyway.

use lambd_api::ApiError;
use lambd_api::requests::{CreateFunction, FunctionCode, Settings, UpdateFunctionCode};
use lambd_http::RequestHead;
use lambd_store::functions::machine_architecture;

/// Refuses the settings of a version that have no effect here.
pub(crate) fn settings(s: &Settings) -> Result<(), ApiError> {
    let tracing = s.tracing_config.as_ref().and_then(|t| t.mode.as_deref());
    let vpc = s.vpc_config.as_ref().is_some_and(|v| {
        !v.subnet_ids.is_empty() || !v.security_group_ids.is_empty() || v.ipv6_allowed_for_dual_stack
    });
    let some = |text: &Option<String>| text.as_deref().is_some_and(|t| !t.is_empty());
    first_of([
        (tracing.is_some_and(|m| m != "PassThrough"), "active tracing (TracingConfig)"),
        (vpc, "VpcConfig"),
        (some(&s.kms_key_arn), "KMSKeyArn"),
        (s.file_system_configs.as_ref().is_some_and(|f| !f.is_empty()), "FileSystemConfigs"),
        (s.image_config.is_some(), "ImageConfig"),
        (s.capacity_provider_config.is_some(), "CapacityProviderConfig"),
        (s.durable_config.is_some(), "DurableConfig"),
    ])
}

/// Refuses what only `CreateFunction` can ask for.
pub(crate) fn create(request: &CreateFunction) -> Result<(), ApiError> {
    first_of([
        (request.package_type.as_deref().is_some_and(|p| p != "Zip"), "PackageType Image"),
        (is_foreign(request.architectures.as_ref()), FOREIGN),
        (request.publish_to.is_some(), PUBLISH_TO),
        (request.tenancy_config.is_some(), "TenancyConfig"),
    ])
}

/// Refuses what only `UpdateFunctionCode` can ask for.
pub(crate) fn update_code(request: &UpdateFunctionCode) -> Result<(), ApiError> {
    first_of([
        (is_foreign(request.architectures.as_ref()), FOREIGN),
        (request.publish_to.is_some(), PUBLISH_TO),
    ])
}

/// Refuses sources of code other than a zip.
pub(crate) fn code(code: &FunctionCode) -> Result<(), ApiError> {
    first_of([
        (code.image_uri.is_some(), "container images (ImageUri)"),
        (code.source_kms_key_arn.is_some(), "encrypted packages (SourceKMSKeyArn)"),
    ])
}

/// Refuses what only `PublishVersion` can ask for.
pub(crate) fn publish(publish_to: Option<&str>) -> Result<(), ApiError> {
    first_of([(publish_to.is_some(), PUBLISH_TO)])
}

/// Refuses what only `Invoke` can ask for, in headers (API-512).
pub(crate) fn invoke(head: &RequestHead) -> Result<(), ApiError> {
    let asked = |header| head.header(header).is_some_and(|value| !value.is_empty());
    first_of([
        (asked("x-amz-tenant-id"), "tenants (TenantId)"),
        (asked("x-amz-durable-execution-name"), "durable executions (DurableExecutionName)"),
    ])
}

/// Code for another processor does not run here.
fn is_foreign(architectures: Option<&Vec<String>>) -> bool {
    architectures.is_some_and(|a| a.iter().any(|a| *a != machine_architecture()))
}

const FOREIGN: &str = "other architectures than that of its machine (Architectures)";
const PUBLISH_TO: &str = "managed instances (PublishTo)";

fn first_of<const N: usize>(rules: [(bool, &str); N]) -> Result<(), ApiError> {
    match rules.iter().find(|(asked, _)| *asked) {
        Some((_, what)) => Err(ApiError::InvalidParameterValue(format!(
            "lambd does not support {what} yet; see docs/compatibility.md"
        ))),
        None => Ok(()),
    }
}
