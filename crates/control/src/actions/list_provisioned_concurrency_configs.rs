//! `ListProvisionedConcurrencyConfigs` (API-133): of the versions and aliases of a function.

use http::StatusCode;
use lambd_api::responses::attached::ListProvisionedConcurrencyConfigs;
use lambd_api::{ApiError, Marker, Route, Violations};
use lambd_http::{AwsResponse, RequestHead};
use lambd_types::{FunctionKey, limits};

use super::{lookup, provisioning, revision};
use crate::Control;
use crate::context::store_error;
use crate::paging::{self, Paging};
use crate::service::success;

pub(crate) async fn call(
    control: &Control,
    route: &Route,
    head: &RequestHead,
) -> Result<AwsResponse, ApiError> {
    let mut violations = Violations::default();
    let page = limits::LIST_PROVISIONED_PAGE;
    let size = paging::size_within(&head.query, page, page, &mut violations)?;
    violations.into_result()?;
    let paging = Paging { size, after: paging::after(&head.query)? };
    let target = revision::target(head, route.function_name())?;
    lookup::exists(control, &target).await?;
    // In order of qualifier, by which they are stored. There are few: each has a version of its own.
    let found = control.provisioned_versions(&target.scope, &target.name).await.map_err(store_error)?;
    let is_after =
        |qualifier: &str| paging.after.as_ref().is_none_or(|marker| qualifier > marker.name.as_str());
    let mut found: Vec<_> =
        found.into_iter().filter(|(_, qualifier, _)| is_after(&qualifier.to_string())).collect();
    let next_marker = paging
        .cut(&mut found, |(_, qualifier, _)| Marker { name: qualifier.to_string(), version: String::new() });
    let mut provisioned_concurrency_configs = Vec::with_capacity(found.len());
    for (version, qualifier, config) in found {
        let mut item = provisioning::describe(control, config, &FunctionKey { version, ..target.latest() })?;
        item.function_arn = Some(target.qualified(qualifier).arn());
        provisioned_concurrency_configs.push(item);
    }
    let answer = ListProvisionedConcurrencyConfigs { provisioned_concurrency_configs, next_marker };
    success(StatusCode::OK, &answer)
}
