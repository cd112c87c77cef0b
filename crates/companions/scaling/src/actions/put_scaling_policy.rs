//! `PutScalingPolicy` (CORE-185): target tracking of the utilisation of provisioned concurrency.

use lambd_http::protocol::validation::Checks;
use lambd_store::scaling::{RuleFilter, RuleKind, RuleRow};
use lambd_types::random;
use serde::{Deserialize, Serialize};

use crate::alarms::{Configuration, PolicySettings};
use crate::checks::{self, Named, finish};
use crate::error::ScalingError;
use crate::resource::policy_arn;
use crate::service::Context;
use crate::shapes::Alarm;

const METRIC: &str = "LambdaProvisionedConcurrencyUtilization";
const TYPES: [&str; 3] = ["StepScaling", "TargetTrackingScaling", "PredictiveScaling"];
/// Targets that leave room for the alarms on both sides.
const TARGETS: std::ops::RangeInclusive<f64> = 0.1..=0.9;

const METRICS: [&str; 29] = [
    "DynamoDBReadCapacityUtilization",
    "DynamoDBWriteCapacityUtilization",
    "ALBRequestCountPerTarget",
    "RDSReaderAverageCPUUtilization",
    "RDSReaderAverageDatabaseConnections",
    "EC2SpotFleetRequestAverageCPUUtilization",
    "EC2SpotFleetRequestAverageNetworkIn",
    "EC2SpotFleetRequestAverageNetworkOut",
    "SageMakerVariantInvocationsPerInstance",
    "ECSServiceAverageCPUUtilization",
    "ECSServiceAverageMemoryUtilization",
    "AppStreamAverageCapacityUtilization",
    "ComprehendInferenceUtilization",
    METRIC,
    "CassandraReadCapacityUtilization",
    "CassandraWriteCapacityUtilization",
    "KafkaBrokerStorageUtilization",
    "ElastiCacheEngineCPUUtilization",
    "ElastiCacheDatabaseMemoryUsagePercentage",
    "ElastiCachePrimaryEngineCPUUtilization",
    "ElastiCacheReplicaEngineCPUUtilization",
    "ElastiCacheDatabaseMemoryUsageCountedForEvictPercentage",
    "NeptuneReaderAverageCPUUtilization",
    "SageMakerVariantProvisionedConcurrencyUtilization",
    "ElastiCacheDatabaseCapacityUsageCountedForEvictPercentage",
    "SageMakerInferenceComponentInvocationsPerCopy",
    "WorkSpacesAverageUserSessionsCapacityUtilization",
    "SageMakerInferenceComponentConcurrentRequestsPerCopyHighResolution",
    "SageMakerVariantConcurrentRequestsPerModelHighResolution",
];

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Input {
    #[serde(flatten)]
    named: Named,
    policy_name: Option<String>,
    policy_type: Option<String>,
    step_scaling_policy_configuration: Option<serde_json::Value>,
    target_tracking_scaling_policy_configuration: Option<Configuration>,
    predictive_scaling_policy_configuration: Option<serde_json::Value>,
}

#[derive(Debug, Serialize)]
pub(crate) struct Output {
    #[serde(rename = "PolicyARN")]
    policy_arn: String,
    #[serde(rename = "Alarms")]
    alarms: Vec<Alarm>,
}

pub(crate) async fn run(cx: &Context<'_>, input: Input) -> Result<Output, ScalingError> {
    let mut checks = Checks::new();
    input.named.required(&mut checks);
    let name = checks.required("policyName", input.policy_name.clone());
    if input.policy_name.is_some() {
        checks::name(&mut checks, "policyName", &name, r"\p{Print}+", |c| !c.is_control());
    }
    if let Some(kind) = &input.policy_type {
        checks.one_of("policyType", kind, &TYPES);
    }
    if let Some(configuration) = &input.target_tracking_scaling_policy_configuration {
        check_configuration(&mut checks, configuration);
    }
    finish(checks)?;
    let (resource, _) = input.named.target(cx)?;
    let configuration = tracking_of(input)?;
    check_metric(&configuration)?;

    let _changes = cx.scaler.changes().await;
    let target = cx.registered(&resource).await?;
    let policies = RuleFilter { resource: Some(&resource), names: &[] };
    let policies = cx.store().list_scaling_rules(cx.scope, RuleKind::Policy, policies, None, 2).await?;
    // Each policy tracks the one metric that there is.
    if policies.iter().any(|other| other.name != name) {
        let text = "Only one TargetTrackingScaling policy for a given metric specification is allowed.";
        return Err(ScalingError::invalid(text));
    }
    let before = policies.first().map(PolicySettings::of).transpose()?;
    let alarm_high = before.as_ref().map_or_else(random::uuid, |before| before.alarm_high.clone());
    let lowers = !configuration.disable_scale_in.unwrap_or(false);
    let alarm_low = lowers.then(|| before.and_then(|before| before.alarm_low).unwrap_or_else(random::uuid));
    let settings = PolicySettings { configuration, alarm_high, alarm_low };
    let row = RuleRow {
        scope: cx.scope.clone(),
        kind: RuleKind::Policy,
        resource,
        name,
        settings: serde_json::to_string(&settings)?,
        created: cx.now(),
        due: None,
    };
    cx.store().put_scaling_rule(&row).await?;
    cx.scaler.changed.notify_one();
    Ok(Output {
        policy_arn: policy_arn(&target, &row.name),
        alarms: settings.alarms(cx.scope, &row.resource),
    })
}

