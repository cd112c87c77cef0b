//! `DescribeScalingPolicies`

use lambd_store::scaling::{RuleKind, RuleRow};
use lambd_types::UnixMillis;
use serde::{Deserialize, Serialize};

use super::describe_rules::{Names, listed};
use crate::alarms::{Configuration, PolicySettings};
use crate::checks::{Named, Paging};
use crate::error::ScalingError;
use crate::resource::{DIMENSION, NAMESPACE, policy_arn};
use crate::service::Context;
use crate::shapes::{Alarm, seconds};

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Input {
    #[serde(flatten)]
    named: Named,
    #[serde(flatten)]
    paging: Paging,
    policy_names: Option<Vec<String>>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Output {
    scaling_policies: Vec<ScalingPolicy>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_token: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct ScalingPolicy {
    #[serde(rename = "PolicyARN")]
    policy_arn: String,
    policy_name: String,
    service_namespace: &'static str,
    resource_id: String,
    scalable_dimension: &'static str,
    policy_type: &'static str,
    target_tracking_scaling_policy_configuration: Configuration,
    alarms: Vec<Alarm>,
    #[serde(serialize_with = "seconds")]
    creation_time: UnixMillis,
}

pub(crate) async fn run(cx: &Context<'_>, input: Input) -> Result<Output, ScalingError> {
    let wanted = Names { field: "policyNames", names: input.policy_names.unwrap_or_default() };
    let (rows, next_token) = listed(cx, RuleKind::Policy, &input.named, &input.paging, &wanted).await?;
    let mut scaling_policies = Vec::with_capacity(rows.len());
    for row in rows {
        scaling_policies.extend(policy(cx, row).await?);
    }
    Ok(Output { scaling_policies, next_token })
}

/// `None` when its target was deregistered meanwhile.
async fn policy(cx: &Context<'_>, row: RuleRow) -> Result<Option<ScalingPolicy>, ScalingError> {
    let Some(target) = cx.store().scaling_target(cx.scope, &row.resource).await? else { return Ok(None) };
    let settings = PolicySettings::of(&row)?;
    Ok(Some(ScalingPolicy {
        policy_arn: policy_arn(&target, &row.name),
        service_namespace: NAMESPACE,
        scalable_dimension: DIMENSION,
        policy_type: "TargetTrackingScaling",
        alarms: settings.alarms(cx.scope, &row.resource),
        target_tracking_scaling_policy_configuration: settings.configuration,
        creation_time: row.created,
        policy_name: row.name,
        resource_id: row.resource,
    }))
}
