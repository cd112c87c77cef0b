//! `GetFunction` (API-116).

use http::StatusCode;
use lambd_api::responses::attached::Concurrency;
use lambd_api::responses::{FunctionCodeLocation, GetFunction};
use lambd_api::{ApiError, Route};
use lambd_http::{AwsResponse, RequestHead};
use lambd_types::{Qualifier, Version};

use super::lookup;
use crate::functions::{self, Named, Target};
use crate::service::success;
use crate::{Control, download};

pub(crate) async fn call(
    control: &Control,
    route: &Route,
    head: &RequestHead,
) -> Result<AwsResponse, ApiError> {
    let target = Target::namespaced(head, route.function_name())?;
    let found = lookup::described(control, &target).await?;
    let row = &found.row;
    // A version is shown without what is reserved (API-116.7).
    let is_version = matches!(target.qualifier, Some(Qualifier::Version(Version::Published(_))));
    let reserved = found.reserved.filter(|_| !is_version);
    let answer = GetFunction {
        configuration: functions::describe(row, Named::as_asked(&target)),
        code: FunctionCodeLocation {
            repository_type: "S3",
            location: download::link(control, head.host(), row.code),
        },
        concurrency: reserved
            .map(|reserved| Concurrency { reserved_concurrent_executions: Some(reserved.0) }),
        tags: found.tags,
    };
    success(StatusCode::OK, &answer)
}
