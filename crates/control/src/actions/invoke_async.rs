//! `InvokeAsync` (API-126): what `Invoke` does with the type `Event`, by an older path and with a smaller payload.

use http::StatusCode;
use lambd_api::responses::InvokeAsync;
use lambd_api::{ApiError, Route};
use lambd_http::{AwsRequest, AwsResponse};
use lambd_types::invocation::Event;

use super::invoke;
use crate::Control;
use crate::functions::Target;
use crate::service::success;

pub(crate) async fn call(
    control: &Control,
    route: &Route,
    request: AwsRequest,
) -> Result<AwsResponse, ApiError> {
    let AwsRequest { head, body } = request;
    let target = Target::parse_namespaced(&head.caller.scope, route.function_name())?;
    if body.is_empty() {
        let text = "Could not parse request body into json: No content to map due to end-of-input";
        return Err(ApiError::InvalidRequestContent(text.to_owned()));
    }
    invoke::check_json(&body)?;
    invoke::ready(control, &target).await?;
    let event = Event {
        request_id: head.request_id.clone(),
        payload: body,
        invoked_arn: target.arn(),
        trace_id: invoke::trace_id(&head),
        client_context: None,
    };
    let enqueued = control.engine()?.enqueue(target.function(), event, head.caller.access_key).await;
    enqueued.map_err(invoke::engine_error)?;
    let status = StatusCode::ACCEPTED;
    success(status, &InvokeAsync { status: status.as_u16() })
}
