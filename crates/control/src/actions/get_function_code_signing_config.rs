//! `GetFunctionCodeSigningConfig` (API-405): without an ARN for a plain function (API-713).

use http::StatusCode;
use lambd_api::responses::attached::FunctionCodeSigningConfig;
use lambd_api::{ApiError, Route};
use lambd_http::{AwsResponse, RequestHead};
use lambd_store::attached::CodeSigning;

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
    let found: Option<CodeSigning> =
        control.store().attached(&target.unqualified_holder()).await.map_err(store_error)?;
    let answer = FunctionCodeSigningConfig {
        code_signing_config_arn: found.map(|signing| signing.0),
        function_name: target.name.to_string(),
    };
    success(StatusCode::OK, &answer)
}
