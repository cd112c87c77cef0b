//! `GetFunctionRecursionConfig` (API-418).

use http::StatusCode;
use lambd_api::responses::attached::RecursionConfig;
use lambd_api::{ApiError, Route};
use lambd_http::{AwsResponse, RequestHead};
use lambd_store::attached::Recursion;

use super::{lookup, revision};
use crate::Control;
use crate::context::store_error;
use crate::service::success;

pub(crate) async fn call(
    control: &Control,
    route: &Route,
    head: &RequestHead,
) -> Result<AwsResponse, ApiError> {
    let target = revision::target(head, route.function_name())?;
    lookup::exists(control, &target).await?;
    let found: Option<Recursion> =
        control.store().attached(&target.unqualified_holder()).await.map_err(store_error)?;
    let recursive_loop = found.map_or_else(|| "Terminate".to_owned(), |recursion| recursion.0);
    success(StatusCode::OK, &RecursionConfig { recursive_loop })
}
