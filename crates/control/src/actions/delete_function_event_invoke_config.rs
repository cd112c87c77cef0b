//! `DeleteFunctionEventInvokeConfig` (API-110).

use http::StatusCode;
use lambd_api::{ApiError, Route};
use lambd_http::{AwsResponse, RequestHead, empty};
use lambd_store::attached::EventInvoke;

use super::event_invoking;
use crate::Control;
use crate::context::store_error;

pub(crate) async fn call(
    control: &Control,
    route: &Route,
    head: &RequestHead,
) -> Result<AwsResponse, ApiError> {
    let target = event_invoking::target(head, route)?;
    let _changes = control.changes().await;
    let detached = control.store().detach::<EventInvoke>(&target.holder()).await.map_err(store_error)?;
    control.publish_event_settings();
    match detached {
        true => Ok(empty(StatusCode::NO_CONTENT)),
        false => Err(event_invoking::not_configured(&target)),
    }
}
