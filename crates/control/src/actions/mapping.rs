//! What the actions on event source mappings share.

use lambd_api::ApiError;
use lambd_store::mappings::MappingRow;
use lambd_types::Scope;

use super::lookup;
use crate::Control;
use crate::context::store_error;
use crate::functions::Target;

/// The mapping of a UUID.
pub(super) async fn find(control: &Control, scope: &Scope, uuid: &str) -> Result<MappingRow, ApiError> {
    let found = control.store().mapping(scope, uuid).await.map_err(store_error)?;
    found.ok_or_else(missing)
}

/// The refusal of a UUID that no mapping has.
pub(super) fn missing() -> ApiError {
    ApiError::ResourceNotFound("The resource you requested does not exist.".to_owned())
}

/// Refuses a function, version or alias that does not exist, which is a wrong value here.
pub(super) async fn check_function(control: &Control, target: &Target) -> Result<(), ApiError> {
    match lookup::row(control, target).await {
        Ok(_) => Ok(()),
        Err(ApiError::ResourceNotFound(_)) => {
            Err(ApiError::InvalidParameterValue("Function does not exist".to_owned()))
        }
        Err(error) => Err(error),
    }
}

/// What is stored of a shape.
pub(super) fn stored(shape: &impl serde::Serialize) -> Result<String, ApiError> {
    serde_json::to_string(shape)
        .map_err(|error| ApiError::Service(format!("a mapping cannot be stored: {error}")))
}
