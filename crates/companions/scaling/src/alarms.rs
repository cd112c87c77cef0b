//! The settings of a target-tracking policy, on the wire and in the store.

use lambd_store::scaling::RuleRow;
use lambd_types::Scope;
use serde::{Deserialize, Serialize};

use crate::error::ScalingError;
use crate::resource::{alarm_arn, alarm_name};
use crate::shapes::Alarm as AlarmShape;
use crate::tracking::{Alarm, Tracking};

/// `TargetTrackingScalingPolicyConfiguration`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Configuration {
    pub(crate) target_value: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) predefined_metric_specification: Option<PredefinedMetric>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) customized_metric_specification: Option<serde_json::Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) scale_out_cooldown: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) scale_in_cooldown: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) disable_scale_in: Option<bool>,
}

/// `PredefinedMetricSpecification`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct PredefinedMetric {
    pub(crate) predefined_metric_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) resource_label: Option<String>,
}

/// What the store keeps of a policy.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct PolicySettings {
    pub(crate) configuration: Configuration,
    /// The end of the name of its alarm of that kind.
    pub(crate) alarm_high: String,
    /// The same; a policy that never scales in has none.
    pub(crate) alarm_low: Option<String>,
}

impl PolicySettings {
    pub(crate) fn of(row: &RuleRow) -> Result<Self, ScalingError> {
        Ok(serde_json::from_str(&row.settings)?)
    }

    pub(crate) fn tracking(&self) -> Tracking {
        let millis = |seconds: Option<i64>| seconds.unwrap_or(0).saturating_mul(1000);
        Tracking {
            target: self.configuration.target_value.unwrap_or(1.0),
            out_cooldown: millis(self.configuration.scale_out_cooldown),
            in_cooldown: millis(self.configuration.scale_in_cooldown),
            disable_in: self.configuration.disable_scale_in.unwrap_or(false),
        }
    }

    /// Its alarms as clients see them.
    pub(crate) fn alarms(&self, scope: &Scope, resource: &str) -> Vec<AlarmShape> {
        let high = Some((Alarm::High, &self.alarm_high));
        let low = self.alarm_low.as_ref().map(|id| (Alarm::Low, id));
        let shape = |(alarm, id): (Alarm, &String)| {
            let alarm_name = alarm_name(resource, alarm, id);
            AlarmShape { alarm_arn: alarm_arn(scope, &alarm_name), alarm_name }
        };
        high.into_iter().chain(low).map(shape).collect()
    }

    /// Why an activity happens.
    pub(crate) fn cause(&self, row: &RuleRow, alarm: Alarm) -> String {
        let id = match alarm {
            Alarm::High => &self.alarm_high,
            Alarm::Low => self.alarm_low.as_ref().unwrap_or(&self.alarm_high),
        };
        let name = alarm_name(&row.resource, alarm, id);
        format!("monitor alarm {name} in state ALARM triggered policy {}", row.name)
    }
}
