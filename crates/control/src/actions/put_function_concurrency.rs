//! `PutFunctionConcurrency` (API-138).

use http::StatusCode;
use lambd_api::requests::{self, attached::PutFunctionConcurrency};
use lambd_api::responses::attached::Concurrency;
use lambd_api::{ApiError, Route, Violations};
use lambd_http::{AwsRequest, AwsResponse};
use lambd_store::attached::ReservedConcurrency;
use lambd_types::limits;

use super::{lookup, provisioning, reserving, revision};
use crate::Control;
use crate::context::store_error;
use crate::service::success;

pub(crate) async fn call(
    control: &Control,
    route: &Route,
    request: AwsRequest,
) -> Result<AwsResponse, ApiError> {
    let body: PutFunctionConcurrency = requests::parse(&request.body)?;
    let mut violations = Violations::default();
    match body.reserved_concurrent_executions {
        None => violations.missing("reservedConcurrentExecutions"),
        Some(asked) => violations.range(asked, "reservedConcurrentExecutions", 0, i64::from(i32::MAX)),
    }
    violations.into_result()?;
    let target = revision::target(&request.head, route.function_name())?;
    let asked = body.reserved_concurrent_executions.and_then(|n| u32::try_from(n).ok()).unwrap_or_default();

    let _changes = control.changes().await;
    lookup::exists(control, &target).await?;
    let provisioned = provisioning::total(control, &target, None).await?;
    if u64::from(asked) < provisioned {
        return Err(ApiError::InvalidParameterValue(format!(
            " ReservedConcurrentExecutions  {asked} should not be lower than function's total provisioned concurrency \
             [{provisioned}]."
        )));
    }
    let left = reserving::unreserved(control, &target.scope, Some(&target.name)).await?;
    let minimum = limits::UNRESERVED_CONCURRENCY;
    // Nothing is taken from others by reserving nothing.
    if asked > 0 && left < u64::from(asked) + minimum {
        return Err(ApiError::InvalidParameterValue(format!(
            "Specified ReservedConcurrentExecutions for function decreases account's UnreservedConcurrentExecution \
             below its minimum value of [{minimum}]."
        )));
    }
    let holder = target.unqualified_holder();
    control.store().attach(&holder, &ReservedConcurrency(asked)).await.map_err(store_error)?;
    control.publish_reservation(&target.scope, &target.name, Some(asked));
    success(StatusCode::OK, &Concurrency { reserved_concurrent_executions: Some(asked) })
}
