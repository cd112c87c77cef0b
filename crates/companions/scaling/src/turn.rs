//! The task: each turn sees to what is in progress, what is due, and the minutes that are over.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use lambd_store::scaling::{Progress, RuleRow, TargetRow};
use lambd_types::{Scope, UnixMillis};

use crate::activities::{self, Activity, Status};
use crate::alarms::PolicySettings;
use crate::error::ScalingError;
use crate::ports::Usage;
use crate::scaler::Scaler;
use crate::schedule::Plan;
use crate::shapes::ActionSettings;
use crate::tracking::{self, Decision, NotScaled, Point, Points, Situation};

const MINUTE: i64 = 60_000;
/// How often it is looked whether what was asked for is there: that takes as long as it takes, whatever the clock says.
const FULFILMENT: Duration = Duration::from_millis(100);
/// Pause after a turn that failed.
const AFTER_FAILURE: Duration = Duration::from_secs(5);

/// What is measured for a policy.
struct Watched {
    /// The minute that goes on.
    minute: i64,
    points: Points,
    /// What an alarm last came to without a change; it is not told each minute anew.
    stayed: Option<NotScaled>,
}

type Watches = HashMap<(Scope, String), Watched>;

/// When the next turn is.
struct Next {
    at: Option<UnixMillis>,
    /// Something is in progress.
    open: bool,
}

/// Runs until it is aborted.
pub(crate) async fn run(scaler: Arc<Scaler>) {
    let mut watches = Watches::new();
    loop {
        let next = match scaler.turn(&mut watches).await {
            Ok(next) => next,
            Err(error) => {
                tracing::error!(error = &error as &dyn std::error::Error, "scaling failed");
                tokio::time::sleep(AFTER_FAILURE).await;
                continue;
            }
        };
        let reached = async {
            match next.at {
                Some(at) => scaler.clock.reaches(at).await,
                None => std::future::pending().await,
            }
        };
        let looked = async {
            match next.open {
                true => tokio::time::sleep(FULFILMENT).await,
                false => std::future::pending().await,
            }
        };
        tokio::select! {
            () = reached => {}
            () = looked => {}
            () = scaler.changed.notified() => {}
        }
    }
}

impl Scaler {
    async fn turn(&self, watches: &mut Watches) -> Result<Next, ScalingError> {
        let _changes = self.changes().await;
        let now = self.now();
        let in_progress = self.follow(now).await?;
        self.act(now).await?;
        let policies = self.store.all_scaling_policies().await?;
        self.measure(watches, &policies, &in_progress, now).await?;
        let minute = (!policies.is_empty()).then(|| UnixMillis((now.0.div_euclid(MINUTE) + 1) * MINUTE));
        let at = [minute, self.store.next_scaling_action().await?].into_iter().flatten().min();
        Ok(Next { at, open: !self.store.open_scaling_activities().await?.is_empty() })
    }

    /// Ends the activities whose capacity is there. Returns what the others are about.
    async fn follow(&self, now: UnixMillis) -> Result<HashSet<(Scope, String)>, ScalingError> {
        let mut in_progress = HashSet::new();
        for row in self.store.open_scaling_activities().await? {
            let mut activity = Activity::of(&row)?;
            let function = self.function(&row.scope, &row.resource)?;
            let desired = activity.desired.unwrap_or_default();
            let (status, reason) = match self.capacities.capacity(&function).await {
                Ok(Some(capacity)) if capacity.requested != desired => (Status::Overridden, None),
                Ok(Some(capacity)) if capacity.allocated >= desired => (Status::Successful, None),
                Ok(Some(capacity)) => match capacity.failure {
                    Some(reason) => (Status::Failed, Some(reason)),
                    None => {
                        in_progress.insert((row.scope, row.resource));
                        continue;
                    }
                },
                Ok(None) => (Status::Failed, Some("the version or alias does not exist any more".to_owned())),
                Err(error) => (Status::Failed, Some(error.to_string())),
            };
            activity.end(status, reason.as_deref(), now);
            self.end(row.number, &activity).await?;
            if activity.raised_by_policy
                && let Some(mut target) = self.store.scaling_target(&row.scope, &row.resource).await?
            {
                // Its cooldown begins now.
                target.progress.scaled_out = Some(now.0);
                self.store.put_scaling_target(&target).await?;
            }
        }
        Ok(in_progress)
    }

    /// Does what scheduled actions were to do until now, each once: what the last one of them says is in force then.
    async fn act(&self, now: UnixMillis) -> Result<(), ScalingError> {
        let mut due = Vec::new();
        for row in self.store.due_scaling_actions(now).await? {
            match plan(&row) {
                Ok((settings, plan)) => {
                    let at = plan.last(row.due.unwrap_or(now), now);
                    due.push((at, row, settings, plan));
                }
                Err(error) => {
                    tracing::error!(action = row.name, resource = row.resource, %error, "cannot be scheduled");
                    self.store.put_scaling_rule(&RuleRow { due: None, ..row }).await?;
                }
            }
        }
        due.sort_by_key(|(at, ..)| *at);
        for (_, row, settings, plan) in due {
            // First of all, so that what fails is not done over and over.
            self.store.put_scaling_rule(&RuleRow { due: plan.next(now), ..row.clone() }).await?;
            if let Some(target) = self.store.scaling_target(&row.scope, &row.resource).await?
                && !target.suspended.scheduled
            {
                self.set_bounds(target, &row.name, &settings, now).await?;
            }
        }
        Ok(())
    }

