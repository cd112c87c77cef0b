//! `DeleteFunction` (API-108). The log group stays (CORE-038).

use http::StatusCode;
use lambd_api::{ApiError, Route};
use lambd_http::{AwsResponse, RequestHead, empty};
use lambd_types::{Qualifier, Version};

use crate::Control;
use crate::context::store_error;
use crate::functions::Target;

pub(crate) async fn call(
    control: &Control,
    route: &Route,
    head: &RequestHead,
) -> Result<AwsResponse, ApiError> {
    let target = Target::of(head, &route.function_name)?;
    match target.qualifier {
        None => {}
        Some(Qualifier::Version(Version::Latest)) => {
            let text = "$LATEST version cannot be deleted without deleting the function.";
            return Err(ApiError::InvalidParameterValue(text.to_owned()));
        }
        Some(_) => return Err(target.not_found()),
    }
    let _changes = control.changes().await;
    if !control.store().delete_function(&target.scope, &target.name).await.map_err(store_error)? {
        return Err(target.not_found());
    }
    control.publish_removal(&target.scope, &target.name);
    Ok(empty(StatusCode::NO_CONTENT))
}
