//! `UpdateEventSourceMapping` (API-146). The answer shows what was in force before (SVC1-252).

use http::StatusCode;
use lambd_api::mappings::{MappingOrigin, UpdateEventSourceMapping};
use lambd_api::{ApiError, Route, Violations, requests};
use lambd_http::{AwsRequest, AwsResponse};
use lambd_store::mappings::MappingRow;

use super::mapping;
use crate::Control;
use crate::context::store_error;
use crate::functions::Target;
use crate::mappings::{self, Kind, Shown};
use crate::service::success;

pub(crate) async fn call(
    control: &Control,
    route: &Route,
    request: AwsRequest,
) -> Result<AwsResponse, ApiError> {
    let body: UpdateEventSourceMapping = requests::parse_or_default(&request.body)?;
    let mut violations = Violations::default();
    mappings::check_model(&MappingOrigin::default(), &body.settings, &mut violations);
    violations.into_result()?;
    let scope = &request.head.caller.scope;
    let target =
        body.function_name.as_deref().map(|name| Target::parse_namespaced(scope, name)).transpose()?;

    let _changes = control.changes().await;
    let before = mapping::find(control, scope, route.label("UUID")).await?;
    let read = mappings::read(&before)?;
    let checked = mappings::update(&read, body.settings, &before.uuid)?;
    let mut row = MappingRow {
        enabled: body.enabled.unwrap_or(before.enabled),
        last_modified: control.clock().now(),
        settings: mapping::stored(&checked.settings)?,
        ..before.clone()
    };
    if let Some(target) = target {
        mapping::check_function(control, &target).await?;
        row.identity = mappings::identity(&checked.origin, &target.arn());
        row.function = target.name;
        row.qualifier = target.qualifier;
    }
    let other = control.store().mapping_of(scope, &row.identity).await.map_err(store_error)?;
    if let Some(other) = other.filter(|other| other.uuid != row.uuid) {
        let kind = Kind::of(&checked.origin)?;
        let name = body.function_name.as_deref().unwrap_or_default();
        return Err(mappings::conflict(kind, &checked.origin, name, &other.uuid));
    }
    if !control.store().update_mapping(&row).await.map_err(store_error)? {
        return Err(mapping::missing());
    }
    let shown = Shown::update(before.enabled, row.enabled);
    let answer = MappingRow { last_modified: row.last_modified, ..before };
    success(StatusCode::ACCEPTED, &mappings::describe(&answer, shown)?)
}
