//! What was done, as the store keeps it and as clients see it.

use lambd_store::scaling::ActivityRow;
use lambd_types::{Scope, UnixMillis, random};
use serde::{Deserialize, Serialize};

use crate::error::ScalingError;
use crate::shapes::NotScaledReason;
use crate::tracking::{Alarm, NotScaled, Situation};

/// How an activity stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Status {
    InProgress,
    Successful,
    Overridden,
    Unfulfilled,
    Failed,
}

/// What the store keeps of an activity beside what it finds it by.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Activity {
    pub(crate) id: String,
    pub(crate) description: String,
    pub(crate) cause: String,
    pub(crate) status: Status,
    pub(crate) message: Option<String>,
    pub(crate) ended: Option<i64>,
    /// The capacity that it is to bring.
    pub(crate) desired: Option<u32>,
    /// A policy raised the capacity: its cooldown begins when this is over.
    pub(crate) raised_by_policy: bool,
    pub(crate) not_scaled: Option<NotScaledReason>,
}

impl Activity {
    pub(crate) fn of(row: &ActivityRow) -> Result<Self, ScalingError> {
        Ok(serde_json::from_str(&row.document)?)
    }

    fn new(description: String, cause: String, status: Status) -> Self {
        Self {
            id: random::uuid(),
            description,
            cause,
            status,
            message: None,
            ended: None,
            desired: None,
            raised_by_policy: false,
            not_scaled: None,
        }
    }

    /// A change of the capacity that begins.
    pub(crate) fn scaling(to: u32, cause: String) -> Self {
        let description = format!("Setting desired concurrency to {to}.");
        Self { desired: Some(to), ..Self::new(description, cause, Status::InProgress) }
    }

    /// A change of the bounds by a scheduled action.
    pub(crate) fn bounds(min: Option<u32>, max: Option<u32>, action: &str) -> Self {
        let description = format!("Setting {}", bounds(min, max));
        let cause = format!("scheduled action name {action} was triggered");
        let message = Some(format!("Successfully set {}", bounds(min, max)));
        Self { message, ..Self::new(description, cause, Status::Successful) }
    }

    /// The same when it failed.
    pub(crate) fn bounds_failed(
        (min, max): (Option<u32>, Option<u32>),
        action: &str,
        reason: &str,
        now: UnixMillis,
    ) -> Self {
        let message = Some(format!("Failed to set {}. Reason: {reason}", bounds(min, max)));
        Self { status: Status::Failed, message, ended: Some(now.0), ..Self::bounds(min, max, action) }
    }

    /// An alarm that changed nothing.
    pub(crate) fn unscaled(reason: NotScaled, situation: &Situation, cause: String) -> Self {
        let (code, max_capacity, min_capacity) = match reason {
            NotScaled::Max => ("AlreadyAtMaxCapacity", Some(situation.max), None),
            NotScaled::Min => ("AlreadyAtMinCapacity", None, Some(situation.min)),
            NotScaled::Desired => ("AlreadyAtDesiredCapacity", None, None),
        };
        let current_capacity = Some(situation.capacity);
        let reason = NotScaledReason { code: code.to_owned(), max_capacity, min_capacity, current_capacity };
        let description = "Attempting to scale due to alarm triggered".to_owned();
        let ended = Some(situation.now.0);
        Self { not_scaled: Some(reason), ended, ..Self::new(description, cause, Status::Unfulfilled) }
    }

    /// Ends it.
    pub(crate) fn end(&mut self, status: Status, reason: Option<&str>, now: UnixMillis) {
        let to = self.desired.unwrap_or_default();
        (self.status, self.ended) = (status, Some(now.0));
        self.message = Some(match (status, reason) {
            (Status::Failed, reason) => {
                format!("Failed to set desired concurrency to {to}. Reason: {}", reason.unwrap_or("unknown"))
            }
            (Status::Overridden, _) => "The desired concurrency was changed meanwhile.".to_owned(),
            _ => format!(
                "Successfully set desired concurrency to {to}. Change successfully fulfilled by lambda."
            ),
        });
    }

    /// As a row of the store.
    pub(crate) fn row(
        &self,
        scope: &Scope,
        resource: &str,
        started: UnixMillis,
    ) -> Result<ActivityRow, ScalingError> {
        Ok(ActivityRow {
            number: 0,
            scope: scope.clone(),
            resource: resource.to_owned(),
            started,
            open: self.status == Status::InProgress,
            scaled: self.not_scaled.is_none(),
            document: serde_json::to_string(self)?,
        })
    }
}

/// The direction of an alarm's step.
pub(crate) fn raises(alarm: Alarm) -> bool {
    alarm == Alarm::High
}

fn bounds(min: Option<u32>, max: Option<u32>) -> String {
    let parts = [("min", min), ("max", max)];
    let parts =
        parts.into_iter().filter_map(|(which, value)| Some(format!("{which} capacity to {}", value?)));
    parts.collect::<Vec<_>>().join(" and ")
}
