//! `UpdateFunctionUrlConfig` (API-414): what is left out stays.

use http::StatusCode;
use lambd_api::requests::{self, attached::FunctionUrlConfig};
use lambd_api::{ApiError, Route};
use lambd_http::{AwsRequest, AwsResponse};

use super::urls;
use crate::Control;
use crate::context::store_error;
use crate::service::success;

pub(crate) async fn call(
    control: &Control,
    route: &Route,
    request: AwsRequest,
) -> Result<AwsResponse, ApiError> {
    let body: FunctionUrlConfig = requests::parse_or_default(&request.body)?;
    let target = urls::target(&request.head, route, urls::check(&body))?;
    let _changes = control.changes().await;
    let mut config = urls::configured(control, &target).await?;
    urls::apply(body, &mut config, control.clock().now().0);
    let holder = target.holder();
    control.store().attach(&holder, &config).await.map_err(store_error)?;
    success(StatusCode::OK, &urls::describe(request.head.host(), &holder, &config))
}
