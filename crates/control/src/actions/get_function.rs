//! `GetFunction` (API-116).

use http::StatusCode;
use lambd_api::responses::attached::Concurrency;
use lambd_api::responses::{FunctionCodeLocation, GetFunction};
use lambd_api::{ApiError, Route};
use lambd_http::{AwsResponse, RequestHead};
use lambd_types::{Qualifier, Version};

use super::{lookup, reserving};
use crate::context::store_error;
use crate::functions::{self, Named, Target};
use crate::service::success;
use crate::{Control, download};

pub(crate) async fn call(
    control: &Control,
    route: &Route,
    head: &RequestHead,
) -> Result<AwsResponse, ApiError> {
    let target = Target::namespaced(head, route.function_name())?;
    let row = lookup::row(control, &target).await?;
    let tags = control.store().function_tags(&target.scope, &target.name).await.map_err(store_error)?;
    let answer = GetFunction {
        configuration: functions::describe(&row, Named::as_asked(&target)),
        code: FunctionCodeLocation {
            repository_type: "S3",
            location: download::link(control, head.host(), row.code),
        },
        tags,
        concurrency: concurrency(control, &target).await?,
    };
    success(StatusCode::OK, &answer)
}

/// What is reserved for the function; a version is shown without it (API-116.7).
async fn concurrency(control: &Control, target: &Target) -> Result<Option<Concurrency>, ApiError> {
    if let Some(Qualifier::Version(Version::Published(_))) = target.qualifier {
        return Ok(None);
    }
    let reserved = reserving::reserved(control, target).await?;
    Ok(Some(reserved).filter(|reserved| reserved.reserved_concurrent_executions.is_some()))
}
