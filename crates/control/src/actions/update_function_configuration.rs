//! `UpdateFunctionConfiguration` (API-148).

use http::StatusCode;
use lambd_api::requests::{self, UpdateFunctionConfiguration};
use lambd_api::{ApiError, Route, Violations};
use lambd_http::{AwsRequest, AwsResponse};

use super::layering;
use super::revision::{self, Effect, Wanted};
use crate::condition::Change;
use crate::functions::{self, Named};
use crate::service::success;
use crate::settings::{self, RuntimeUse};
use crate::{Control, unsupported};

pub(crate) async fn call(
    control: &Control,
    route: &Route,
    request: AwsRequest,
) -> Result<AwsResponse, ApiError> {
    let body: UpdateFunctionConfiguration = requests::parse(&request.body)?;
    let target = revision::target(&request.head, route.function_name())?;
    let mut violations = Violations::default();
    settings::check(&body.settings, &mut violations);
    violations.into_result()?;
    unsupported::settings(&body.settings)?;
    if let Some(environment) = &body.settings.environment {
        settings::check_environment(environment)?;
    }
    let expected = revision::expected(body.revision_id.as_ref());
    let wanted = Wanted { expected, change: Change::Other, publish: false };
    let wished = match &body.settings.layers {
        None => None,
        Some(arns) => {
            let current = revision::latest(control, &target, expected).await?;
            Some(layering::Wished::of(control, &target.scope, arns, current.code).await?)
        }
    };
    let changed = revision::update(control, &target, wanted, |row| {
        let had = row.configuration.runtime.clone();
        settings::apply(&body.settings, &mut row.configuration)?;
        let has = &row.configuration.runtime;
        let using = if *has == had { RuntimeUse::Kept } else { RuntimeUse::Chosen };
        settings::check_runtime(control, has, using)?;
        match &wished {
            Some(wished) => wished.apply(row, &target),
            // Nothing has to be made ready: the next event has them.
            None => Ok(Effect::Settings),
        }
    })
    .await?;
    success(StatusCode::OK, &functions::describe(&changed.latest, Named::Unqualified))
}
