//! `PublishVersion` (API-137).

use http::StatusCode;
use lambd_api::requests::{self, PublishVersion};
use lambd_api::{ApiError, Route, Violations};
use lambd_http::{AwsRequest, AwsResponse};

use super::revision::{self, Publication};
use crate::functions::{self, Named};
use crate::service::success;
use crate::{Control, settings, unsupported};

pub(crate) async fn call(
    control: &Control,
    route: &Route,
    request: AwsRequest,
) -> Result<AwsResponse, ApiError> {
    let body: PublishVersion = requests::parse_or_default(&request.body)?;
    let target = revision::target(&request.head, route.function_name())?;
    let mut violations = Violations::default();
    settings::check_description(body.description.as_deref(), &mut violations);
    violations.into_result()?;
    unsupported::publish(body.publish_to.as_deref())?;
    let wanted = Publication {
        expected: revision::expected(body.revision_id.as_ref()),
        code: body.code_sha256.as_deref().filter(|code| !code.is_empty()),
        description: body.description.as_deref(),
    };
    let version = revision::publish(control, &target, wanted).await?;
    success(StatusCode::CREATED, &functions::describe(&version, Named::Version))
}
