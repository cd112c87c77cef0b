//! `TagResource` (API-143).

use http::StatusCode;
use lambd_api::requests::{self, TagResource};
use lambd_api::{ApiError, Route, Violations};
use lambd_http::{AwsRequest, AwsResponse, empty};

use super::tagging;
use crate::Control;

pub(crate) async fn call(
    control: &Control,
    route: &Route,
    request: AwsRequest,
) -> Result<AwsResponse, ApiError> {
    let body: TagResource = requests::parse(&request.body)?;
    let Some(tags) = body.tags else {
        let mut violations = Violations::default();
        violations.missing("tags");
        return Err(crate::functions::violation(violations));
    };
    let resource = tagging::resource(control, route, &request.head).await?;
    if tags.is_empty() {
        let text = "An error occurred and the request cannot be processed.";
        return Err(ApiError::InvalidParameterValue(text.to_owned()));
    }
    tagging::change(control, &resource, |all| all.extend(tags)).await?;
    Ok(empty(StatusCode::NO_CONTENT))
}
