//! `CreateEventSourceMapping` (API-104).

use http::StatusCode;
use lambd_api::mappings::CreateEventSourceMapping;
use lambd_api::{ApiError, Violations, requests};
use lambd_http::{AwsRequest, AwsResponse};
use lambd_store::mappings::MappingRow;
use lambd_types::random;

use super::{mapping, tagging};
use crate::Control;
use crate::context::store_error;
use crate::functions::Target;
use crate::mappings::{self, Shown};
use crate::service::success;

pub(crate) async fn call(control: &Control, request: AwsRequest) -> Result<AwsResponse, ApiError> {
    let body: CreateEventSourceMapping = requests::parse(&request.body)?;
    let mut violations = Violations::default();
    mappings::check_model(&body.origin, &body.settings, &mut violations);
    if body.function_name.is_none() {
        violations.missing("functionName");
    }
    violations.into_result()?;
    let name = body.function_name.unwrap_or_default();
    let target = Target::parse_namespaced(&request.head.caller.scope, &name)?;
    let tags = body.tags.unwrap_or_default();
    tagging::check_limits(&tags)?;

    let uuid = random::uuid();
    let now = control.clock().now();
    let (kind, checked) = mappings::create(body.origin, body.settings, &uuid, now.0 as f64 / 1000.0)?;
    let identity = mappings::identity(&checked.origin, &target.arn());
    let row = MappingRow {
        uuid,
        source: checked.origin.event_source_arn.clone().unwrap_or_default(),
        identity,
        enabled: body.enabled.unwrap_or(true),
        last_modified: now,
        origin: mapping::stored(&checked.origin)?,
        settings: mapping::stored(&checked.settings)?,
        tags,
        scope: target.scope.clone(),
        function: target.name.clone(),
        qualifier: target.qualifier.clone(),
    };
    let _changes = control.changes().await;
    mapping::check_function(control, &target).await?;
    if let Some(other) = control.store().mapping_of(&row.scope, &row.identity).await.map_err(store_error)? {
        return Err(mappings::conflict(kind, &checked.origin, &name, &other.uuid));
    }
    if !control.store().insert_mapping(&row).await.map_err(store_error)? {
        return Err(ApiError::Service("a mapping was added beside this one".to_owned()));
    }
    success(StatusCode::ACCEPTED, &mappings::describe(&row, Shown::Creating)?)
}
