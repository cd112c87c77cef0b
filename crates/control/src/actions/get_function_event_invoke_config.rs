//! `GetFunctionEventInvokeConfig` (API-119).

use http::StatusCode;
use lambd_api::{ApiError, Route};
use lambd_http::{AwsResponse, RequestHead};

use super::event_invoking;
use crate::Control;
use crate::service::success;

pub(crate) async fn call(
    control: &Control,
    route: &Route,
    head: &RequestHead,
) -> Result<AwsResponse, ApiError> {
    let target = event_invoking::target(head, route)?;
    let settings = event_invoking::configured(control, &target).await?;
    success(StatusCode::OK, &event_invoking::describe(&target.holder(), &settings))
}
