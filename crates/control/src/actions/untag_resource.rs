//! `UntagResource` (API-144). Keys that the function does not have are no error.

use http::StatusCode;
use lambd_api::{ApiError, Route, Violations};
use lambd_http::{AwsResponse, RequestHead, empty};

use super::tagging;
use crate::Control;

pub(crate) async fn call(
    control: &Control,
    route: &Route,
    head: &RequestHead,
) -> Result<AwsResponse, ApiError> {
    let keys: Vec<&str> = head.query.get_all("tagKeys").collect();
    if keys.is_empty() {
        let mut violations = Violations::default();
        violations.missing("tagKeys");
        return Err(crate::functions::violation(violations));
    }
    let resource = tagging::resource(control, route, head).await?;
    tagging::change(control, &resource, |all| all.retain(|key, _| !keys.contains(&key.as_str()))).await?;
    Ok(empty(StatusCode::NO_CONTENT))
}
