//! `ListAliases` (API-127).

use http::StatusCode;
use lambd_api::responses::ListAliases;
use lambd_api::{ApiError, Marker, Route, Violations};
use lambd_http::{AwsResponse, RequestHead};
use lambd_types::limits;

use super::{aliasing, lookup, revision};
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
    let size = paging::size(&head.query, limits::LIST_FUNCTIONS_PAGE, &mut violations)?;
    let of_version =
        head.query.get("FunctionVersion").and_then(|text| aliasing::version(text, &mut violations));
    violations.into_result()?;
    let paging = Paging { size, after: paging::after(&head.query)? };
    let target = revision::target(head, route.function_name())?;
    lookup::exists(control, &target).await?;
    let after = paging.after.as_ref().map(|marker| marker.name.as_str());
    let listed =
        control.store().list_aliases(&target.scope, &target.name, of_version, after, paging.size + 1).await;
    let mut rows = listed.map_err(store_error)?;
    let next_marker =
        paging.cut(&mut rows, |last| Marker { name: last.key.alias.to_string(), version: String::new() });
    let aliases = rows.iter().map(aliasing::describe).collect();
    success(StatusCode::OK, &ListAliases { aliases, next_marker })
}
