//! `DeregisterScalableTarget`: its policies and scheduled actions go with it, the capacity stays.

use lambd_http::protocol::validation::Checks;

use crate::checks::{Named, finish};
use crate::error::ScalingError;
use crate::service::{Context, Nothing};

pub(crate) async fn run(cx: &Context<'_>, input: Named) -> Result<Nothing, ScalingError> {
    let mut checks = Checks::new();
    input.required(&mut checks);
    finish(checks)?;
    let (resource, _) = input.target(cx)?;
    let _changes = cx.scaler.changes().await;
    match cx.store().delete_scaling_target(cx.scope, &resource).await? {
        true => Ok(Nothing {}),
        false => Err(ScalingError::not_found("scalable target found", &resource, String::new())),
    }
}
