//! `PutFunctionRecursionConfig` (API-419).

use http::StatusCode;
use lambd_api::requests::{self, attached::PutFunctionRecursionConfig};
use lambd_api::responses::attached::RecursionConfig;
use lambd_api::{ApiError, Route, Violations};
use lambd_http::{AwsRequest, AwsResponse};
use lambd_store::attached::Recursion;

use super::{lookup, revision};
use crate::Control;
use crate::checks;
use crate::context::store_error;
use crate::service::success;

pub(crate) async fn call(
    control: &Control,
    route: &Route,
    request: AwsRequest,
) -> Result<AwsResponse, ApiError> {
    let body: PutFunctionRecursionConfig = requests::parse(&request.body)?;
    let mut violations = Violations::default();
    checks::required(&mut violations, "recursiveLoop", body.recursive_loop.as_ref());
    checks::one_of(&mut violations, "recursiveLoop", body.recursive_loop.as_ref(), &["Allow", "Terminate"]);
    violations.into_result()?;
    let target = revision::target(&request.head, route.function_name())?;
    let recursive_loop = body.recursive_loop.unwrap_or_default();
    let _changes = control.changes().await;
    lookup::exists(control, &target).await?;
    let document = Recursion(recursive_loop.clone());
    control.store().attach(&target.unqualified_holder(), &document).await.map_err(store_error)?;
    control.publish_event_settings();
    success(StatusCode::OK, &RecursionConfig { recursive_loop })
}
