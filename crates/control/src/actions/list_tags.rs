//! `ListTags` (API-134).

use http::StatusCode;
use lambd_api::responses::ListTags;
use lambd_api::{ApiError, Route};
use lambd_http::{AwsResponse, RequestHead};

use super::tagging;
use crate::Control;
use crate::context::store_error;
use crate::service::success;

pub(crate) async fn call(
    control: &Control,
    route: &Route,
    head: &RequestHead,
) -> Result<AwsResponse, ApiError> {
    let target = tagging::function(control, route, head).await?;
    let tags = control.store().function_tags(&target.scope, &target.name).await.map_err(store_error)?;
    success(StatusCode::OK, &ListTags { tags })
}
