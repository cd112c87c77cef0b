//! `DescribeScheduledActions`

use lambd_store::scaling::{RuleKind, RuleRow};
use lambd_types::UnixMillis;
use serde::{Deserialize, Serialize};

use super::describe_rules::{Names, listed};
use crate::checks::{Named, Paging};
use crate::error::ScalingError;
use crate::resource::{DIMENSION, NAMESPACE, action_arn};
use crate::service::Context;
use crate::shapes::{ActionSettings, ScalableTargetAction, maybe_seconds, seconds};

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Input {
    #[serde(flatten)]
    named: Named,
    #[serde(flatten)]
    paging: Paging,
    scheduled_action_names: Option<Vec<String>>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Output {
    scheduled_actions: Vec<ScheduledAction>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_token: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct ScheduledAction {
    scheduled_action_name: String,
    #[serde(rename = "ScheduledActionARN")]
    scheduled_action_arn: String,
    service_namespace: &'static str,
    schedule: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    timezone: Option<String>,
    resource_id: String,
    scalable_dimension: &'static str,
    #[serde(serialize_with = "maybe_seconds", skip_serializing_if = "Option::is_none")]
    start_time: Option<UnixMillis>,
    #[serde(serialize_with = "maybe_seconds", skip_serializing_if = "Option::is_none")]
    end_time: Option<UnixMillis>,
    scalable_target_action: ScalableTargetAction,
    #[serde(serialize_with = "seconds")]
    creation_time: UnixMillis,
}

pub(crate) async fn run(cx: &Context<'_>, input: Input) -> Result<Output, ScalingError> {
    let wanted =
        Names { field: "scheduledActionNames", names: input.scheduled_action_names.unwrap_or_default() };
    let (rows, next_token) = listed(cx, RuleKind::Action, &input.named, &input.paging, &wanted).await?;
    let mut scheduled_actions = Vec::with_capacity(rows.len());
    for row in rows {
        scheduled_actions.extend(action(cx, row).await?);
    }
    Ok(Output { scheduled_actions, next_token })
}

/// `None` when its target was deregistered meanwhile.
async fn action(cx: &Context<'_>, row: RuleRow) -> Result<Option<ScheduledAction>, ScalingError> {
    let Some(target) = cx.store().scaling_target(cx.scope, &row.resource).await? else { return Ok(None) };
    let settings: ActionSettings = serde_json::from_str(&row.settings)?;
    Ok(Some(ScheduledAction {
        scheduled_action_arn: action_arn(&target, &row.name),
        service_namespace: NAMESPACE,
        scalable_dimension: DIMENSION,
        schedule: settings.schedule,
        timezone: settings.timezone,
        start_time: settings.start.map(UnixMillis),
        end_time: settings.end.map(UnixMillis),
        scalable_target_action: ScalableTargetAction {
            min_capacity: settings.min.map(i64::from),
            max_capacity: settings.max.map(i64::from),
        },
        creation_time: row.created,
        scheduled_action_name: row.name,
        resource_id: row.resource,
    }))
}
