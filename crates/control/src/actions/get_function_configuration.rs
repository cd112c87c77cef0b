//! `GetFunctionConfiguration` (API-118).

use http::StatusCode;
use lambd_api::{ApiError, Route};
use lambd_http::{AwsResponse, RequestHead};

use super::lookup;
use crate::Control;
use crate::functions::{self, Named, Target};
use crate::service::success;

pub(crate) async fn call(
    control: &Control,
    route: &Route,
    head: &RequestHead,
) -> Result<AwsResponse, ApiError> {
    let target = Target::namespaced(head, route.function_name())?;
    let row = lookup::row(control, &target).await?;
    success(StatusCode::OK, &functions::describe(&row, Named::as_asked(&target)))
}
