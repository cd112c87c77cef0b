//! What clients see.

use lambd_types::UnixMillis;
use serde::{Deserialize, Serialize, Serializer};

/// A point in time on the wire: seconds with a fraction.
pub(crate) fn seconds<S: Serializer>(at: &UnixMillis, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(at.0 as f64 / 1000.0)
}

/// The same where there may be none.
pub(crate) fn maybe_seconds<S: Serializer>(
    at: &Option<UnixMillis>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match at {
        Some(at) => seconds(at, serializer),
        None => serializer.serialize_none(),
    }
}

/// A point in time from the wire.
pub(crate) fn millis(seconds: f64) -> UnixMillis {
    UnixMillis((seconds * 1000.0).round() as i64)
}

#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct SuspendedState {
    pub(crate) dynamic_scaling_in_suspended: Option<bool>,
    pub(crate) dynamic_scaling_out_suspended: Option<bool>,
    pub(crate) scheduled_scaling_suspended: Option<bool>,
}

#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ScalableTargetAction {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) min_capacity: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) max_capacity: Option<i64>,
}

#[derive(Debug, Serialize)]
pub(crate) struct Alarm {
    #[serde(rename = "AlarmName")]
    pub(crate) alarm_name: String,
    #[serde(rename = "AlarmARN")]
    pub(crate) alarm_arn: String,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct NotScaledReason {
    pub(crate) code: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) max_capacity: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) min_capacity: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) current_capacity: Option<u32>,
}

/// What the store keeps of a scheduled action; times in milliseconds since the epoch.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct ActionSettings {
    pub(crate) schedule: String,
    pub(crate) timezone: Option<String>,
    pub(crate) start: Option<i64>,
    pub(crate) end: Option<i64>,
    pub(crate) min: Option<u32>,
    pub(crate) max: Option<u32>,
}
