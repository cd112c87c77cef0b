//! `DeleteProvisionedConcurrencyConfig` (API-112). What has none is as good as freed of it.

use http::StatusCode;
use lambd_api::{ApiError, Route};
use lambd_http::{AwsResponse, RequestHead, empty};
use lambd_store::attached::ProvisionedConcurrency;

use super::provisioning::{self, Place};
use crate::Control;
use crate::context::store_error;
use crate::functions::Target;

pub(crate) async fn call(
    control: &Control,
    route: &Route,
    head: &RequestHead,
) -> Result<AwsResponse, ApiError> {
    let target = provisioning::existing(head, route)?;
    remove(control, &target).await?;
    Ok(empty(StatusCode::NO_CONTENT))
}

/// Frees a version or an alias of its provisioned concurrency.
pub(super) async fn remove(control: &Control, target: &Target) -> Result<(), ApiError> {
    let _changes = control.changes().await;
    let place = Place::of(control, target).await?;
    if provisioning::config(control, target).await?.is_some() {
        place.check_weights()?;
        let detached = control.store().detach::<ProvisionedConcurrency>(&target.holder()).await;
        detached.map_err(store_error)?;
        control.publish_provisioned(&target.scope, &target.name).await;
    }
    Ok(())
}
