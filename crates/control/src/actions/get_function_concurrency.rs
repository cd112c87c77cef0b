//! `GetFunctionConcurrency` (API-117).

use http::StatusCode;
use lambd_api::{ApiError, Route};
use lambd_http::{AwsResponse, RequestHead};

use super::{lookup, reserving, revision};
use crate::Control;
use crate::service::success;

pub(crate) async fn call(
    control: &Control,
    route: &Route,
    head: &RequestHead,
) -> Result<AwsResponse, ApiError> {
    let target = revision::target(head, route.function_name())?;
    lookup::exists(control, &target).await?;
    success(StatusCode::OK, &reserving::reserved(control, &target).await?)
}
