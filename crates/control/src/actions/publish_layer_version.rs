//! `PublishLayerVersion` (API-136). A layer version has no state: its archive is unpacked before the answer.

use http::StatusCode;
use lambd_api::requests::{self, layers::PublishLayerVersion};
use lambd_api::{ApiError, Route, Violations, runtimes};
use lambd_http::{AwsRequest, AwsResponse};
use lambd_store::layers::LayerContent;
use lambd_store::packages::Arrived;

use super::{layering, packages};
use crate::context::store_error;
use crate::service::success;
use crate::{Control, settings};

/// Runtimes that a layer may name (API-608).
const RUNTIMES_MAX: usize = 15;
/// Longest license, in characters (API-079).
const LICENSE_MAX: usize = 512;

pub(crate) async fn call(
    control: &Control,
    route: &Route,
    request: AwsRequest,
    package: Option<Arrived>,
) -> Result<AwsResponse, ApiError> {
    let body: PublishLayerVersion = requests::parse(&request.body)?;
    let head = &request.head;
    let mut violations = Violations::default();
    let layer = layering::layer(head, route, &mut violations);
    check(&body, &mut violations);
    violations.into_result()?;
    let Some(layer) = layer else {
        return Err(ApiError::Service("a layer without a name passed the checks".to_owned()));
    };
    layering::check_owner(head, &layer, "PublishLayerVersion")?;
    let content = body.content.unwrap_or_default();
    packages::check_source(control, &content, package.as_ref())?;
    let package = packages::obtain(control, &layer.scope, content, package).await?;
    let package = packages::store_layer(control, &layer.scope, package).await?;
    let content = LayerContent {
        code: package.digest,
        code_size: package.size,
        unpacked_size: package.unpacked,
        created: control.clock().now(),
        description: body.description.unwrap_or_default(),
        license_info: body.license_info,
        runtimes: body.compatible_runtimes.unwrap_or_default(),
        architectures: body.compatible_architectures.unwrap_or_default(),
    };
    let row = control.store().insert_layer_version(&layer, content).await.map_err(store_error)?;
    success(StatusCode::CREATED, &layering::describe(control, head, &row))
}

/// The constraints of the API model.
fn check(body: &PublishLayerVersion, violations: &mut Violations) {
    match &body.content {
        None => violations.missing("content"),
        Some(content) => packages::check(content, "content.", violations),
    }
    settings::check_description(body.description.as_deref(), violations);
    if let Some(license) = &body.license_info
        && license.chars().count() > LICENSE_MAX
    {
        violations.too_long(license, "licenseInfo", LICENSE_MAX);
    }
    let known: Vec<&str> = runtimes::all().collect();
    check_list(&body.compatible_runtimes, "compatibleRuntimes", RUNTIMES_MAX, &known, violations);
    let architectures = &layering::ARCHITECTURES;
    check_list(
        &body.compatible_architectures,
        "compatibleArchitectures",
        architectures.len(),
        architectures,
        violations,
    );
}

fn check_list(list: &Option<Vec<String>>, at: &str, max: usize, known: &[&str], violations: &mut Violations) {
    let Some(list) = list else { return };
    let shown = format!("[{}]", list.join(", "));
    if list.len() > max {
        violations.too_long(&shown, at, max);
    }
    if list.iter().any(|item| !known.contains(&item.as_str())) {
        let constraint = format!(
            "Member must satisfy constraint: [Member must satisfy enum value set: [{}], Member must not be null]",
            known.join(", ")
        );
        violations.custom(&shown, at, &constraint);
    }
}
