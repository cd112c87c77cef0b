//! The operations: input, checks, effect, output.

pub(crate) mod delete_rule;
pub(crate) mod deregister_scalable_target;
mod describe_rules;
pub(crate) mod describe_scalable_targets;
pub(crate) mod describe_scaling_activities;
pub(crate) mod describe_scaling_policies;
pub(crate) mod describe_scheduled_actions;
pub(crate) mod put_scaling_policy;
pub(crate) mod put_scheduled_action;
pub(crate) mod register_scalable_target;
pub(crate) mod tagging;

/// What the API can be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operation {
    DeleteScalingPolicy,
    DeleteScheduledAction,
    DeregisterScalableTarget,
    DescribeScalableTargets,
    DescribeScalingActivities,
    DescribeScalingPolicies,
    DescribeScheduledActions,
    ListTagsForResource,
    PutScalingPolicy,
    PutScheduledAction,
    RegisterScalableTarget,
    TagResource,
    UntagResource,
}

impl Operation {
    /// The operation of that name.
    pub(crate) fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "DeleteScalingPolicy" => Self::DeleteScalingPolicy,
            "DeleteScheduledAction" => Self::DeleteScheduledAction,
            "DeregisterScalableTarget" => Self::DeregisterScalableTarget,
            "DescribeScalableTargets" => Self::DescribeScalableTargets,
            "DescribeScalingActivities" => Self::DescribeScalingActivities,
            "DescribeScalingPolicies" => Self::DescribeScalingPolicies,
            "DescribeScheduledActions" => Self::DescribeScheduledActions,
            "ListTagsForResource" => Self::ListTagsForResource,
            "PutScalingPolicy" => Self::PutScalingPolicy,
            "PutScheduledAction" => Self::PutScheduledAction,
            "RegisterScalableTarget" => Self::RegisterScalableTarget,
            "TagResource" => Self::TagResource,
            "UntagResource" => Self::UntagResource,
            _ => return None,
        })
    }
}
