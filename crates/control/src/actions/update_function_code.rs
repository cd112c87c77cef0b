//! `UpdateFunctionCode` (API-147).

use http::StatusCode;
use lambd_api::requests::{self, UpdateFunctionCode};
use lambd_api::{ApiError, Route};
use lambd_http::{AwsRequest, AwsResponse};

use super::{packages, revision};
use crate::service::success;
use crate::{Control, functions, unsupported};

pub(crate) async fn call(
    control: &Control,
    route: &Route,
    request: AwsRequest,
) -> Result<AwsResponse, ApiError> {
    let body: UpdateFunctionCode = requests::parse(&request.body)?;
    let target = revision::target(&request.head, &route.function_name)?;
    unsupported::update_code(&body)?;
    let expected = body.revision_id.as_deref().filter(|r| !r.is_empty());
    let current = revision::latest(control, &target, expected).await?;
    let zip = packages::zip_of(control, body.code)?;
    if body.dry_run {
        packages::check(control, zip).await?;
        return success(StatusCode::OK, &functions::describe(&current, false));
    }
    let package = packages::store(control, &target.scope, zip).await?;
    let row = revision::update(control, &target, expected, |row| {
        row.code = package.digest;
        row.code_size = package.size;
        Ok(())
    })
    .await?;
    success(StatusCode::OK, &functions::describe(&row, false))
}
