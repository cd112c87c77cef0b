//! `GetEventSourceMapping` (API-115).

use http::StatusCode;
use lambd_api::{ApiError, Route};
use lambd_http::{AwsResponse, RequestHead};

use super::mapping;
use crate::Control;
use crate::mappings::{self, Shown};
use crate::service::success;

pub(crate) async fn call(
    control: &Control,
    route: &Route,
    head: &RequestHead,
) -> Result<AwsResponse, ApiError> {
    let row = mapping::find(control, &head.caller.scope, route.label("UUID")).await?;
    success(StatusCode::OK, &mappings::describe(&row, Shown::Settled)?)
}
