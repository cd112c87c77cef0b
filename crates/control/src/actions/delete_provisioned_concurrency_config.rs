//! `DeleteProvisionedConcurrencyConfig` (API-112). What has none is as good as freed of it.

use http::StatusCode;
use lambd_api::{ApiError, Route};
use lambd_http::{AwsResponse, RequestHead, empty};
use lambd_store::attached::ProvisionedConcurrency;

use super::provisioning::{self, Place};
use crate::Control;
use crate::context::store_error;

pub(crate) async fn call(
    control: &Control,
    route: &Route,
    head: &RequestHead,
) -> Result<AwsResponse, ApiError> {
    let target = provisioning::existing(head, route)?;
    let _changes = control.changes().await;
    let place = Place::of(control, &target).await?;
    if provisioning::config(control, &target).await?.is_some() {
        place.check_weights()?;
        let detached = control.store().detach::<ProvisionedConcurrency>(&target.holder()).await;
        detached.map_err(store_error)?;
        control.publish_provisioned(&target.scope, &target.name).await;
    }
    Ok(empty(StatusCode::NO_CONTENT))
}
