//! `UpdateAlias` (API-145). What is left out stays; an empty routing configuration ends the sharing (CORE-202).

use http::StatusCode;
use lambd_api::requests::{self, UpdateAlias};
use lambd_api::{ApiError, Route, Violations};
use lambd_http::{AwsRequest, AwsResponse};
use lambd_store::functions::Updated;
use lambd_types::RevisionId;

use super::{aliasing, provisioning, revision};
use crate::context::store_error;
use crate::service::success;
use crate::{Control, settings};

pub(crate) async fn call(
    control: &Control,
    route: &Route,
    request: AwsRequest,
) -> Result<AwsResponse, ApiError> {
    let body: UpdateAlias = requests::parse_or_default(&request.body)?;
    let mut violations = Violations::default();
    let version = body.function_version.as_ref().and_then(|text| aliasing::version(text, &mut violations));
    settings::check_description(body.description.as_deref(), &mut violations);
    aliasing::check_weights(body.routing_config.as_ref(), &mut violations);
    violations.into_result()?;
    let key = aliasing::key(&request.head, route)?;
    let additional = body.routing_config.as_ref().map(aliasing::additional).transpose()?;

    let _changes = control.changes().await;
    let Some(before) = control.store().alias(&key).await.map_err(store_error)? else {
        return Err(ApiError::ResourceNotFound(format!("Alias not found: {}", aliasing::arn(&key))));
    };
    revision::check(revision::expected(body.revision_id.as_ref()), &before.revision)?;
    let mut row = before.clone();
    row.revision = RevisionId::random();
    row.version = version.unwrap_or(row.version);
    row.description = body.description.unwrap_or(row.description);
    row.additional = additional.unwrap_or(row.additional);
    aliasing::check_versions(control, &row).await?;
    provisioning::check_move(control, &before, row.version).await?;
    match control.store().update_alias(&row, &before.revision).await.map_err(store_error)? {
        Updated::Yes => {
            control.publish_alias(&row);
            if row.version != before.version {
                control.publish_provisioned(&key.scope, &key.name).await;
            }
            success(StatusCode::OK, &aliasing::describe(&row))
        }
        Updated::Stale => Err(ApiError::ResourceConflict(format!(
            "The operation cannot be performed at this time. An update is in progress for resource: {}",
            aliasing::arn(&key)
        ))),
    }
}
