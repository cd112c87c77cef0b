//! `UpdateCodeSigningConfig` (API-409): what is left out stays.

use http::StatusCode;
use lambd_api::requests::{self, attached};
use lambd_api::responses::attached::OneCodeSigningConfig;
use lambd_api::{ApiError, Route, Violations};
use lambd_http::{AwsRequest, AwsResponse};

use super::signing;
use crate::Control;
use crate::context::store_error;
use crate::service::success;

pub(crate) async fn call(
    control: &Control,
    route: &Route,
    request: AwsRequest,
) -> Result<AwsResponse, ApiError> {
    let body: attached::CodeSigningConfig = requests::parse_or_default(&request.body)?;
    let mut violations = Violations::default();
    signing::check(&body, &mut violations);
    violations.into_result()?;
    let _changes = control.changes().await;
    let (name, mut config) = signing::of_path(control, route, &request.head).await?;
    signing::apply(body, &mut config, control.clock().now().0);
    let scope = &request.head.caller.scope;
    control.store().put_code_signing_config(scope, &name.id, &config).await.map_err(store_error)?;
    let code_signing_config = signing::describe(&name, config);
    success(StatusCode::OK, &OneCodeSigningConfig { code_signing_config })
}
