//! Changing capacities, and the task that does it by itself.

use std::sync::Arc;

use lambd_store::Store;
use lambd_store::scaling::TargetRow;
use lambd_types::{Clock, FunctionTarget, Scope, UnixMillis};
use tokio::sync::{Mutex, MutexGuard, Notify};
use tokio::task::JoinHandle;

use crate::ScalingService;
use crate::activities::{Activity, Status};
use crate::error::ScalingError;
use crate::ports::{Capacities, CapacityError};
use crate::resource;
use crate::turn;

/// How long activities are told of.
const REMEMBERED: i64 = 42 * 86_400_000;

/// What service and task share.
pub(crate) struct Scaler {
    pub(crate) store: Arc<Store>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) capacities: Arc<dyn Capacities>,
    changes: Mutex<()>,
    /// Something changed that the task should look at.
    pub(crate) changed: Notify,
}

/// Application Auto Scaling.
pub struct Scaling {
    pub(crate) scaler: Arc<Scaler>,
}

/// Ends the crate's task.
#[derive(Debug)]
pub struct ScalingHandle {
    task: JoinHandle<()>,
}

impl Scaling {
    /// What is to scale `capacities`; `clock` tells and waits for times of day.
    pub fn new(store: Arc<Store>, clock: Arc<dyn Clock>, capacities: Arc<dyn Capacities>) -> Self {
        let (changes, changed) = (Mutex::default(), Notify::new());
        Self { scaler: Arc::new(Scaler { store, clock, capacities, changes, changed }) }
    }

    /// The endpoint, for the listener.
    pub fn service(&self) -> Arc<ScalingService> {
        Arc::new(ScalingService::new(self.scaler.clone()))
    }

    /// Starts to scale in the current runtime; what an earlier daemon left is done first.
    pub fn start(self) -> ScalingHandle {
        ScalingHandle { task: tokio::spawn(turn::run(self.scaler)) }
    }
}

impl ScalingHandle {
    /// Scales nothing any more. What was begun is followed by the next daemon.
    pub async fn shutdown(self) {
        self.task.abort();
        // Cancelled is what was asked for; a panic was already reported by the runtime.
        let _ = self.task.await;
    }
}

impl Scaler {
    /// Holds off other changes of targets and rules while it is held.
    pub(crate) async fn changes(&self) -> MutexGuard<'_, ()> {
        self.changes.lock().await
    }

    pub(crate) fn now(&self) -> UnixMillis {
        self.clock.now()
    }

    /// The function of a stored resource.
    pub(crate) fn function(&self, scope: &Scope, resource: &str) -> Result<FunctionTarget, ScalingError> {
        resource::parse(scope, resource).ok_or_else(|| ScalingError::Damaged(resource.to_owned()))
    }

    /// Writes an activity down, forgets the oldest ones, and returns its number.
    pub(crate) async fn record(
        &self,
        scope: &Scope,
        resource: &str,
        activity: &Activity,
    ) -> Result<i64, ScalingError> {
        let now = self.now();
        let number = self.store.add_scaling_activity(&activity.row(scope, resource, now)?).await?;
        self.store.prune_scaling_activities(UnixMillis(now.0.saturating_sub(REMEMBERED))).await?;
        Ok(number)
    }

    /// Brings the capacity of a target between its bounds. The caller holds [`Self::changes`].
    pub(crate) async fn bring_into_range(&self, target: &TargetRow) -> Result<(), ScalingError> {
        let function = self.function(&target.scope, &target.resource)?;
        // What is gone cannot be scaled: that is tried all the same, and told.
        let requested = self.capacities.capacity(&function).await?.map_or(0, |capacity| capacity.requested);
        let (to, which) = if requested < target.min {
            (target.min, "minimum")
        } else if requested > target.max {
            (target.max, "maximum")
        } else {
            return Ok(());
        };
        let activity = Activity::scaling(to, format!("{which} capacity was set to {to}"));
        self.scale(target, &function, activity).await.map(drop)
    }

    /// Changes the capacity to what an activity says, and writes it down. Returns whether the change was taken. The
    /// caller holds [`Self::changes`].
    pub(crate) async fn scale(
        &self,
        target: &TargetRow,
        function: &FunctionTarget,
        mut activity: Activity,
    ) -> Result<bool, ScalingError> {
        let to = activity.desired.unwrap_or_default();
        self.override_open(target).await?;
        // Whoever sees the new capacity also finds the activity.
        let number = self.record(&target.scope, &target.resource, &activity).await?;
        let set = self.capacities.set(function, to).await;
        match &set {
            Ok(()) => tracing::info!(resource = target.resource, to, cause = activity.cause, "scaling"),
            Err(CapacityError(reason)) => {
                tracing::warn!(resource = target.resource, to, reason, "cannot scale");
                activity.end(Status::Failed, Some(reason), self.now());
                self.end(number, &activity).await?;
            }
        }
        // Somebody must see to its end.
        self.changed.notify_one();
        Ok(set.is_ok())
    }

    /// Writes down that an activity is over.
    pub(crate) async fn end(&self, number: i64, activity: &Activity) -> Result<(), ScalingError> {
        Ok(self.store.end_scaling_activity(number, &serde_json::to_string(activity)?).await?)
    }

    /// Ends what another change of the same target was still to bring.
    async fn override_open(&self, target: &TargetRow) -> Result<(), ScalingError> {
        for row in self.store.open_scaling_activities().await? {
            if row.scope == target.scope && row.resource == target.resource {
                let mut activity = Activity::of(&row)?;
                activity.end(Status::Overridden, None, self.now());
                self.end(row.number, &activity).await?;
            }
        }
        Ok(())
    }
}
