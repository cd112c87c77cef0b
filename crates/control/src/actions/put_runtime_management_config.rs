//! `PutRuntimeManagementConfig` (API-417).

use http::StatusCode;
use lambd_api::requests::{self, attached::PutRuntimeManagementConfig};
use lambd_api::responses::attached::RuntimeManagementConfig;
use lambd_api::{ApiError, Route, Violations, patterns};
use lambd_http::{AwsRequest, AwsResponse};
use lambd_store::attached::RuntimeManagement;
use lambd_types::{Qualifier, Version};

use super::lookup;
use crate::Control;
use crate::checks;
use crate::context::store_error;
use crate::functions::Target;
use crate::service::success;

pub(crate) async fn call(
    control: &Control,
    route: &Route,
    request: AwsRequest,
) -> Result<AwsResponse, ApiError> {
    let body: PutRuntimeManagementConfig = requests::parse(&request.body)?;
    check(&body)?;
    let target = version(Target::of(&request.head, route.function_name())?)?;
    let _changes = control.changes().await;
    lookup::row(control, &target).await?;
    let document = RuntimeManagement {
        update_runtime_on: body.update_runtime_on.unwrap_or_default(),
        runtime_version_arn: body.runtime_version_arn,
    };
    control.store().attach(&target.holder(), &document).await.map_err(store_error)?;
    success(StatusCode::OK, &describe(&target, document))
}

fn check(body: &PutRuntimeManagementConfig) -> Result<(), ApiError> {
    let mut violations = Violations::default();
    let v = &mut violations;
    checks::required(v, "updateRuntimeOn", body.update_runtime_on.as_ref());
    checks::one_of(
        v,
        "updateRuntimeOn",
        body.update_runtime_on.as_ref(),
        &["Auto", "Manual", "FunctionUpdate"],
    );
    let arn = body.runtime_version_arn.as_ref();
    checks::pattern(v, "runtimeVersionArn", arn, patterns::RUNTIME_VERSION, is_runtime_version);
    violations.into_result()?;
    let manual = body.update_runtime_on.as_deref() == Some("Manual");
    let text = match (manual, &body.runtime_version_arn) {
        (true, None) => "RuntimeVersionArn is required when UpdateRuntimeOn is Manual.",
        (false, Some(_)) => "RuntimeVersionArn can only be specified when UpdateRuntimeOn is Manual.",
        _ => return Ok(()),
    };
    Err(ApiError::InvalidParameterValue(text.to_owned()))
}

fn is_runtime_version(text: &str) -> bool {
    let parts: Vec<&str> = text.splitn(7, ':').collect();
    let ["arn", partition, "lambda", region, "", "runtime", id] = parts[..] else { return false };
    partition.starts_with("aws") && checks::is_region(region) && !id.is_empty() && text.len() <= 2048
}

/// The version of a request, `$LATEST` without a qualifier: an alias has no runtime of its own.
pub(super) fn version(target: Target) -> Result<Target, ApiError> {
    match &target.qualifier {
        None => Ok(target.qualified(Qualifier::Version(Version::Latest))),
        Some(Qualifier::Version(_)) => Ok(target),
        Some(Qualifier::Alias(_)) => Err(ApiError::InvalidParameterValue(
            "Runtime management is for functions and versions. Aliases do not support this operation."
                .to_owned(),
        )),
    }
}

/// What the client sees.
pub(super) fn describe(target: &Target, document: RuntimeManagement) -> RuntimeManagementConfig {
    RuntimeManagementConfig {
        update_runtime_on: document.update_runtime_on,
        function_arn: target.arn(),
        runtime_version_arn: document.runtime_version_arn,
    }
}
