//! Patterns of the API model that more than one action checks.

use lambd_api::{Violations, patterns};

/// Checks a text against a pattern of the model.
pub(crate) fn pattern(
    violations: &mut Violations,
    at: &str,
    text: Option<&String>,
    pattern: &str,
    matches: impl Fn(&str) -> bool,
) {
    if let Some(text) = text.filter(|text| !matches(text)) {
        violations.pattern(text, at, pattern);
    }
}

/// Checks that a required member is there.
pub(crate) fn required<T>(violations: &mut Violations, at: &str, member: Option<&T>) {
    if member.is_none() {
        violations.missing(at);
    }
}

/// Checks that a member is one of a set. `shown` is the set in the service's order.
pub(crate) fn one_of(violations: &mut Violations, at: &str, text: Option<&String>, shown: &[&str]) {
    if let Some(text) = text.filter(|text| !shown.contains(&text.as_str())) {
        violations.enumeration(text, at, shown);
    }
}

/// Checks the ARN of anything (API-057).
pub(crate) fn arn(violations: &mut Violations, at: &str, text: Option<&String>) {
    pattern(violations, at, text, patterns::ARN, is_arn);
}

/// Checks the ARN of a key or a queue, which may be empty to have none (API-059).
pub(crate) fn arn_or_empty(violations: &mut Violations, at: &str, text: Option<&String>) {
    pattern(violations, at, text, patterns::ARN_OR_EMPTY, |text| text.is_empty() || is_short_arn(text));
}

/// `arn:partition:service:` and anything.
fn is_short_arn(text: &str) -> bool {
    let parts: Vec<&str> = text.splitn(4, ':').collect();
    let [arn, partition, service, rest] = parts[..] else { return false };
    let known = |rest: &str| all(rest, |b| b.is_ascii_alphabetic() || b == b'-');
    arn == "arn"
        && (partition.is_empty() || partition.strip_prefix("aws").is_some_and(known))
        && !service.is_empty()
        && all(service, |b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'.')
        && !rest.contains('\n')
}

/// `arn:partition:service:region:account:resource`; region and account may be empty.
pub(crate) fn is_arn(text: &str) -> bool {
    let parts: Vec<&str> = text.splitn(6, ':').collect();
    let [arn, partition, service, region, account, resource] = parts[..] else { return false };
    arn == "arn"
        && partition
            .strip_prefix("aws")
            .is_some_and(|rest| all(rest, |b| b.is_ascii_alphanumeric() || b == b'-'))
        && !service.is_empty()
        && all(service, |b| b.is_ascii_alphanumeric() || b == b'-')
        && (region.is_empty() || is_region(region))
        && (account.is_empty() || is_account(account))
        && !resource.contains('\n')
}

/// Twelve digits.
pub(crate) fn is_account(text: &str) -> bool {
    text.len() == 12 && all(text, |b| b.is_ascii_digit())
}

/// `us-east-1`, `us-gov-west-1`, `us-isob-east-1`.
pub(crate) fn is_region(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    let (country, direction, number) = match parts[..] {
        [country, direction, number] => (country, direction, number),
        [country, special, direction, number] if special == "gov" || special.starts_with("iso") => {
            (country, direction, number)
        }
        _ => return false,
    };
    let letters = |text: &str| !text.is_empty() && all(text, |b| b.is_ascii_lowercase());
    country.len() == 2
        && letters(country)
        && letters(direction)
        && number.len() == 1
        && all(number, |b| b.is_ascii_digit())
}

/// Whether every byte is of a kind.
pub(crate) fn all(text: &str, kind: impl Fn(u8) -> bool) -> bool {
    text.bytes().all(kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// API-059.
    #[test]
    fn keys_and_queues_are_short_arns_or_nothing() {
        let refused = |text: &str| {
            let mut violations = Violations::default();
            arn_or_empty(&mut violations, "kMSKeyArn", Some(&text.to_owned()));
            violations.into_result().is_err()
        };
        for good in ["", "arn:aws:kms:us-east-2:123456789012:key/k", "arn::sqs:q", "arn:aws-cn:a.b-1:"] {
            assert!(!refused(good), "{good}");
        }
        for bad in ["key", "arn:aws:kms", "arn:gcp:kms:k", "arn:aws:KMS:k", "arn:aws::k", "arn:aws1:kms:k"] {
            assert!(refused(bad), "{bad}");
        }
    }

    /// API-057, API-622.
    #[test]
    fn arns_have_six_parts() {
        for good in [
            "arn:aws:s3:::bucket",
            "arn:aws:sns:us-east-2:123456789012:topic",
            "arn:aws-us-gov:sqs:us-gov-west-1:123456789012:queue",
            "arn:aws:events:us-east-2:123456789012:rule/a:b",
            "arn:aws:s3:::",
        ] {
            assert!(is_arn(good), "{good}");
        }
        for bad in [
            "",
            "arn:aws:s3:::\n",
            "arn:aws:s3",
            "arn:gcp:s3:::bucket",
            "arn:aws::::bucket",
            "arn:aws:sns:mars:123456789012:topic",
            "arn:aws:sns:us-east-2:1234:topic",
        ] {
            assert!(!is_arn(bad), "{bad}");
        }
    }
}
