//! `DescribeScalableTargets`

use lambd_http::protocol::validation::Checks;
use lambd_store::scaling::TargetRow;
use lambd_types::{Scope, UnixMillis};
use serde::{Deserialize, Serialize};

use crate::checks::{self, Named, Paging, finish};
use crate::error::ScalingError;
use crate::resource::{DIMENSION, NAMESPACE, role_arn, target_arn};
use crate::service::Context;
use crate::shapes::{SuspendedState, seconds};

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Input {
    #[serde(flatten)]
    named: Named,
    #[serde(flatten)]
    paging: Paging,
    resource_ids: Option<Vec<String>>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Output {
    scalable_targets: Vec<ScalableTarget>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_token: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct ScalableTarget {
    service_namespace: &'static str,
    resource_id: String,
    scalable_dimension: &'static str,
    min_capacity: u32,
    max_capacity: u32,
    #[serde(rename = "RoleARN")]
    role_arn: String,
    #[serde(serialize_with = "seconds")]
    creation_time: UnixMillis,
    suspended_state: SuspendedState,
    #[serde(rename = "ScalableTargetARN")]
    scalable_target_arn: String,
}

impl ScalableTarget {
    fn of(scope: &Scope, row: TargetRow) -> Self {
        Self {
            service_namespace: NAMESPACE,
            scalable_dimension: DIMENSION,
            min_capacity: row.min,
            max_capacity: row.max,
            role_arn: role_arn(scope),
            creation_time: row.created,
            suspended_state: SuspendedState {
                dynamic_scaling_in_suspended: Some(row.suspended.scale_in),
                dynamic_scaling_out_suspended: Some(row.suspended.scale_out),
                scheduled_scaling_suspended: Some(row.suspended.scheduled),
            },
            scalable_target_arn: target_arn(scope, &row.id),
            resource_id: row.resource,
        }
    }
}

pub(crate) async fn run(cx: &Context<'_>, input: Input) -> Result<Output, ScalingError> {
    let mut checks = Checks::new();
    input.named.filter(&mut checks);
    input.paging.check(&mut checks);
    let resources = input.resource_ids.unwrap_or_default();
    checks.members("resourceIds", resources.len(), 0, 50);
    resources.iter().for_each(|resource| checks::text(&mut checks, "resourceIds", resource));
    finish(checks)?;
    if input.named.dimension().is_some() && resources.is_empty() {
        return Err(ScalingError::invalid("A scalable dimension needs resource IDs"));
    }
    let after = input.paging.after::<1>()?;
    if input.named.is_elsewhere() {
        return Ok(Output { scalable_targets: Vec::new(), next_token: None });
    }
    let after = after.as_ref().map(|[resource]| resource.as_str());
    let limit = input.paging.limit();
    let mut rows = cx.store().list_scaling_targets(cx.scope, &resources, after, limit).await?;
    let next_token = input.paging.cut(&mut rows, |row| [row.resource.clone()]);
    let scalable_targets = rows.into_iter().map(|row| ScalableTarget::of(cx.scope, row)).collect();
    Ok(Output { scalable_targets, next_token })
}
