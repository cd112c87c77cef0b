//! `DeleteEventSourceMapping` (API-107). The answer is the last that is seen of the mapping.

use http::StatusCode;
use lambd_api::{ApiError, Route};
use lambd_http::{AwsResponse, RequestHead};

use super::mapping;
use crate::Control;
use crate::context::store_error;
use crate::mappings::{self, Shown};
use crate::service::success;

pub(crate) async fn call(
    control: &Control,
    route: &Route,
    head: &RequestHead,
) -> Result<AwsResponse, ApiError> {
    let _changes = control.changes().await;
    let row = mapping::find(control, &head.caller.scope, route.label("UUID")).await?;
    if !control.store().delete_mapping(&row.scope, &row.uuid).await.map_err(store_error)? {
        return Err(mapping::missing());
    }
    success(StatusCode::ACCEPTED, &mappings::describe(&row, Shown::Deleting)?)
}
