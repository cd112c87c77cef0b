//! `ListLayerVersions` (API-132): the newest first; none for a layer that does not exist.

use http::StatusCode;
use lambd_api::responses::layers::ListLayerVersions;
use lambd_api::{ApiError, Marker, Route, Violations};
use lambd_http::{AwsResponse, RequestHead};
use lambd_types::limits;

use super::layering;
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
    let layer = layering::layer(head, route, &mut violations);
    let size = paging::size_within(
        &head.query,
        limits::LIST_LAYERS_PAGE,
        limits::LIST_LAYERS_PAGE,
        &mut violations,
    )?;
    let filter = layering::filter(head, &mut violations);
    violations.into_result()?;
    let Some(layer) = layer else {
        return Err(ApiError::Service("a layer without a name passed the checks".to_owned()));
    };
    layering::check_owner(head, &layer, "ListLayerVersions")?;
    let paging = Paging { size, after: paging::after(&head.query)? };
    let before = paging.after.as_ref().and_then(|marker| marker.version.parse().ok());
    let listed = control.store().list_layer_versions(&layer, filter, before, paging.size + 1).await;
    let mut rows = listed.map_err(store_error)?;
    let next_marker = paging.cut(&mut rows, |last| Marker {
        name: last.key.layer.name.to_string(),
        version: last.key.version.to_string(),
    });
    let layer_versions = rows.iter().map(layering::list_item).collect();
    success(StatusCode::OK, &ListLayerVersions { layer_versions, next_marker })
}
