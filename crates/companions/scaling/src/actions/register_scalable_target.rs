//! `RegisterScalableTarget` (CORE-184). The capacity is brought between new bounds at once.

use std::collections::BTreeMap;

use lambd_http::protocol::validation::Checks;
use lambd_store::scaling::{Progress, Suspended, TargetRow};
use lambd_types::{FunctionTarget, random};
use serde::{Deserialize, Serialize};

use crate::checks::{self, MAX_TAGS, Named, finish};
use crate::error::ScalingError;
use crate::resource::{new_id, target_arn};
use crate::service::Context;
use crate::shapes::SuspendedState;

/// Most targets of an account in a region.
const MAX_TARGETS: u64 = 500;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Input {
    #[serde(flatten)]
    named: Named,
    min_capacity: Option<i64>,
    max_capacity: Option<i64>,
    #[serde(rename = "RoleARN")]
    role_arn: Option<String>,
    suspended_state: Option<SuspendedState>,
    tags: Option<BTreeMap<String, String>>,
}

#[derive(Debug, Serialize)]
pub(crate) struct Output {
    #[serde(rename = "ScalableTargetARN")]
    scalable_target_arn: String,
}

pub(crate) async fn run(cx: &Context<'_>, input: Input) -> Result<Output, ScalingError> {
    let mut checks = Checks::new();
    input.named.required(&mut checks);
    // The role is always that of the service; a name for another one is checked, and of no effect, as on AWS.
    if let Some(role) = &input.role_arn {
        checks::text(&mut checks, "roleARN", role);
    }
    checks::tags(&mut checks, input.tags.as_ref().unwrap_or(&BTreeMap::new()));
    finish(checks)?;
    let (min, max) =
        (capacity(input.min_capacity, "MinCapacity")?, capacity(input.max_capacity, "MaxCapacity")?);
    let (resource, function) = input.named.target(cx)?;

    let _changes = cx.scaler.changes().await;
    let before = cx.store().scaling_target(cx.scope, &resource).await?;
    let mut target = match before {
        Some(_) if input.tags.is_some() => {
            let text =
                "Tags can be given when a scalable target is registered first. Use TagResource to add tags.";
            return Err(ScalingError::invalid(text));
        }
        Some(target) => target,
        None => {
            let (Some(min), Some(max)) = (min, max) else {
                let text = "Both MinCapacity and MaxCapacity are required to register a new scalable target";
                return Err(ScalingError::invalid(text));
            };
            new(cx, resource, &function, (min, max), input.tags.unwrap_or_default()).await?
        }
    };
    let bounds = (min.unwrap_or(target.min), max.unwrap_or(target.max));
    (target.min, target.max) = bounds;
    if target.max < target.min {
        return Err(ScalingError::invalid("Maximum capacity cannot be less than minimum capacity"));
    }
    let state = input.suspended_state.unwrap_or_default();
    let Suspended { scale_in, scale_out, scheduled } = target.suspended;
    target.suspended = Suspended {
        scale_in: state.dynamic_scaling_in_suspended.unwrap_or(scale_in),
        scale_out: state.dynamic_scaling_out_suspended.unwrap_or(scale_out),
        scheduled: state.scheduled_scaling_suspended.unwrap_or(scheduled),
    };
    cx.store().put_scaling_target(&target).await?;
    cx.scaler.bring_into_range(&target).await?;
    Ok(Output { scalable_target_arn: target_arn(cx.scope, &target.id) })
}

async fn new(
    cx: &Context<'_>,
    resource: String,
    function: &FunctionTarget,
    (min, max): (u32, u32),
    tags: BTreeMap<String, String>,
) -> Result<TargetRow, ScalingError> {
    if tags.len() > MAX_TAGS {
        return Err(ScalingError::invalid(format!("A scalable target can have {MAX_TAGS} tags")));
    }
    if cx.scaler.capacities.capacity(function).await?.is_none() {
        return Err(ScalingError::invalid(format!("Lambda function doesn't exist: {resource}")));
    }
    if cx.store().count_scaling_targets(cx.scope).await? >= MAX_TARGETS {
        return Err(ScalingError::LimitExceeded(format!(
            "An account can have {MAX_TARGETS} scalable targets"
        )));
    }
    Ok(TargetRow {
        scope: cx.scope.clone(),
        resource,
        id: new_id(),
        family: random::uuid(),
        min,
        max,
        suspended: Suspended::default(),
        tags,
        progress: Progress::default(),
        created: cx.now(),
    })
}

/// A capacity, which is not negative.
pub(crate) fn capacity(given: Option<i64>, what: &str) -> Result<Option<u32>, ScalingError> {
    let Some(given) = given else { return Ok(None) };
    let fits = u32::try_from(given).ok().filter(|c| i32::try_from(*c).is_ok());
    let refused = || ScalingError::invalid(format!("{what} must be between 0 and {}: {given}", i32::MAX));
    fits.map(Some).ok_or_else(refused)
}
