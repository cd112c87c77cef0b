//! `UpdateFunctionConfiguration` (API-148).

use http::StatusCode;
use lambd_api::requests::{self, UpdateFunctionConfiguration};
use lambd_api::{ApiError, Route, Violations};
use lambd_http::{AwsRequest, AwsResponse};

use super::revision;
use crate::service::success;
use crate::{Control, functions, settings, unsupported};

pub(crate) async fn call(
    control: &Control,
    route: &Route,
    request: AwsRequest,
) -> Result<AwsResponse, ApiError> {
    let body: UpdateFunctionConfiguration = requests::parse(&request.body)?;
    let target = revision::target(&request.head, &route.function_name)?;
    let mut violations = Violations::default();
    settings::check(&body.settings, &mut violations);
    violations.into_result()?;
    if let Some(runtime) = &body.settings.runtime {
        settings::check_runtime(runtime)?;
    }
    unsupported::settings(&body.settings)?;
    if let Some(environment) = &body.settings.environment {
        settings::check_environment(environment)?;
    }
    let expected = body.revision_id.as_deref().filter(|r| !r.is_empty());
    let row = revision::update(control, &target, expected, |row| {
        settings::apply(&body.settings, &mut row.configuration);
        Ok(())
    })
    .await?;
    success(StatusCode::OK, &functions::describe(&row, false))
}
