//! `PutScheduledAction`: bounds that are changed at a time.

use lambd_http::protocol::validation::Checks;
use lambd_store::scaling::{RuleKind, RuleRow};
use lambd_types::UnixMillis;
use serde::Deserialize;

use super::register_scalable_target::capacity;
use crate::checks::{self, Named, finish};
use crate::error::ScalingError;
use crate::schedule::{Plan, ScheduleError};
use crate::service::{Context, Nothing};
use crate::shapes::{ActionSettings, ScalableTargetAction, millis};

/// Most scheduled actions of a target.
const MAX_ACTIONS: u64 = 200;
const NAME_PATTERN: &str = r"(?!((^[ ]+.*)|(.*([\u0000-\u001f]|[\u007f-\u009f]|[:/|])+.*)|(.*[ ]+$))).+";

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Input {
    #[serde(flatten)]
    named: Named,
    schedule: Option<String>,
    timezone: Option<String>,
    scheduled_action_name: Option<String>,
    start_time: Option<f64>,
    end_time: Option<f64>,
    scalable_target_action: Option<ScalableTargetAction>,
}

pub(crate) async fn run(cx: &Context<'_>, input: Input) -> Result<Nothing, ScalingError> {
    let mut checks = Checks::new();
    input.named.required(&mut checks);
    let name = checks.required("scheduledActionName", input.scheduled_action_name.clone());
    if input.scheduled_action_name.is_some() {
        let is_bare = name.trim_matches(' ') == name;
        let is_allowed = |c: char| !c.is_control() && !":/|".contains(c);
        checks::name(&mut checks, "scheduledActionName", &name, NAME_PATTERN, is_allowed);
        if !is_bare {
            checks.pattern("scheduledActionName", &name, NAME_PATTERN, |_| false);
        }
    }
    for (at, text) in [("schedule", &input.schedule), ("timezone", &input.timezone)] {
        if let Some(text) = text {
            checks::text(&mut checks, at, text);
        }
    }
    finish(checks)?;
    let (resource, _) = input.named.target(cx)?;

    let _changes = cx.scaler.changes().await;
    cx.registered(&resource).await?;
    let before = cx.store().scaling_rule(cx.scope, RuleKind::Action, &resource, &name).await?;
    let created = before.as_ref().map_or(cx.now(), |before| before.created);
    if before.is_none()
        && cx.store().count_scaling_rules(cx.scope, RuleKind::Action, &resource).await? >= MAX_ACTIONS
    {
        let text = format!("A scalable target can have {MAX_ACTIONS} scheduled actions");
        return Err(ScalingError::LimitExceeded(text));
    }
    let settings = settings(input, before.as_ref())?;
    let due = due(&settings, created, cx.now())?;
    let settings = serde_json::to_string(&settings)?;
    let scope = cx.scope.clone();
    let row = RuleRow { scope, kind: RuleKind::Action, resource, name, settings, created, due: Some(due) };
    cx.store().put_scaling_rule(&row).await?;
    cx.scaler.changed.notify_one();
    Ok(Nothing {})
}

/// What is new, and what stays of an action that is there already: its schedule, zone and bounds where nothing is said of
/// them, but not its start and end.
fn settings(input: Input, before: Option<&RuleRow>) -> Result<ActionSettings, ScalingError> {
    let before: Option<ActionSettings> = before.map(|row| serde_json::from_str(&row.settings)).transpose()?;
    let schedule = input.schedule.or_else(|| before.as_ref().map(|before| before.schedule.clone()));
    let Some(schedule) = schedule else {
        return Err(ScalingError::invalid("Schedule is required to create a scheduled action"));
    };
    let (min, max) = match (input.scalable_target_action, &before) {
        (Some(ScalableTargetAction { min_capacity, max_capacity }), _) => {
            (capacity(min_capacity, "MinCapacity")?, capacity(max_capacity, "MaxCapacity")?)
        }
        (None, Some(before)) => (before.min, before.max),
        (None, None) => (None, None),
    };
    match (min, max) {
        (None, None) => {
            return Err(ScalingError::invalid("ScalableTargetAction needs MinCapacity, MaxCapacity or both"));
        }
        (Some(min), Some(max)) if max < min => {
            return Err(ScalingError::invalid("Maximum capacity cannot be less than minimum capacity"));
        }
        _ => {}
    }
    let at = |seconds: Option<f64>| seconds.map(|seconds| millis(seconds).0);
    let (start, end) = (at(input.start_time), at(input.end_time));
    if start.zip(end).is_some_and(|(start, end)| end <= start) {
        return Err(ScalingError::invalid("EndTime must be after StartTime"));
    }
    let timezone = input.timezone.or_else(|| before.and_then(|before| before.timezone));
    Ok(ActionSettings { schedule, timezone, start, end, min, max })
}

/// When it acts first.
fn due(settings: &ActionSettings, created: UnixMillis, now: UnixMillis) -> Result<UnixMillis, ScalingError> {
    let bounds = (settings.start.map(UnixMillis), settings.end.map(UnixMillis));
    let plan = Plan::new(&settings.schedule, settings.timezone.as_deref(), bounds, created);
    let plan = plan.map_err(|error| match error {
        ScheduleError::Zone(_) => ScalingError::invalid(format!("Invalid time zone. Details: {error}")),
        error => ScalingError::invalid(format!("Invalid schedule expression. Details: {error}")),
    })?;
    plan.next(now).ok_or_else(|| {
        ScalingError::invalid("Invalid schedule expression. Details: it names no time that is still to come")
    })
}
