//! `PutProvisionedConcurrencyConfig` (API-140).

use http::StatusCode;
use lambd_api::requests::{self, attached::PutProvisionedConcurrency};
use lambd_api::responses::attached as responses;
use lambd_api::{ApiError, Route, Violations};
use lambd_http::{AwsRequest, AwsResponse};
use lambd_store::attached::{ProvisionedConcurrency, ReservedConcurrency};
use lambd_types::{Qualifier, limits};

use super::provisioning::{self, Place};
use super::reserving;
use crate::context::store_error;
use crate::functions::{self, Target};
use crate::service::success;
use crate::{Control, condition};

pub(crate) async fn call(
    control: &Control,
    route: &Route,
    request: AwsRequest,
) -> Result<AwsResponse, ApiError> {
    let body: PutProvisionedConcurrency = requests::parse(&request.body)?;
    let mut violations = Violations::default();
    match body.provisioned_concurrent_executions {
        None => violations.missing("provisionedConcurrentExecutions"),
        Some(asked) => violations.range(asked, "provisionedConcurrentExecutions", 1, i64::from(i32::MAX)),
    }
    let target = provisioning::target(&request.head, route, violations)?;
    let asked = body.provisioned_concurrent_executions.and_then(|n| u32::try_from(n).ok()).unwrap_or(1);
    success(StatusCode::ACCEPTED, &put(control, &target, asked).await?)
}

/// Gives a version or an alias its provisioned concurrency.
pub(super) async fn put(
    control: &Control,
    target: &Target,
    asked: u32,
) -> Result<responses::ProvisionedConcurrency, ApiError> {
    let Some(qualifier) = &target.qualifier else {
        return Err(ApiError::Service("a request without a qualifier passed the checks".to_owned()));
    };
    if let Qualifier::Version(version) = qualifier {
        crate::provisioning::check_published(*version)?;
    }
    control.engine()?;

    let _changes = control.changes().await;
    let place = Place::of(control, target).await?;
    let key = &place.row.key;
    crate::provisioning::check_published(key.version)?;
    place.check_weights()?;
    provisioning::check_alone(control, target, qualifier, key.version).await?;
    if functions::running(&place.row).is_none() {
        return Err(condition::not_ready(place.row.condition.state));
    }
    let others = provisioning::total(control, target, Some(qualifier)).await?;
    check_limits(control, target, others + u64::from(asked)).await?;
    let config = ProvisionedConcurrency { executions: asked, last_modified: control.clock().now().0 };
    control.store().attach(&target.holder(), &config).await.map_err(store_error)?;
    control.publish_provisioned(&target.scope, &target.name).await;
    provisioning::describe(control, config, key)
}

/// Provisioned executions are part of the function's reservation, or else taken from what all functions share.
async fn check_limits(control: &Control, target: &Target, total: u64) -> Result<(), ApiError> {
    let refused = |text: String| Err(ApiError::InvalidParameterValue(text));
    let reserved = control.store().attached::<ReservedConcurrency>(&target.unqualified_holder()).await;
    if let Some(ReservedConcurrency(reserved)) = reserved.map_err(store_error)? {
        if total > u64::from(reserved) {
            return refused(
                "Requested Provisioned Concurrency should not be greater than the reservedConcurrentExecution for \
                 function"
                    .to_owned(),
            );
        }
        return Ok(());
    }
    let left = reserving::unreserved(control, &target.scope, Some(&target.name)).await?;
    let minimum = limits::UNRESERVED_CONCURRENCY;
    if total > left {
        return refused(format!(
            "Specified ConcurrentExecutions for function is greater than account's unreserved concurrency [{left}]."
        ));
    }
    if left - total < minimum {
        return refused(format!(
            "Specified ConcurrentExecutions for function decreases account's UnreservedConcurrentExecution below its \
             minimum value of [{minimum}]."
        ));
    }
    Ok(())
}
