//! `DeleteAlias` (API-106). One that does not exist is as good as deleted.

use http::StatusCode;
use lambd_api::{ApiError, Route};
use lambd_http::{AwsResponse, RequestHead, empty};

use super::aliasing;
use crate::Control;
use crate::context::store_error;

pub(crate) async fn call(
    control: &Control,
    route: &Route,
    head: &RequestHead,
) -> Result<AwsResponse, ApiError> {
    let key = aliasing::key(head, route)?;
    let _changes = control.changes().await;
    control.store().delete_alias(&key).await.map_err(store_error)?;
    control.publish_alias_removal(&key);
    control.publish_provisioned(&key.scope, &key.name).await;
    Ok(empty(StatusCode::NO_CONTENT))
}