/// The configuration of a target-tracking policy; other types are refused.
fn tracking_of(input: Input) -> Result<Configuration, ScalingError> {
    match input.policy_type.as_deref().unwrap_or("StepScaling") {
        "TargetTrackingScaling" => {}
        kind => {
            let text = format!("Policy type {kind} is not supported for service namespace lambda");
            return Err(ScalingError::invalid(text));
        }
    }
    let others = [&input.step_scaling_policy_configuration, &input.predictive_scaling_policy_configuration];
    match input.target_tracking_scaling_policy_configuration {
        Some(configuration) if others.iter().all(|other| other.is_none()) => Ok(configuration),
        _ => Err(ScalingError::invalid(
            "Policy type TargetTrackingScaling needs a TargetTrackingScalingPolicyConfiguration and no other \
             configuration",
        )),
    }
}

fn check_configuration(checks: &mut Checks, configuration: &Configuration) {
    const AT: &str = "targetTrackingScalingPolicyConfiguration";
    if configuration.target_value.is_none() {
        checks.required::<String>(&format!("{AT}.targetValue"), None);
    }
    if let Some(metric) = &configuration.predefined_metric_specification {
        let at = format!("{AT}.predefinedMetricSpecification");
        match &metric.predefined_metric_type {
            Some(kind) => checks.one_of(&format!("{at}.predefinedMetricType"), kind, &METRICS),
            None => drop(checks.required::<String>(&format!("{at}.predefinedMetricType"), None)),
        }
        if let Some(label) = &metric.resource_label {
            checks.length(&format!("{at}.resourceLabel"), label, 1, 1023);
        }
    }
    for (at, cooldown) in [
        ("scaleOutCooldown", configuration.scale_out_cooldown),
        ("scaleInCooldown", configuration.scale_in_cooldown),
    ] {
        checks.range(&format!("{AT}.{at}"), cooldown.unwrap_or(0), 0, i64::from(i32::MAX));
    }
}

fn check_metric(configuration: &Configuration) -> Result<(), ScalingError> {
    let refused = |text: &str| Err(ScalingError::invalid(text));
    match (&configuration.predefined_metric_specification, &configuration.customized_metric_specification) {
        (Some(metric), None) if metric.predefined_metric_type.as_deref() != Some(METRIC) => {
            return Err(ScalingError::invalid(format!(
                "Metric {} is not supported for service namespace lambda; use {METRIC}",
                metric.predefined_metric_type.as_deref().unwrap_or_default()
            )));
        }
        (Some(metric), None) if metric.resource_label.is_some() => {
            return refused("A resource label is for the metric ALBRequestCountPerTarget alone");
        }
        (Some(_), None) => {}
        (None, Some(_)) => {
            return refused(
                "CustomizedMetricSpecification is not supported by lambd, which has no CloudWatch metrics; use the \
                 predefined metric LambdaProvisionedConcurrencyUtilization",
            );
        }
        _ => {
            return refused(
                "Exactly one of PredefinedMetricSpecification and CustomizedMetricSpecification is needed",
            );
        }
    }
    match configuration.target_value {
        Some(target) if TARGETS.contains(&target) => Ok(()),
        _ => {
            refused("The target value of LambdaProvisionedConcurrencyUtilization must be between 0.1 and 0.9")
        }
    }
}
