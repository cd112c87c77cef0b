//! `GetLayerVersion` (API-120).

use http::StatusCode;
use lambd_api::{ApiError, Route};
use lambd_http::{AwsResponse, RequestHead};
use lambd_types::LayerVersionKey;

use super::layering;
use crate::Control;
use crate::service::success;

pub(crate) async fn call(
    control: &Control,
    route: &Route,
    head: &RequestHead,
) -> Result<AwsResponse, ApiError> {
    answer(control, head, &layering::version(head, route)?).await
}

/// For both ways to name a version.
pub(super) async fn answer(
    control: &Control,
    head: &RequestHead,
    key: &LayerVersionKey,
) -> Result<AwsResponse, ApiError> {
    layering::check_region(&head.caller.scope, &key.layer)?;
    let row = layering::usable(control, &head.caller.scope, key).await?.ok_or_else(layering::not_found)?;
    success(StatusCode::OK, &layering::describe(control, head, &row))
}
