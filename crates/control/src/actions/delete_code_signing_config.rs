//! `DeleteCodeSigningConfig` (API-402).

use http::StatusCode;
use lambd_api::{ApiError, Route};
use lambd_http::{AwsResponse, RequestHead, empty};
use lambd_store::code_signing::ConfigDeleted;

use super::signing;
use crate::Control;
use crate::context::store_error;

pub(crate) async fn call(
    control: &Control,
    route: &Route,
    head: &RequestHead,
) -> Result<AwsResponse, ApiError> {
    let _changes = control.changes().await;
    let (name, _) = signing::of_path(control, route, head).await?;
    let deleted = control.store().delete_code_signing_config(&head.caller.scope, &name.id, &name.arn).await;
    match deleted.map_err(store_error)? {
        ConfigDeleted::Yes => Ok(empty(StatusCode::NO_CONTENT)),
        ConfigDeleted::Absent => Err(signing::not_found(&name)),
        ConfigDeleted::InUse => Err(ApiError::ResourceConflict(format!(
            "The code signing configuration {} is used by functions; take it from them first. \
             ListFunctionsByCodeSigningConfig names them.",
            name.arn
        ))),
    }
}
