//! `ListFunctionEventInvokeConfigs` (API-129): of the function, its versions and aliases.

use http::StatusCode;
use lambd_api::responses::attached::ListEventInvokeConfigs;
use lambd_api::{ApiError, Marker, Route, Violations};
use lambd_http::{AwsResponse, RequestHead};
use lambd_store::attached::{EventInvoke, Holder};
use lambd_types::limits;

use super::event_invoking;
use crate::Control;
use crate::context::store_error;
use crate::functions::Target;
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
    let target = Target::namespaced(head, route.function_name())?.unqualified()?;
    event_invoking::exists(control, &target).await?;
    let after = paging.after.as_ref().map(|marker| marker.name.as_str());
    let found = control.store().list_attached(&target.scope, &target.name, after, paging.size + 1).await;
    let rows: Vec<(_, EventInvoke)> = found.map_err(store_error)?;
    let mut rows: Vec<(Holder, EventInvoke)> = rows
        .into_iter()
        .map(|(qualifier, settings)| (Holder { qualifier, ..target.unqualified_holder() }, settings))
        .collect();
    let next_marker = paging.cut(&mut rows, |(holder, _)| Marker {
        name: holder.qualifier.as_ref().map(ToString::to_string).unwrap_or_default(),
        version: String::new(),
    });
    let function_event_invoke_configs =
        rows.iter().map(|(holder, settings)| event_invoking::describe(holder, settings)).collect();
    success(StatusCode::OK, &ListEventInvokeConfigs { function_event_invoke_configs, next_marker })
}
