//! `ListTags` (API-134).

use http::StatusCode;
use lambd_api::responses::ListTags;
use lambd_api::{ApiError, Route};
use lambd_http::{AwsResponse, RequestHead};

use super::tagging;
use crate::Control;
use crate::service::success;

pub(crate) async fn call(
    control: &Control,
    route: &Route,
    head: &RequestHead,
) -> Result<AwsResponse, ApiError> {
    let resource = tagging::resource(control, route, head).await?;
    let tags = tagging::tags(control, &resource).await?;
    success(StatusCode::OK, &ListTags { tags })
}
