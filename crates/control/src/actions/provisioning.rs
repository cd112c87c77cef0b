//! What the actions on provisioned concurrency share (API-112, API-124, API-133, API-140).

use lambd_api::responses::attached as responses;
use lambd_api::{ApiError, Route, Violations};
use lambd_http::RequestHead;
use lambd_store::aliases::{AliasKey, AliasRow};
use lambd_store::attached::ProvisionedConcurrency;
use lambd_store::functions::FunctionRow;
use lambd_types::{FunctionKey, Qualifier, UnixMillis, Version};

use crate::Control;
use crate::context::store_error;
use crate::functions::Target;
use crate::ports::ProvisionFailure;
use crate::provisioning;

/// The version or alias of a request, which must name one. `violations` are those of the rest of the request.
pub(super) fn target(
    head: &RequestHead,
    route: &Route,
    mut violations: Violations,
) -> Result<Target, ApiError> {
    if head.query.get("Qualifier").is_none_or(str::is_empty) {
        violations.missing("qualifier");
    }
    violations.into_result()?;
    Target::of(head, route.function_name())
}

/// The same for what is there already.
pub(super) fn existing(head: &RequestHead, route: &Route) -> Result<Target, ApiError> {
    let target = target(head, route, Violations::default())?;
    match target.qualifier {
        Some(Qualifier::Version(Version::Latest)) => Err(ApiError::InvalidParameterValue(
            "The function resource provided must be an alias or a published version.".to_owned(),
        )),
        _ => Ok(target),
    }
}

/// Where a target leads.
pub(super) struct Place {
    pub(super) row: FunctionRow,
    pub(super) alias: Option<AliasRow>,
}

impl Place {
    /// The version and alias that a target names, which must exist.
    pub(super) async fn of(control: &Control, target: &Target) -> Result<Self, ApiError> {
        let (version, alias) = match &target.qualifier {
            Some(Qualifier::Alias(alias)) => {
                let key =
                    AliasKey { scope: target.scope.clone(), name: target.name.clone(), alias: alias.clone() };
                let row = control.store().alias(&key).await.map_err(store_error)?;
                let row = row.ok_or_else(|| {
                    ApiError::ResourceNotFound(format!("Cannot find alias arn: {}", target.arn()))
                })?;
                (row.version, Some(row))
            }
            Some(Qualifier::Version(version)) => (*version, None),
            None => (Version::Latest, None),
        };
        let key = FunctionKey { version, ..target.latest() };
        let row = control.store().function(&key).await.map_err(store_error)?;
        Ok(Self { row: row.ok_or_else(|| target.not_found())?, alias })
    }

    /// Refuses an alias with two versions (CORE-180).
    pub(super) fn check_weights(&self) -> Result<(), ApiError> {
        match &self.alias {
            Some(AliasRow { additional: Some(_), .. }) => Err(ApiError::InvalidParameterValue(
                "Alias with weights can not be used with Provisioned Concurrency".to_owned(),
            )),
            _ => Ok(()),
        }
    }
}

/// Refuses a second provisioned concurrency for one version (CORE-178): `qualifier` is to lead to `version`.
pub(super) async fn check_alone(
    control: &Control,
    target: &Target,
    qualifier: &Qualifier,
    version: Version,
) -> Result<(), ApiError> {
    let found = control.provisioned_versions(&target.scope, &target.name).await.map_err(store_error)?;
    if found.iter().all(|(at, holder, _)| *at != version || holder == qualifier) {
        return Ok(());
    }
    Err(ApiError::ResourceConflict(match qualifier {
        Qualifier::Alias(_) => {
            "Alias can't be used for Provisioned Concurrency configuration on an already Provisioned version"
                .to_owned()
        }
        Qualifier::Version(_) => "Version is pointed by a Provisioned Concurrency alias".to_owned(),
    }))
}

/// Refuses to move an alias with provisioned concurrency where it cannot have any.
pub(super) async fn check_move(
    control: &Control,
    before: &AliasRow,
    version: Version,
) -> Result<(), ApiError> {
    if version == before.version {
        return Ok(());
    }
    let AliasKey { scope, name, alias } = before.key.clone();
    let qualifier = Qualifier::Alias(alias);
    let target = Target { scope, name, qualifier: Some(qualifier.clone()) };
    if config(control, &target).await?.is_none() {
        return Ok(());
    }
    provisioning::check_published(version)?;
    check_alone(control, &target, &qualifier, version).await
}

/// The provisioned concurrency of a version or alias.
pub(super) async fn config(
    control: &Control,
    target: &Target,
) -> Result<Option<ProvisionedConcurrency>, ApiError> {
    control.store().attached(&target.holder()).await.map_err(store_error)
}

/// Executions provisioned for all versions and aliases of a function, `except` aside.
pub(super) async fn total(
    control: &Control,
    target: &Target,
    except: Option<&Qualifier>,
) -> Result<u64, ApiError> {
    let found = control.provisioned_versions(&target.scope, &target.name).await.map_err(store_error)?;
    let others = found.iter().filter(|(_, holder, _)| Some(holder) != except);
    Ok(others.map(|(_, _, config)| u64::from(config.executions)).sum())
}

/// What the client sees: the settings, and how far the engine is with the version that they are for.
pub(super) fn describe(
    control: &Control,
    config: ProvisionedConcurrency,
    version: &FunctionKey,
) -> Result<responses::ProvisionedConcurrency, ApiError> {
    let state = control.engine()?.provisioned(version).unwrap_or_default();
    let (status, status_reason) = match state.failure {
        _ if state.allocated >= config.executions => ("READY", None),
        None => ("IN_PROGRESS", None),
        Some(ProvisionFailure::Initialisation) => ("FAILED", Some("FUNCTION_ERROR_INIT_FAILURE".to_owned())),
        Some(ProvisionFailure::Environment(text)) => ("FAILED", Some(text)),
    };
    Ok(responses::ProvisionedConcurrency {
        function_arn: None,
        requested_provisioned_concurrent_executions: config.executions,
        available_provisioned_concurrent_executions: state.available,
        allocated_provisioned_concurrent_executions: state.allocated,
        status,
        status_reason,
        last_modified: UnixMillis(config.last_modified).iso8601_seconds(),
    })
}
