//! `UpdateFunctionEventInvokeConfig` (API-149): what is left out stays.

use http::StatusCode;
use lambd_api::requests::{self, attached::EventInvokeConfig};
use lambd_api::{ApiError, Route};
use lambd_http::{AwsRequest, AwsResponse};

use super::event_invoking;
use crate::Control;
use crate::context::store_error;
use crate::service::success;

pub(crate) async fn call(
    control: &Control,
    route: &Route,
    request: AwsRequest,
) -> Result<AwsResponse, ApiError> {
    let body: EventInvokeConfig = requests::parse_or_default(&request.body)?;
    let target = event_invoking::target(&request.head, route)?;
    event_invoking::check(&body, &target)?;
    let _changes = control.changes().await;
    event_invoking::exists(control, &target).await?;
    let mut settings = event_invoking::configured(control, &target).await?;
    event_invoking::apply(&body, &mut settings, control.clock().now().0);
    let holder = target.holder();
    control.store().attach(&holder, &settings).await.map_err(store_error)?;
    control.publish_event_settings();
    success(StatusCode::OK, &event_invoking::describe(&holder, &settings))
}
