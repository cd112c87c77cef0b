//! `ListFunctionsByCodeSigningConfig` (API-407).

use http::StatusCode;
use lambd_api::responses::attached::ListFunctionsByCodeSigningConfig;
use lambd_api::{ApiError, Marker, Route};
use lambd_http::{AwsResponse, RequestHead};
use lambd_types::{function_arn, limits};

use super::signing;
use crate::Control;
use crate::context::store_error;
use crate::paging::Paging;
use crate::service::success;

pub(crate) async fn call(
    control: &Control,
    route: &Route,
    head: &RequestHead,
) -> Result<AwsResponse, ApiError> {
    let scope = &head.caller.scope;
    let paging = Paging::of(&head.query, limits::LIST_FUNCTIONS_PAGE)?;
    let (name, _) = signing::of_path(control, route, head).await?;
    let after = paging.after.as_ref().map(|marker| marker.name.as_str());
    let found = control.store().functions_with_code_signing(scope, &name.arn, after, paging.size + 1).await;
    let mut names = found.map_err(store_error)?;
    let next_marker =
        paging.cut(&mut names, |name| Marker { name: name.to_string(), version: String::new() });
    let function_arns = names.iter().map(|name| function_arn(scope, name)).collect();
    success(StatusCode::OK, &ListFunctionsByCodeSigningConfig { function_arns, next_marker })
}
