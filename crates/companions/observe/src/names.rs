//! Names and ARNs of groups and streams.

use lambd_http::protocol::validation::Checks;
use lambd_types::{Partition, Scope};

use crate::error::LogsError;

const GROUP_PATTERN: &str = r"[\.\-_/#A-Za-z0-9]+";
const STREAM_PATTERN: &str = "[^:*]*";
const MAX: usize = 512;

/// Checks a group name, or a part of one, given as the member `at`.
pub(crate) fn check_group(checks: &mut Checks, at: &str, name: &str) {
    checks.length(at, name, 1, MAX);
    checks.pattern(at, name, GROUP_PATTERN, |c| c.is_ascii_alphanumeric() || ".-_/#".contains(c));
}

/// Checks a stream name, or a part of one, given as the member `at`.
pub(crate) fn check_stream(checks: &mut Checks, at: &str, name: &str) {
    checks.length(at, name, 1, MAX);
    checks.pattern(at, name, STREAM_PATTERN, |c| c != ':' && c != '*');
}

/// Checks the required member `logGroupName`.
pub(crate) fn required_group(checks: &mut Checks, name: Option<String>) -> String {
    required(checks, "logGroupName", name, check_group)
}

/// Checks the required member `logStreamName`.
pub(crate) fn required_stream(checks: &mut Checks, name: Option<String>) -> String {
    required(checks, "logStreamName", name, check_stream)
}

fn required(
    checks: &mut Checks,
    at: &str,
    name: Option<String>,
    check: fn(&mut Checks, &str, &str),
) -> String {
    match name {
        Some(name) => {
            check(checks, at, &name);
            name
        }
        None => checks.required(at, None),
    }
}

/// The group meant by `logGroupName` or `logGroupIdentifier`, of which a caller gives one.
pub(crate) fn group_of(
    checks: &mut Checks,
    scope: &Scope,
    name: Option<String>,
    identifier: Option<String>,
) -> Result<String, LogsError> {
    match (name, identifier) {
        (Some(_), Some(_)) => {
            Err(LogsError::invalid("LogGroup name and LogGroup ARN are mutually exclusive parameters."))
        }
        (None, Some(identifier)) if identifier.starts_with("arn:") => group_of_arn(scope, &identifier),
        (None, Some(name)) => {
            check_group(checks, "logGroupIdentifier", &name);
            Ok(name)
        }
        (name, None) => Ok(required_group(checks, name)),
    }
}

/// The name in the ARN of a group of this account and region.
pub(crate) fn group_of_arn(scope: &Scope, arn: &str) -> Result<String, LogsError> {
    // arn:aws:logs:region:account:log-group:name, with ":*" where all streams are meant.
    let fields: Vec<&str> = arn.split(':').collect();
    match fields.as_slice() {
        ["arn", _, "logs", region, account, "log-group", name]
        | ["arn", _, "logs", region, account, "log-group", name, "*"] => {
            if *region != scope.region.as_str() || *account != scope.account.as_str() {
                return Err(LogsError::GroupNotFound);
            }
            Ok((*name).to_owned())
        }
        _ => Err(LogsError::invalid("The specified ARN is not a valid log group ARN.")),
    }
}

/// The ARN of a group.
pub(crate) fn group_arn(scope: &Scope, group: &str) -> String {
    let partition = Partition::of(scope.region.as_str()).as_str();
    format!("arn:{partition}:logs:{}:{}:log-group:{group}", scope.region, scope.account)
}

#[cfg(test)]
mod tests {
    use lambd_types::{AccountId, Region};

    use super::*;

    #[test]
    fn arns_come_back() {
        let scope = Scope { account: AccountId::default_local(), region: Region::default_local() };
        let arn = group_arn(&scope, "/aws/lambda/f");
        assert_eq!(arn, "arn:aws:logs:us-east-1:000000000000:log-group:/aws/lambda/f");
        assert_eq!(group_of_arn(&scope, &arn).unwrap(), "/aws/lambda/f");
        assert_eq!(group_of_arn(&scope, &format!("{arn}:*")).unwrap(), "/aws/lambda/f");
        let other = arn.replace("us-east-1", "eu-west-1");
        assert!(matches!(group_of_arn(&scope, &other), Err(LogsError::GroupNotFound)));
        assert!(matches!(group_of_arn(&scope, "arn:aws:s3:::b"), Err(LogsError::InvalidParameter(_))));
    }

    #[test]
    fn names_follow_their_patterns() {
        let check = |f: fn(&mut Checks, &str, &str), name: &str| {
            let mut checks = Checks::new();
            f(&mut checks, "n", name);
            checks.finish().is_ok()
        };
        assert!(check(check_group, "/aws/lambda/my-function_1.x#"));
        assert!(
            !check(check_group, "a b") && !check(check_group, "") && !check(check_group, &"a".repeat(513))
        );
        assert!(check(check_stream, "2020/01/31/[$LATEST]3893xmpl"));
        assert!(!check(check_stream, "a:b") && !check(check_stream, "a*"));
    }
}
