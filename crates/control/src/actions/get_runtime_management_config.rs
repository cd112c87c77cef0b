//! `GetRuntimeManagementConfig` (API-416).

use http::StatusCode;
use lambd_api::{ApiError, Route};
use lambd_http::{AwsResponse, RequestHead};
use lambd_store::attached::RuntimeManagement;

use super::lookup;
use super::put_runtime_management_config::{describe, version};
use crate::Control;
use crate::context::store_error;
use crate::functions::Target;
use crate::service::success;

pub(crate) async fn call(
    control: &Control,
    route: &Route,
    head: &RequestHead,
) -> Result<AwsResponse, ApiError> {
    let target = version(Target::of(head, route.function_name())?)?;
    lookup::row(control, &target).await?;
    let found: Option<RuntimeManagement> =
        control.store().attached(&target.holder()).await.map_err(store_error)?;
    let automatic = || RuntimeManagement { update_runtime_on: "Auto".to_owned(), runtime_version_arn: None };
    success(StatusCode::OK, &describe(&target, found.unwrap_or_else(automatic)))
}
