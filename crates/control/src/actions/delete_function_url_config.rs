//! `DeleteFunctionUrlConfig` (API-411).

use http::StatusCode;
use lambd_api::{ApiError, Route, Violations};
use lambd_http::{AwsResponse, RequestHead, empty};
use lambd_store::attached::UrlConfig;

use super::urls;
use crate::Control;
use crate::context::store_error;

pub(crate) async fn call(
    control: &Control,
    route: &Route,
    head: &RequestHead,
) -> Result<AwsResponse, ApiError> {
    let target = urls::target(head, route, Violations::default())?;
    let _changes = control.changes().await;
    match control.store().detach::<UrlConfig>(&target.holder()).await.map_err(store_error)? {
        true => Ok(empty(StatusCode::NO_CONTENT)),
        false => Err(urls::not_configured()),
    }
}
