//! `GetFunctionUrlConfig` (API-412).

use http::StatusCode;
use lambd_api::{ApiError, Route, Violations};
use lambd_http::{AwsResponse, RequestHead};

use super::urls;
use crate::Control;
use crate::service::success;

pub(crate) async fn call(
    control: &Control,
    route: &Route,
    head: &RequestHead,
) -> Result<AwsResponse, ApiError> {
    let target = urls::target(head, route, Violations::default())?;
    let config = urls::configured(control, &target).await?;
    success(StatusCode::OK, &urls::describe(head.host(), &target.holder(), &config))
}
