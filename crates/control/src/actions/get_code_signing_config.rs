//! `GetCodeSigningConfig` (API-404).

use http::StatusCode;
use lambd_api::responses::attached::OneCodeSigningConfig;
use lambd_api::{ApiError, Route};
use lambd_http::{AwsResponse, RequestHead};

use super::signing;
use crate::Control;
use crate::service::success;

pub(crate) async fn call(
    control: &Control,
    route: &Route,
    head: &RequestHead,
) -> Result<AwsResponse, ApiError> {
    let (name, config) = signing::of_path(control, route, head).await?;
    let code_signing_config = signing::describe(&name, config);
    success(StatusCode::OK, &OneCodeSigningConfig { code_signing_config })
}
