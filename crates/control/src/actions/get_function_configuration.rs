//! `GetFunctionConfiguration` (API-118).

use http::StatusCode;
use lambd_api::{ApiError, Route};
use lambd_http::{AwsResponse, RequestHead};

use crate::Control;
use crate::context::store_error;
use crate::functions::{self, Target};
use crate::service::success;

pub(crate) async fn call(
    control: &Control,
    route: &Route,
    head: &RequestHead,
) -> Result<AwsResponse, ApiError> {
    let target = Target::of(head, &route.function_name)?;
    let row = control.store().function(&target.key()?).await.map_err(store_error)?;
    let row = row.ok_or_else(|| target.not_found())?;
    success(StatusCode::OK, &functions::describe(&row, target.qualifier.is_some()))
}
