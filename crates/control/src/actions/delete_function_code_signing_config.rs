//! `DeleteFunctionCodeSigningConfig` (API-403). A function without one is as good as freed of it.

use http::StatusCode;
use lambd_api::{ApiError, Route};
use lambd_http::{AwsResponse, RequestHead, empty};
use lambd_store::attached::CodeSigning;

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
    control.store().detach::<CodeSigning>(&target.unqualified_holder()).await.map_err(store_error)?;
    Ok(empty(StatusCode::NO_CONTENT))
}
