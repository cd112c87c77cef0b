//! `ListVersionsByFunction` (API-135).

use http::StatusCode;
use lambd_api::responses::ListVersions;
use lambd_api::{ApiError, Marker, Route};
use lambd_http::{AwsResponse, RequestHead};
use lambd_types::{Version, limits};

use super::lookup;
use crate::Control;
use crate::context::store_error;
use crate::functions::{self, Named, Target};
use crate::paging::Paging;
use crate::service::success;

pub(crate) async fn call(
    control: &Control,
    route: &Route,
    head: &RequestHead,
) -> Result<AwsResponse, ApiError> {
    let target = Target::namespaced(head, route.function_name())?;
    let paging = Paging::of(&head.query, limits::LIST_FUNCTIONS_PAGE)?;
    lookup::exists(control, &target).await?;
    let after = paging.after.as_ref().and_then(|marker| Version::parse(&marker.version));
    let store = control.store();
    let mut rows = store
        .list_versions(&target.scope, &target.name, after, paging.size + 1)
        .await
        .map_err(store_error)?;
    let next_marker = paging.cut(&mut rows, |last| Marker {
        name: last.key.name.to_string(),
        version: last.key.version.to_string(),
    });
    let versions = rows.iter().map(|row| functions::list_item(row, Named::Version)).collect();
    success(StatusCode::OK, &ListVersions { versions, next_marker })
}
