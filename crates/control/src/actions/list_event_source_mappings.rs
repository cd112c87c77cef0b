//! `ListEventSourceMappings` (API-128). A function is meant with exactly the qualifier that is given, or none.

use http::StatusCode;
use lambd_api::mappings::ListEventSourceMappings;
use lambd_api::{ApiError, Marker, Violations};
use lambd_http::{AwsResponse, RequestHead};
use lambd_store::mappings::MappingFilter;
use lambd_types::limits;

use super::lookup;
use crate::Control;
use crate::context::store_error;
use crate::functions::Target;
use crate::mappings::{self, Shown};
use crate::paging::{self, Paging};
use crate::service::success;

pub(crate) async fn call(control: &Control, head: &RequestHead) -> Result<AwsResponse, ApiError> {
    let (query, scope) = (&head.query, &head.caller.scope);
    let mut violations = Violations::default();
    let size = paging::size(query, limits::LIST_MAPPINGS_PAGE, &mut violations)?;
    let source = query.get("EventSourceArn");
    mappings::check_source(source, &mut violations);
    violations.into_result()?;
    let paging = Paging { size, after: paging::after(query)? };
    let target = query.get("FunctionName").map(|name| Target::parse_namespaced(scope, name)).transpose()?;
    let filter = MappingFilter {
        source,
        function: target.as_ref().map(|target| (&target.name, target.qualifier.as_ref())),
    };
    let after = paging.after.as_ref().map(|marker| marker.name.as_str());
    let listed = control.store().list_mappings(scope, filter, after, paging.size + 1).await;
    let mut rows = listed.map_err(store_error)?;
    if let Some(target) = target.as_ref().filter(|_| rows.is_empty() && after.is_none()) {
        // Mappings outlive their function, so it is missed only when there is nothing of it at all.
        lookup::exists(control, &Target { qualifier: None, ..target.clone() }).await?;
    }
    let next_marker =
        paging.cut(&mut rows, |last| Marker { name: last.uuid.clone(), version: String::new() });
    let event_source_mappings =
        rows.iter().map(|row| mappings::describe(row, Shown::Settled)).collect::<Result<_, _>>()?;
    success(StatusCode::OK, &ListEventSourceMappings { event_source_mappings, next_marker })
}
