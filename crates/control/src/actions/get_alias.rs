//! `GetAlias` (API-114).

use http::StatusCode;
use lambd_api::{ApiError, Route};
use lambd_http::{AwsResponse, RequestHead};

use super::aliasing;
use crate::Control;
use crate::context::store_error;
use crate::service::success;

pub(crate) async fn call(
    control: &Control,
    route: &Route,
    head: &RequestHead,
) -> Result<AwsResponse, ApiError> {
    let key = aliasing::key(head, route)?;
    match control.store().alias(&key).await.map_err(store_error)? {
        Some(row) => success(StatusCode::OK, &aliasing::describe(&row)),
        None => Err(ApiError::ResourceNotFound(format!("Cannot find alias arn: {}", aliasing::arn(&key)))),
    }
}
