//! `CreateFunction` (API-105).

use http::StatusCode;
use lambd_api::requests::{self, CreateFunction, Settings};
use lambd_api::{ApiError, Violations};
use lambd_http::{AwsRequest, AwsResponse};
use lambd_store::functions::{Configuration, FunctionRow, machine_architecture};
use lambd_store::packages::Arrived;
use lambd_types::{EphemeralStorage, MemorySize, RevisionId, Timeout};

use super::{layering, packages, signing, tagging};
use crate::context::store_error;
use crate::functions::{self, Named, Target};
use crate::service::success;
use crate::settings::{self, RuntimeUse};
use crate::{Control, condition, publication, unsupported};

pub(crate) async fn call(
    control: &Control,
    request: AwsRequest,
    package: Option<Arrived>,
) -> Result<AwsResponse, ApiError> {
    let body: CreateFunction = requests::parse(&request.body)?;
    let scope = &request.head.caller.scope;
    check(&body)?;
    let name = body.function_name.as_deref().unwrap_or_default();
    let target = Target::parse(scope, name)?.unqualified()?;
    check_values(control, &body).await?;

    let code = body.code.unwrap_or_default();
    packages::check_source(control, &code, package.as_ref())?;
    let key = target.latest();
    if control.store().function(&key).await.map_err(store_error)?.is_some() {
        return Err(already_exists(&target));
    }
    let used = layering::used(control, scope, body.settings.layers.as_deref().unwrap_or_default()).await?;
    let signed = match &body.code_signing_config_arn {
        Some(arn) => Some(signing::for_function(control, scope, arn).await?),
        None => None,
    };
    if let Some((_, config)) = &signed {
        signing::check_policy(config)?;
    }
    let mut configuration = defaults(&target);
    settings::apply(&body.settings, &mut configuration)?;
    let package = packages::obtain(control, scope, code, package).await?;
    let package = packages::store(control, scope, package, &used).await?;
    let configuration = Configuration { layers: used, ..configuration };
    let mut row = FunctionRow {
        key,
        revision: RevisionId::random(),
        build: RevisionId::random(),
        code: package.digest,
        code_size: package.size,
        last_modified: control.clock().now(),
        configuration,
        published_description: None,
        condition: condition::created(),
        in_force: None,
        last_version: 0,
    };
    let version = body.publish.then(|| publication::publish(&mut row, None, None).row());
    let rows: Vec<FunctionRow> = [row].into_iter().chain(version).collect();
    let (tags, signed) = (body.tags.unwrap_or_default(), signed.map(|(signing, _)| signing));
    let _changes = control.changes().await;
    if let Some(signing) = &signed {
        // It may have been deleted while the package was stored.
        signing::for_function(control, scope, &signing.0).await?;
    }
    if !control.store().insert_signed_function(&rows, &tags, signed.as_ref()).await.map_err(store_error)? {
        return Err(already_exists(&target));
    }
    control.publish_change(&rows.iter().collect::<Vec<_>>()).await?;
    control.prepare(&rows[0]);
    // The version where there is one, but with the function's ARN, as the service does it.
    let shown = rows.last().unwrap_or(&rows[0]);
    success(StatusCode::CREATED, &functions::describe(shown, Named::Unqualified))
}

/// The constraints of the API model.
fn check(body: &CreateFunction) -> Result<(), ApiError> {
    let mut violations = Violations::default();
    if body.function_name.is_none() {
        violations.missing("functionName");
    }
    if body.code.is_none() {
        violations.missing("code");
    }
    if let Some(code) = &body.code {
        packages::check(code, "code.", &mut violations);
    }
    if body.settings.role.is_none() {
        violations.missing("role");
    }
    if let Some(package_type) = body.package_type.as_deref()
        && !matches!(package_type, "Zip" | "Image")
    {
        violations.enumeration(package_type, "packageType", &["Image", "Zip"]);
    }
    settings::check_architectures(body.architectures.as_ref(), &mut violations);
    settings::check(&body.settings, &mut violations);
    violations.into_result()
}

/// What the service refuses beyond the model.
async fn check_values(control: &Control, body: &CreateFunction) -> Result<(), ApiError> {
    unsupported::create(body)?;
    let Settings { runtime: Some(runtime), handler: Some(_), .. } = &body.settings else {
        return Err(ApiError::InvalidParameterValue(
            "Runtime and Handler are mandatory parameters for functions created with deployment packages."
                .to_owned(),
        ));
    };
    settings::check_runtime(control, runtime, RuntimeUse::Chosen)?;
    unsupported::settings(&body.settings)?;
    if let Some(environment) = &body.settings.environment {
        settings::check_environment(environment)?;
    }
    match &body.tags {
        Some(tags) => tagging::check(control, tags).await,
        None => Ok(()),
    }
}

fn defaults(target: &Target) -> Configuration {
    Configuration {
        runtime: String::new(),
        handler: String::new(),
        role: String::new(),
        description: String::new(),
        memory_size: MemorySize::default().get(),
        timeout: Timeout::default().get(),
        ephemeral_storage: EphemeralStorage::default().get(),
        snap_start: false,
        environment: None,
        log_group: format!("/aws/lambda/{}", target.name),
        json_log: None,
        architecture: machine_architecture(),
        layers: Vec::new(),
        dead_letter: None,
    }
}

fn already_exists(target: &Target) -> ApiError {
    ApiError::ResourceConflict(format!("Function already exist: {}", target.name))
}
