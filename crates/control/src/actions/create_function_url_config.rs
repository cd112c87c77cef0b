//! `CreateFunctionUrlConfig` (API-410).

use http::StatusCode;
use lambd_api::requests::{self, attached::FunctionUrlConfig};
use lambd_api::{ApiError, Route, responses};
use lambd_http::{AwsRequest, AwsResponse};
use lambd_store::attached::UrlConfig;

use super::urls;
use crate::Control;
use crate::checks;
use crate::context::store_error;
use crate::service::success;

pub(crate) async fn call(
    control: &Control,
    route: &Route,
    request: AwsRequest,
) -> Result<AwsResponse, ApiError> {
    let body: FunctionUrlConfig = requests::parse(&request.body)?;
    let mut violations = urls::check(&body);
    checks::required(&mut violations, "authType", body.auth_type.as_ref());
    let target = urls::target(&request.head, route, violations)?;
    let _changes = control.changes().await;
    urls::exists(control, &target).await?;
    let holder = target.holder();
    if control.store().attached::<UrlConfig>(&holder).await.map_err(store_error)?.is_some() {
        let text = "FunctionUrlConfig exists for this Lambda function";
        return Err(ApiError::ResourceConflict(text.to_owned()));
    }
    let now = control.clock().now().0;
    let mut config = urls::fresh(now);
    urls::apply(body, &mut config, now);
    control.store().attach(&holder, &config).await.map_err(store_error)?;
    let shown = urls::describe(request.head.host(), &holder, &config);
    success(
        StatusCode::CREATED,
        &responses::attached::FunctionUrlConfig { last_modified_time: None, ..shown },
    )
}