    async fn set_bounds(
        &self,
        mut target: TargetRow,
        action: &str,
        settings: &ActionSettings,
        now: UnixMillis,
    ) -> Result<(), ScalingError> {
        let ActionSettings { min, max, .. } = *settings;
        (target.min, target.max) = (min.unwrap_or(target.min), max.unwrap_or(target.max));
        if target.max < target.min {
            let reason = "Maximum capacity cannot be less than minimum capacity";
            let activity = Activity::bounds_failed((min, max), action, reason, now);
            return self.record(&target.scope, &target.resource, &activity).await.map(drop);
        }
        self.store.put_scaling_target(&target).await?;
        self.record(&target.scope, &target.resource, &Activity::bounds(min, max, action)).await?;
        self.bring_into_range(&target).await
    }

    /// Measures the minutes that are over, and does what policies make of them.
    async fn measure(
        &self,
        watches: &mut Watches,
        policies: &[RuleRow],
        in_progress: &HashSet<(Scope, String)>,
        now: UnixMillis,
    ) -> Result<(), ScalingError> {
        let key = |row: &RuleRow| (row.scope.clone(), row.resource.clone());
        let minute = now.0.div_euclid(MINUTE);
        let wanted: HashSet<_> = policies.iter().map(key).collect();
        watches.retain(|key, _| wanted.contains(key));
        for row in policies {
            let key = key(row);
            if watches.get(&key).is_some_and(|watched| watched.minute == minute) {
                continue;
            }
            let usage = self.usage(row).await?;
            let Some(watched) = watches.get_mut(&key) else {
                // What was before is nobody's business: the first minute begins now.
                watches.insert(key, Watched { minute, points: Points::default(), stayed: None });
                continue;
            };
            add(&mut watched.points, minute - watched.minute, usage);
            watched.minute = minute;
            self.track(row, watched, in_progress.contains(&key), now).await?;
        }
        Ok(())
    }

    async fn usage(&self, row: &RuleRow) -> Result<Usage, ScalingError> {
        let function = self.function(&row.scope, &row.resource)?;
        Ok(self.capacities.usage(&function).await?.unwrap_or(Usage { peak: 0, in_use: 0, allocated: 0 }))
    }

    async fn track(
        &self,
        row: &RuleRow,
        watched: &mut Watched,
        in_progress: bool,
        now: UnixMillis,
    ) -> Result<(), ScalingError> {
        let Some(mut target) = self.store.scaling_target(&row.scope, &row.resource).await? else {
            return Ok(());
        };
        let function = self.function(&row.scope, &row.resource)?;
        let Some(capacity) = self.capacities.capacity(&function).await? else { return Ok(()) };
        let settings = PolicySettings::of(row)?;
        let situation = Situation {
            now,
            capacity: capacity.requested,
            min: target.min,
            max: target.max,
            suspended: target.suspended,
            progress: target.progress,
            in_progress,
        };
        let decision = tracking::decide(&watched.points, &settings.tracking(), &situation);
        let stayed = watched.stayed.take();
        match decision {
            Decision::Nothing => {}
            Decision::Stay { alarm, reason } => {
                watched.stayed = Some(reason);
                if stayed != Some(reason) {
                    let activity = Activity::unscaled(reason, &situation, settings.cause(row, alarm));
                    self.record(&row.scope, &row.resource, &activity).await?;
                }
            }
            Decision::Scale { alarm, to } => {
                let raised_by_policy = activities::raises(alarm);
                let activity = Activity::scaling(to, settings.cause(row, alarm));
                let activity = Activity { raised_by_policy, ..activity };
                if self.scale(&target, &function, activity).await? {
                    target.progress = progress(target.progress, capacity.requested, to, now);
                    self.store.put_scaling_target(&target).await?;
                }
            }
        }
        Ok(())
    }
}

/// Adds minutes that are over. Of several at once, the first has the peak; of the others nothing is known but how it is
/// now.
fn add(points: &mut Points, minutes: i64, usage: Usage) {
    let Usage { peak, in_use, allocated } = usage;
    if minutes > 0 {
        points.add(Point { in_use: peak, allocated });
    }
    for _ in 1..minutes.min(Points::KEPT as i64 + 1) {
        points.add(Point { in_use, allocated });
    }
}

fn progress(before: Progress, from: u32, to: u32, now: UnixMillis) -> Progress {
    match to > from {
        true => Progress { scaled_out: Some(now.0), step_out: to - from, ..before },
        false => Progress { scaled_in: Some(now.0), ..before },
    }
}

/// What a scheduled action is to do, and when.
pub(crate) fn plan(row: &RuleRow) -> Result<(ActionSettings, Plan), ScalingError> {
    let settings: ActionSettings = serde_json::from_str(&row.settings)?;
    let bounds = (settings.start.map(UnixMillis), settings.end.map(UnixMillis));
    let plan = Plan::new(&settings.schedule, settings.timezone.as_deref(), bounds, row.created);
    plan.map(|plan| (settings, plan)).map_err(|error| ScalingError::Damaged(error.to_string()))
}

#[cfg(test)]
#[path = "turn_tests.rs"]
mod tests;
