//! `DeleteLayerVersion` (API-111). A version that does not exist is as good as deleted; functions that use one keep
//! what they have of it.

use http::StatusCode;
use lambd_api::{ApiError, Route};
use lambd_http::{AwsResponse, RequestHead, empty};

use super::layering;
use crate::Control;
use crate::context::store_error;

pub(crate) async fn call(
    control: &Control,
    route: &Route,
    head: &RequestHead,
) -> Result<AwsResponse, ApiError> {
    let key = layering::version(head, route)?;
    layering::check_owner(head, &key.layer, "DeleteLayerVersion")?;
    control.store().delete_layer_version(&key).await.map_err(store_error)?;
    Ok(empty(StatusCode::NO_CONTENT))
}
