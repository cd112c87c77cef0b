//! Amazon Resource Names of functions (CORE-127..129).

use std::fmt::Display;

use crate::Scope;

/// The partition that a region belongs to, the second field of an ARN.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Partition(&'static str);

impl Partition {
    /// `aws`, `aws-cn` or `aws-us-gov` by the region's name.
    pub fn of(region: &str) -> Self {
        Self(match region {
            r if r.starts_with("cn-") => "aws-cn",
            r if r.starts_with("us-gov-") => "aws-us-gov",
            _ => "aws",
        })
    }

    /// The name.
    pub fn as_str(self) -> &'static str {
        self.0
    }
}

/// The unqualified ARN of a function.
pub fn function_arn(scope: &Scope, name: &impl Display) -> String {
    let partition = Partition::of(scope.region.as_str()).as_str();
    format!("arn:{partition}:lambda:{}:{}:function:{name}", scope.region, scope.account)
}
