//! `ListFunctionUrlConfigs` (API-413): of the function and its aliases.

use http::StatusCode;
use lambd_api::responses::attached::ListFunctionUrlConfigs;
use lambd_api::{ApiError, Marker, Route, Violations};
use lambd_http::{AwsResponse, RequestHead};
use lambd_store::attached::{Holder, UrlConfig};
use lambd_types::limits;

use super::{revision, urls};
use crate::Control;
use crate::context::store_error;
use crate::paging::{self, Paging};
use crate::service::success;

pub(crate) async fn call(
    control: &Control,
    route: &Route,
    head: &RequestHead,
) -> Result<AwsResponse, ApiError> {
    let mut violations = Violations::default();
    let size = paging::size_within(&head.query, limits::LIST_FUNCTIONS_PAGE, 50, &mut violations)?;
    violations.into_result()?;
    let paging = Paging { size, after: paging::after(&head.query)? };
    let target = revision::target(head, route.function_name())?;
    urls::exists(control, &target).await?;
    let after = paging.after.as_ref().map(|marker| marker.name.as_str());
    let found = control.store().list_attached(&target.scope, &target.name, after, paging.size + 1).await;
    let rows: Vec<(_, UrlConfig)> = found.map_err(store_error)?;
    let mut rows: Vec<(Holder, UrlConfig)> = rows
        .into_iter()
        .map(|(qualifier, config)| (Holder { qualifier, ..target.unqualified_holder() }, config))
        .collect();
    let next_marker = paging.cut(&mut rows, |(holder, _)| Marker {
        name: holder.qualifier.as_ref().map(ToString::to_string).unwrap_or_default(),
        version: String::new(),
    });
    let function_url_configs =
        rows.iter().map(|(holder, config)| urls::describe(head.host(), holder, config)).collect();
    success(StatusCode::OK, &ListFunctionUrlConfigs { function_url_configs, next_marker })
}
