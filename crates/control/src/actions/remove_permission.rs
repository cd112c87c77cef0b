//! `RemovePermission` (API-142).

use http::StatusCode;
use lambd_api::{ApiError, Route, Violations, patterns};
use lambd_http::{AwsResponse, RequestHead, empty};

use super::add_permission::permission_name;
use super::permissions;
use crate::Control;
use crate::functions::Target;

pub(crate) async fn call(
    control: &Control,
    route: &Route,
    head: &RequestHead,
) -> Result<AwsResponse, ApiError> {
    let sid = route.label("StatementId");
    let mut violations = Violations::default();
    permission_name(&mut violations, sid, patterns::NAMESPACED_STATEMENT, |b| {
        b.is_ascii_alphanumeric() || b"-_.".contains(&b)
    });
    violations.into_result()?;
    let target = Target::namespaced(head, route.function_name())?;

    let _changes = control.changes().await;
    let held = permissions::held(control, &target).await?;
    let Some(mut policy) = held.policy else {
        return Err(ApiError::ResourceNotFound(
            "No policy is associated with the given resource.".to_owned(),
        ));
    };
    permissions::check_revision(head.query.get("RevisionId"), &held.revision)?;
    if !policy.remove(sid) {
        return Err(ApiError::ResourceNotFound(format!("Statement {sid} is not found in resource policy.")));
    }
    permissions::replace(control, &held.holder, &policy).await?;
    Ok(empty(StatusCode::NO_CONTENT))
}
