//! `DeleteFunctionConcurrency` (API-109). A function without a reservation is as good as freed of it.

use http::StatusCode;
use lambd_api::{ApiError, Route};
use lambd_http::{AwsResponse, RequestHead, empty};
use lambd_store::attached::ReservedConcurrency;

use super::{lookup, revision};
use crate::Control;
use crate::context::store_error;

pub(crate) async fn call(
    control: &Control,
    route: &Route,
    head: &RequestHead,
) -> Result<AwsResponse, ApiError> {
    let target = revision::target(head, route.function_name())?;
    let _changes = control.changes().await;
    lookup::exists(control, &target).await?;
    let holder = target.unqualified_holder();
    control.store().detach::<ReservedConcurrency>(&holder).await.map_err(store_error)?;
    control.publish_reservation(&target.scope, &target.name, None);
    Ok(empty(StatusCode::NO_CONTENT))
}
