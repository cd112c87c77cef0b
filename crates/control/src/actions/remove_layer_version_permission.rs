//! `RemoveLayerVersionPermission` (API-141).

use http::StatusCode;
use lambd_api::{ApiError, Route, Violations};
use lambd_http::{AwsResponse, RequestHead, empty};
use lambd_store::functions::Updated;

use super::{add_layer_version_permission, layering};
use crate::context::store_error;
use crate::{Control, layer_policy};

pub(crate) async fn call(
    control: &Control,
    route: &Route,
    head: &RequestHead,
) -> Result<AwsResponse, ApiError> {
    let id = route.label("StatementId");
    let mut violations = Violations::default();
    add_layer_version_permission::check_statement_id(id, &mut violations);
    violations.into_result()?;
    loop {
        let row = layering::of_policy(control, head, route, "RemoveLayerVersionPermission").await?;
        let Some(policy) = &row.policy else {
            let text = "No policy is associated with the given resource.";
            return Err(ApiError::ResourceNotFound(text.to_owned()));
        };
        layering::check_revision(head, &row)?;
        let left = layer_policy::remove(policy, id).map_err(|_| {
            ApiError::ResourceNotFound(format!("Statement {id} is not found in resource policy."))
        })?;
        let updated =
            control.store().update_layer_policy(&row.key, Some(&policy.revision), left.as_ref()).await;
        // Somebody else may have been faster: theirs is kept, and looked at again.
        if updated.map_err(store_error)? == Updated::Yes {
            return Ok(empty(StatusCode::NO_CONTENT));
        }
    }
}
