//! `UpdateFunctionCode` (API-147).

use http::StatusCode;
use lambd_api::requests::{self, UpdateFunctionCode};
use lambd_api::{ApiError, Route, Violations};
use lambd_http::{AwsRequest, AwsResponse};
use lambd_store::packages::Arrived;

use super::revision::{Effect, Wanted};
use super::{layering, packages, revision, signing};
use crate::condition::{self, Change};
use crate::functions::{self, Named};
use crate::service::success;
use crate::{Control, settings, unsupported};

pub(crate) async fn call(
    control: &Control,
    route: &Route,
    request: AwsRequest,
    package: Option<Arrived>,
) -> Result<AwsResponse, ApiError> {
    let body: UpdateFunctionCode = requests::parse(&request.body)?;
    let target = revision::target(&request.head, route.function_name())?;
    let mut violations = Violations::default();
    settings::check_architectures(body.architectures.as_ref(), &mut violations);
    packages::check(&body.code, "", &mut violations);
    violations.into_result()?;
    unsupported::update_code(&body)?;
    let expected = revision::expected(body.revision_id.as_ref());
    let current = revision::latest(control, &target, expected).await?;
    condition::check_change(&current.condition, Change::Code, &target.unqualified_arn())?;
    let runtime = &current.configuration.runtime;
    settings::check_runtime(control, runtime, settings::RuntimeUse::Kept)?;
    signing::check_deployment(control, &target.unqualified_holder()).await?;
    packages::check_source(control, &body.code, package.as_ref())?;
    let package = packages::obtain(control, &target.scope, body.code, package).await?;
    if body.dry_run {
        packages::try_out(control, package).await?;
        return success(StatusCode::OK, &functions::describe(&current, Named::Unqualified));
    }
    let package = packages::store(control, &target.scope, package, &current.configuration.layers).await?;
    let wanted = Wanted { expected, change: Change::Code, publish: body.publish };
    let changed = revision::update(control, &target, wanted, |row| {
        row.code = package.digest;
        row.code_size = package.size;
        layering::check_size(control, package.unpacked, &row.configuration.layers)?;
        Ok(Effect::Package)
    })
    .await?;
    let answer = match &changed.published {
        Some(version) => functions::describe(version, Named::Version),
        None => functions::describe(&changed.latest, Named::Unqualified),
    };
    success(StatusCode::OK, &answer)
}
