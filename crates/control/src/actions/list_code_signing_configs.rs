//! `ListCodeSigningConfigs` (API-406).

use http::StatusCode;
use lambd_api::responses::attached::ListCodeSigningConfigs;
use lambd_api::{ApiError, Marker};
use lambd_http::{AwsResponse, RequestHead};
use lambd_types::limits;

use super::signing;
use crate::Control;
use crate::context::store_error;
use crate::paging::Paging;
use crate::service::success;

pub(crate) async fn call(control: &Control, head: &RequestHead) -> Result<AwsResponse, ApiError> {
    let scope = &head.caller.scope;
    let paging = Paging::of(&head.query, limits::LIST_FUNCTIONS_PAGE)?;
    let after = paging.after.as_ref().map(|marker| marker.name.as_str());
    let found = control.store().list_code_signing_configs(scope, after, paging.size + 1).await;
    let mut rows = found.map_err(store_error)?;
    let next_marker = paging.cut(&mut rows, |(id, _)| Marker { name: id.clone(), version: String::new() });
    let describe = |(id, config)| signing::describe(&signing::named(scope, id), config);
    let code_signing_configs = rows.into_iter().map(describe).collect();
    success(StatusCode::OK, &ListCodeSigningConfigs { code_signing_configs, next_marker })
}
