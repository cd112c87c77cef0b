//! `DeleteScalingPolicy` and `DeleteScheduledAction`

use lambd_http::protocol::validation::Checks;
use lambd_store::scaling::RuleKind;
use serde::Deserialize;

use crate::checks::{self, Named, finish};
use crate::error::ScalingError;
use crate::service::{Context, Nothing};

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct PolicyInput {
    #[serde(flatten)]
    named: Named,
    policy_name: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ActionInput {
    #[serde(flatten)]
    named: Named,
    scheduled_action_name: Option<String>,
}

pub(crate) async fn policy(cx: &Context<'_>, input: PolicyInput) -> Result<Nothing, ScalingError> {
    delete(cx, input.named, RuleKind::Policy, ("policyName", input.policy_name)).await
}

pub(crate) async fn action(cx: &Context<'_>, input: ActionInput) -> Result<Nothing, ScalingError> {
    delete(cx, input.named, RuleKind::Action, ("scheduledActionName", input.scheduled_action_name)).await
}

async fn delete(
    cx: &Context<'_>,
    named: Named,
    kind: RuleKind,
    (at, name): (&str, Option<String>),
) -> Result<Nothing, ScalingError> {
    let mut checks = Checks::new();
    named.required(&mut checks);
    match &name {
        Some(name) => checks::text(&mut checks, at, name),
        None => drop(checks.required::<String>(at, None)),
    }
    finish(checks)?;
    let (resource, _) = named.target(cx)?;
    let name = name.unwrap_or_default();
    let _changes = cx.scaler.changes().await;
    if cx.store().delete_scaling_rule(cx.scope, kind, &resource, &name).await? {
        return Ok(Nothing {});
    }
    let (what, label) = match kind {
        RuleKind::Policy => ("scaling policy found", "policy name"),
        RuleKind::Action => ("scheduled action found", "scheduled action name"),
    };
    Err(ScalingError::not_found(what, &resource, format!(", {label}: {name}")))
}
