//! `CreateFunction` (API-105).

use http::StatusCode;
use lambd_api::requests::{self, CreateFunction, Settings};
use lambd_api::{ApiError, Violations};
use lambd_http::{AwsRequest, AwsResponse};
use lambd_store::functions::{Configuration, FunctionRow};
use lambd_types::{EphemeralStorage, FunctionKey, MemorySize, RevisionId, Timeout, Version};

use super::packages;
use crate::Control;
use crate::context::store_error;
use crate::functions::{self, Target};
use crate::service::success;
use crate::{settings, tags, unsupported};

/// Tags of a function at most (CORE-240).
const TAGS_MAX: usize = 50;

pub(crate) async fn call(control: &Control, request: AwsRequest) -> Result<AwsResponse, ApiError> {
    let body: CreateFunction = requests::parse(&request.body)?;
    let scope = &request.head.caller.scope;
    check(&body)?;
    let name = body.function_name.as_deref().unwrap_or_default();
    let target = Target::parse(scope, name)?.unqualified()?;
    check_values(control, &body)?;

    let zip = packages::zip_of(control, body.code.unwrap_or_default())?;
    let key = FunctionKey { scope: scope.clone(), name: target.name.clone(), version: Version::Latest };
    if control.store().function(&key).await.map_err(store_error)?.is_some() {
        return Err(already_exists(&target));
    }
    let package = packages::store(control, scope, zip).await?;
    let mut configuration = defaults(&target);
    settings::apply(&body.settings, &mut configuration);
    let row = FunctionRow {
        key,
        revision: RevisionId::random(),
        code: package.digest,
        code_size: package.size,
        last_modified: control.clock().now(),
        configuration,
    };
    let _changes = control.changes().await;
    if !control.store().insert_function(&row, &body.tags.unwrap_or_default()).await.map_err(store_error)? {
        return Err(already_exists(&target));
    }
    control.publish_change(&row).await?;
    success(StatusCode::CREATED, &functions::describe(&row, false))
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
    if body.settings.role.is_none() {
        violations.missing("role");
    }
    if let Some(package_type) = body.package_type.as_deref()
        && !matches!(package_type, "Zip" | "Image")
    {
        violations.enumeration(package_type, "packageType", &["Image", "Zip"]);
    }
    settings::check(&body.settings, &mut violations);
    violations.into_result()
}

/// What the service refuses beyond the model.
fn check_values(control: &Control, body: &CreateFunction) -> Result<(), ApiError> {
    unsupported::create(body)?;
    let Settings { runtime: Some(runtime), handler: Some(_), .. } = &body.settings else {
        return Err(ApiError::InvalidParameterValue(
            "Runtime and Handler are mandatory parameters for functions created with deployment packages."
                .to_owned(),
        ));
    };
    settings::check_runtime(runtime)?;
    unsupported::settings(&body.settings)?;
    if let Some(environment) = &body.settings.environment {
        settings::check_environment(environment)?;
    }
    match &body.tags {
        Some(tags) if tags.len() > TAGS_MAX => {
            Err(ApiError::InvalidParameterValue(format!("A function can have at most {TAGS_MAX} tags.")))
        }
        Some(tags) => match tags.iter().find(|(key, value)| !is_tag(key, value)) {
            Some((key, _)) => Err(ApiError::InvalidParameterValue(format!(
                "The tag {key:?} is invalid: a key has 1 to 128 characters and does not begin with aws:, a value has \
                 at most 256 characters."
            ))),
            None => tags::check(tags, &control.options().network),
        },
        None => Ok(()),
    }
}

/// CORE-240.
fn is_tag(key: &str, value: &str) -> bool {
    (1..=128).contains(&key.chars().count()) && !key.starts_with("aws:") && value.chars().count() <= 256
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
        environment: None,
        log_group: format!("/aws/lambda/{}", target.name),
    }
}

fn already_exists(target: &Target) -> ApiError {
    ApiError::ResourceConflict(format!("Function already exist: {}", target.name))
}
