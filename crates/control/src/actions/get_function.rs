//! `GetFunction` (API-116).

use http::StatusCode;
use lambd_api::responses::{FunctionCodeLocation, GetFunction};
use lambd_api::{ApiError, Route};
use lambd_http::{AwsResponse, RequestHead};

use crate::context::store_error;
use crate::functions::{self, Target};
use crate::service::success;
use crate::{Control, download};

pub(crate) async fn call(
    control: &Control,
    route: &Route,
    head: &RequestHead,
) -> Result<AwsResponse, ApiError> {
    let target = Target::of(head, &route.function_name)?;
    let row = control.store().function(&target.key()?).await.map_err(store_error)?;
    let row = row.ok_or_else(|| target.not_found())?;
    let tags = control.store().function_tags(&target.scope, &target.name).await.map_err(store_error)?;
    let answer = GetFunction {
        configuration: functions::describe(&row, target.qualifier.is_some()),
        code: FunctionCodeLocation {
            repository_type: "S3",
            location: download::link(control, head.host(), row.code),
        },
        tags,
    };
    success(StatusCode::OK, &answer)
}
