//! `CreateAlias` (API-103).

use http::StatusCode;
use lambd_api::requests::{self, CreateAlias};
use lambd_api::{ApiError, Route, Violations};
use lambd_http::{AwsRequest, AwsResponse};
use lambd_store::aliases::{AliasKey, AliasRow};
use lambd_types::RevisionId;

use super::{aliasing, revision};
use crate::context::store_error;
use crate::service::success;
use crate::{Control, settings};

pub(crate) async fn call(
    control: &Control,
    route: &Route,
    request: AwsRequest,
) -> Result<AwsResponse, ApiError> {
    let body: CreateAlias = requests::parse(&request.body)?;
    let mut violations = Violations::default();
    let name = match &body.name {
        Some(name) => aliasing::name(name, &mut violations),
        None => {
            violations.missing("name");
            None
        }
    };
    let version = match &body.function_version {
        Some(version) => aliasing::version(version, &mut violations),
        None => {
            violations.missing("functionVersion");
            None
        }
    };
    settings::check_description(body.description.as_deref(), &mut violations);
    aliasing::check_weights(body.routing_config.as_ref(), &mut violations);
    violations.into_result()?;
    let (Some(alias), Some(version)) = (name, version) else {
        return Err(ApiError::Service("an alias without a name or version passed the checks".to_owned()));
    };

    let target = revision::target(&request.head, route.function_name())?;
    let row = AliasRow {
        key: AliasKey { scope: target.scope, name: target.name, alias },
        revision: RevisionId::random(),
        description: body.description.unwrap_or_default(),
        version,
        additional: match &body.routing_config {
            Some(routing) => aliasing::additional(routing)?,
            None => None,
        },
    };
    let _changes = control.changes().await;
    aliasing::check_versions(control, &row).await?;
    if !control.store().insert_alias(&row).await.map_err(store_error)? {
        return Err(ApiError::ResourceConflict(format!("Alias already exists: {}", aliasing::arn(&row.key))));
    }
    control.publish_alias(&row);
    success(StatusCode::CREATED, &aliasing::describe(&row))
}
