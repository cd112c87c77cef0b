//! What is scaled, and its ARNs.

use lambd_store::scaling::TargetRow;
use lambd_types::{FunctionName, FunctionTarget, Partition, Qualifier, Scope, Version, random};

use crate::tracking::Alarm;

/// The one namespace that is served.
pub(crate) const NAMESPACE: &str = "lambda";
/// Its one dimension.
pub(crate) const DIMENSION: &str = "lambda:function:ProvisionedConcurrency";

/// The version or alias that `function:NAME:QUALIFIER` names; `None` for what can have no provisioned concurrency.
pub(crate) fn parse(scope: &Scope, resource: &str) -> Option<FunctionTarget> {
    let (name, qualifier) = resource.strip_prefix("function:")?.split_once(':')?;
    let qualifier = Qualifier::parse(qualifier).ok()?;
    if qualifier == Qualifier::Version(Version::Latest) {
        return None;
    }
    Some(FunctionTarget { scope: scope.clone(), name: FunctionName::parse(name).ok()?, qualifier })
}

/// The end of a new target's ARN.
pub(crate) fn new_id() -> String {
    random::hex(&random::bytes::<18>())
}

/// The ARN of a target.
pub(crate) fn target_arn(scope: &Scope, id: &str) -> String {
    format!("{}:scalable-target/{id}", prefix(scope, "application-autoscaling"))
}

/// The end of a target's ARN in this account and region.
pub(crate) fn id_of_arn<'a>(scope: &Scope, arn: &'a str) -> Option<&'a str> {
    arn.strip_prefix(&prefix(scope, "application-autoscaling"))?.strip_prefix(":scalable-target/")
}

/// The ARN of a policy.
pub(crate) fn policy_arn(target: &TargetRow, name: &str) -> String {
    let TargetRow { scope, resource, family, .. } = target;
    let prefix = prefix(scope, "autoscaling");
    format!("{prefix}:scalingPolicy:{family}:resource/{NAMESPACE}/{resource}:policyName/{name}")
}

/// The ARN of a scheduled action.
pub(crate) fn action_arn(target: &TargetRow, name: &str) -> String {
    let TargetRow { scope, resource, family, .. } = target;
    let prefix = prefix(scope, "autoscaling");
    format!("{prefix}:scheduledAction:{family}:resource/{NAMESPACE}/{resource}:scheduledActionName/{name}")
}

/// The name of an alarm (CORE-186).
pub(crate) fn alarm_name(resource: &str, alarm: Alarm, id: &str) -> String {
    let kind = match alarm {
        Alarm::High => "AlarmHigh",
        Alarm::Low => "AlarmLow",
    };
    format!("TargetTracking-{resource}-{kind}-{id}")
}

/// The ARN of an alarm.
pub(crate) fn alarm_arn(scope: &Scope, name: &str) -> String {
    format!("{}:alarm:{name}", prefix(scope, "cloudwatch"))
}

/// The role that scales on AWS. Nothing is asked of it here.
pub(crate) fn role_arn(scope: &Scope) -> String {
    let partition = Partition::of(scope.region.as_str()).as_str();
    format!(
        "arn:{partition}:iam::{}:role/aws-service-role/lambda.application-autoscaling.amazonaws.com/\
         AWSServiceRoleForApplicationAutoScaling_LambdaConcurrency",
        scope.account
    )
}

fn prefix(scope: &Scope, service: &str) -> String {
    let partition = Partition::of(scope.region.as_str()).as_str();
    format!("arn:{partition}:{service}:{}:{}", scope.region, scope.account)
}

#[cfg(test)]
mod tests {
    use lambd_types::{AccountId, Region};

    use super::*;

    #[test]
    fn resources_name_versions_and_aliases() {
        let scope = Scope { account: AccountId::default_local(), region: Region::default_local() };
        let found = parse(&scope, "function:my-function:BLUE").unwrap();
        assert_eq!(
            (found.name.to_string(), found.qualifier.to_string()),
            ("my-function".into(), "BLUE".into())
        );
        assert!(parse(&scope, "function:f:7").is_some());
        let bad = [
            "",
            "function:f",
            "function:f:",
            "function:f:$LATEST",
            "function::1",
            "f:1",
            "table/t",
            "function:f:a:b",
        ];
        for bad in bad {
            assert!(parse(&scope, bad).is_none(), "{bad}");
        }
        let arn = target_arn(&scope, "abc");
        assert_eq!(arn, "arn:aws:application-autoscaling:us-east-1:000000000000:scalable-target/abc");
        assert_eq!(id_of_arn(&scope, &arn), Some("abc"));
        assert_eq!(id_of_arn(&scope, &arn.replace("us-east-1", "us-east-2")), None);
    }
}
