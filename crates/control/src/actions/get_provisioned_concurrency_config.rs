//! `GetProvisionedConcurrencyConfig` (API-124).

use http::StatusCode;
use lambd_api::{ApiError, Route};
use lambd_http::{AwsResponse, RequestHead};

use super::provisioning::{self, Place};
use crate::Control;
use crate::service::success;

pub(crate) async fn call(
    control: &Control,
    route: &Route,
    head: &RequestHead,
) -> Result<AwsResponse, ApiError> {
    let target = provisioning::existing(head, route)?;
    let place = Place::of(control, &target).await?;
    let config = provisioning::config(control, &target).await?;
    let config = config.ok_or(ApiError::ProvisionedConcurrencyConfigNotFound)?;
    success(StatusCode::OK, &provisioning::describe(control, config, &place.row.key)?)
}
