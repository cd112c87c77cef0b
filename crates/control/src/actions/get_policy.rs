//! `GetPolicy` (API-123).

use http::StatusCode;
use lambd_api::responses::attached::GetPolicy;
use lambd_api::{ApiError, Route};
use lambd_http::{AwsResponse, RequestHead};

use super::permissions;
use crate::Control;
use crate::context::service_error;
use crate::functions::Target;
use crate::service::success;

pub(crate) async fn call(
    control: &Control,
    route: &Route,
    head: &RequestHead,
) -> Result<AwsResponse, ApiError> {
    let target = Target::namespaced(head, route.function_name())?;
    // Document and revision belong together.
    let _changes = control.changes().await;
    let held = permissions::held(control, &target).await?;
    let Some(policy) = held.policy else {
        return Err(ApiError::ResourceNotFound("The resource you requested does not exist.".to_owned()));
    };
    let policy = policy.text().map_err(|e| service_error(&e))?;
    success(StatusCode::OK, &GetPolicy { policy, revision_id: held.revision.to_string() })
}
