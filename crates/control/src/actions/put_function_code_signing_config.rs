//! `PutFunctionCodeSigningConfig` (API-408). It counts from the next deployment on.

use http::StatusCode;
use lambd_api::requests::{self, attached::PutFunctionCodeSigningConfig};
use lambd_api::responses::attached::FunctionCodeSigningConfig;
use lambd_api::{ApiError, Route, Violations};
use lambd_http::{AwsRequest, AwsResponse};

use super::{lookup, revision, signing};
use crate::Control;
use crate::context::store_error;
use crate::functions::violation;
use crate::service::success;

pub(crate) async fn call(
    control: &Control,
    route: &Route,
    request: AwsRequest,
) -> Result<AwsResponse, ApiError> {
    let body: PutFunctionCodeSigningConfig = requests::parse(&request.body)?;
    let Some(arn) = body.code_signing_config_arn else {
        let mut violations = Violations::default();
        violations.missing("codeSigningConfigArn");
        return Err(violation(violations));
    };
    let target = revision::target(&request.head, route.function_name())?;
    let _changes = control.changes().await;
    let (signing, _) = signing::for_function(control, &target.scope, &arn).await?;
    lookup::exists(control, &target).await?;
    control.store().attach(&target.unqualified_holder(), &signing).await.map_err(store_error)?;
    let answer = FunctionCodeSigningConfig {
        code_signing_config_arn: Some(arn),
        function_name: target.name.to_string(),
    };
    success(StatusCode::OK, &answer)
}
