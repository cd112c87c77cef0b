//! `ListLayers` (API-131).

use http::StatusCode;
use lambd_api::responses::layers::{LayersListItem, ListLayers};
use lambd_api::{ApiError, Marker, Violations};
use lambd_http::{AwsResponse, RequestHead};
use lambd_types::limits;

use super::layering;
use crate::Control;
use crate::context::store_error;
use crate::paging::{self, Paging};
use crate::service::success;

pub(crate) async fn call(control: &Control, head: &RequestHead) -> Result<AwsResponse, ApiError> {
    let mut violations = Violations::default();
    let size = paging::size_within(
        &head.query,
        limits::LIST_LAYERS_PAGE,
        limits::LIST_LAYERS_PAGE,
        &mut violations,
    )?;
    let filter = layering::filter(head, &mut violations);
    violations.into_result()?;
    let paging = Paging { size, after: paging::after(&head.query)? };
    let after = paging.after.as_ref().map(|marker| marker.name.as_str());
    let listed = control.store().list_layers(&head.caller.scope, filter, after, paging.size + 1).await;
    let mut rows = listed.map_err(store_error)?;
    let next_marker = paging
        .cut(&mut rows, |last| Marker { name: last.key.layer.name.to_string(), version: String::new() });
    let layers = rows.iter().map(|row| LayersListItem {
        layer_name: row.key.layer.name.to_string(),
        layer_arn: row.key.layer.arn(),
        latest_matching_version: layering::list_item(row),
    });
    success(StatusCode::OK, &ListLayers { layers: layers.collect(), next_marker })
}
