//! `GetLayerVersionPolicy` (API-122).

use http::StatusCode;
use lambd_api::responses::layers::GetLayerVersionPolicy;
use lambd_api::{ApiError, Route};
use lambd_http::{AwsResponse, RequestHead};

use super::layering;
use crate::service::success;
use crate::{Control, layer_policy};

pub(crate) async fn call(
    control: &Control,
    route: &Route,
    head: &RequestHead,
) -> Result<AwsResponse, ApiError> {
    let row = layering::of_policy(control, head, route, "GetLayerVersionPolicy").await?;
    let Some(policy) = &row.policy else {
        let text = "No policy is associated with the given resource.";
        return Err(ApiError::ResourceNotFound(text.to_owned()));
    };
    let answer = GetLayerVersionPolicy {
        policy: layer_policy::document(policy),
        revision_id: policy.revision.to_string(),
    };
    success(StatusCode::OK, &answer)
}
