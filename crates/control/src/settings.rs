//! Checking the settings of a version and applying them to its configuration.

use lambd_api::requests::{Environment, Settings};
use lambd_api::runtimes::{self, Phase};
use lambd_api::{ApiError, Violations, patterns};
use lambd_store::functions::Configuration;
use lambd_types::{EphemeralStorage, LayerName, LayerVersionKey, MemorySize, Timeout, limits};

use crate::{Control, RuntimeDeprecation, checks, logging};

/// Variables that the platform sets and nobody may change (CORE-154).
const RESERVED: &[&str] = &[
    "_HANDLER",
    "_X_AMZN_TRACE_ID",
    "AWS_REGION",
    "AWS_DEFAULT_REGION",
    "AWS_EXECUTION_ENV",
    "AWS_LAMBDA_FUNCTION_NAME",
    "AWS_LAMBDA_FUNCTION_MEMORY_SIZE",
    "AWS_LAMBDA_FUNCTION_VERSION",
    "AWS_LAMBDA_INITIALIZATION_TYPE",
    "AWS_LAMBDA_LOG_GROUP_NAME",
    "AWS_LAMBDA_LOG_STREAM_NAME",
    "AWS_ACCESS_KEY",
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_LAMBDA_RUNTIME_API",
    "LAMBDA_TASK_ROOT",
    "LAMBDA_RUNTIME_DIR",
];

/// Adds the violations of the API model's constraints (§2.2 of the API reference).
pub(crate) fn check(s: &Settings, violations: &mut Violations) {
    if let Some(role) = &s.role
        && !is_role_arn(role)
    {
        violations.pattern(role, "role", patterns::ROLE);
    }
    if let Some(handler) = &s.handler {
        if handler.chars().count() > 128 {
            violations.too_long(handler, "handler", 128);
        }
        if handler.is_empty() || handler.contains(|c: char| c.is_whitespace() || c == '\0') {
            violations.pattern(handler, "handler", patterns::HANDLER);
        }
    }
    check_description(s.description.as_deref(), violations);
    if let Some(timeout) = s.timeout {
        violations.range(timeout, "timeout", Timeout::MIN, Timeout::MAX);
    }
    if let Some(memory) = s.memory_size {
        violations.range(memory, "memorySize", MemorySize::MIN, MemorySize::MAX);
    }
    if let Some(storage) = &s.ephemeral_storage {
        violations.range(storage.size, "ephemeralStorage.size", EphemeralStorage::MIN, EphemeralStorage::MAX);
    }
    if let Some(config) = &s.logging_config {
        logging::check(config, violations);
    }
    if let Some(mode) = s.tracing_config.as_ref().and_then(|t| t.mode.as_deref())
        && !matches!(mode, "Active" | "PassThrough")
    {
        violations.enumeration(mode, "tracingConfig.mode", &["Active", "PassThrough"]);
    }
    if let Some(mode) = s.snap_start.as_ref().and_then(|s| s.apply_on.as_deref())
        && !matches!(mode, "PublishedVersions" | "None")
    {
        violations.enumeration(mode, "snapStart.applyOn", &["PublishedVersions", "None"]);
    }
    if let Some(vpc) = &s.vpc_config {
        check_length(&vpc.subnet_ids, "vpcConfig.subnetIds", 16, violations);
        check_length(&vpc.security_group_ids, "vpcConfig.securityGroupIds", 5, violations);
    }
    let target = s.dead_letter_config.as_ref().and_then(|config| config.target_arn.as_ref());
    checks::arn_or_empty(violations, "deadLetterConfig.targetArn", target);
    checks::arn_or_empty(violations, "kMSKeyArn", s.kms_key_arn.as_ref());
    check_layers(s.layers.as_deref().unwrap_or_default(), violations);
    let variables = s.environment.as_ref().and_then(|e| e.variables.as_ref());
    if let Some(bad) = variables.and_then(|v| v.keys().find(|key| !is_variable_name(key))) {
        let constraint = format!(
            "Map keys must satisfy constraint: [Member must satisfy regular expression pattern: {}]",
            patterns::ENVIRONMENT_KEY
        );
        violations.custom(bad, "environment.variables", &constraint);
    }
}

fn check_length(list: &[String], at: &str, max: usize, violations: &mut Violations) {
    if list.len() > max {
        violations.too_long(&format!("[{}]", list.join(", ")), at, max);
    }
}

/// Checks that layers are named by ARNs of versions (API-062).
fn check_layers(layers: &[String], violations: &mut Violations) {
    if layers.iter().any(|arn| LayerVersionKey::parse_arn(arn).is_none()) {
        let constraint = format!(
            "Member must satisfy constraint: [Member must have length less than or equal to {}, Member must have \
             length greater than or equal to 1, Member must satisfy regular expression pattern: {}, Member must not \
             be null]",
            LayerName::MAX,
            patterns::LAYER_VERSION_ARN
        );
        violations.custom(&format!("[{}]", layers.join(", ")), "layers", &constraint);
    }
}

/// Checks a description: of a function, a version or an alias (API-078).
pub(crate) fn check_description(description: Option<&str>, violations: &mut Violations) {
    if let Some(description) = description
        && description.chars().count() > 256
    {
        violations.too_long(description, "description", 256);
    }
}

/// Checks the processor architecture against the model.
pub(crate) fn check_architectures(architectures: Option<&Vec<String>>, violations: &mut Violations) {
    let Some(list) = architectures else { return };
    if list.len() != 1 {
        let shown = format!("[{}]", list.join(", "));
        match list.is_empty() {
            true => violations.too_short(&shown, "architectures", 1),
            false => violations.too_long(&shown, "architectures", 1),
        }
    }
    if list.iter().any(|one| !matches!(one.as_str(), "x86_64" | "arm64")) {
        violations.custom(
            &format!("[{}]", list.join(", ")),
            "architectures",
            "Member must satisfy constraint: [Member must satisfy enum value set: [x86_64, arm64]]",
        );
    }
}

pub(crate) fn check_log_group(group: &str, violations: &mut Violations) {
    if group.len() > 512 {
        violations.too_long(group, "loggingConfig.logGroup", 512);
    }
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"._-/#".contains(&b);
    if group.is_empty() || !group.bytes().all(allowed) {
        violations.pattern(group, "loggingConfig.logGroup", patterns::LOG_GROUP);
    }
}

/// What is done with a function on a runtime.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RuntimeUse {
    /// It gets the runtime.
    Chosen,
    /// It has the runtime, and something else about it changes.
    Kept,
}

/// Refuses a runtime that functions cannot have (RT-19, RT-35..37).
pub(crate) fn check_runtime(control: &Control, runtime: &str, using: RuntimeUse) -> Result<(), ApiError> {
    let today = control.clock().now().day();
    let rule = control.options().runtime_deprecation;
    check_runtime_on(&today, rule, runtime, using)
}

fn check_runtime_on(
    today: &str,
    rule: RuntimeDeprecation,
    runtime: &str,
    using: RuntimeUse,
) -> Result<(), ApiError> {
    let known = runtimes::CREATABLE.contains(&runtime);
    if using == RuntimeUse::Chosen && !known && !runtimes::DEPRECATED.contains(&runtime) {
        return Err(ApiError::InvalidParameterValue(format!(
            "Value {runtime} at 'runtime' failed to satisfy constraint: Member must satisfy enum value set: [{}] or \
             be a valid ARN",
            runtimes::CREATABLE.join(", ")
        )));
    }
    let phase = runtimes::phase(runtime, today);
    let blocked = match using {
        RuntimeUse::Chosen => phase >= Phase::CreateBlocked,
        RuntimeUse::Kept => phase >= Phase::UpdateBlocked,
    };
    let never = using == RuntimeUse::Chosen && !known;
    if never || (blocked && rule == RuntimeDeprecation::Enforce) {
        let newer = runtimes::successor(runtime);
        let newer =
            newer.map_or_else(|| "a newer runtime".to_owned(), |id| format!("the new runtime ({id})"));
        return Err(ApiError::InvalidParameterValue(format!(
            "The runtime parameter of {runtime} is no longer supported for creating or updating AWS Lambda functions. \
             We recommend you use {newer} while creating or updating functions."
        )));
    }
    if rule == RuntimeDeprecation::Warn && phase >= Phase::Deprecated {
        let since = runtimes::phases(runtime).map(|phases| phases.deprecated);
        tracing::warn!(
            runtime,
            since,
            blocked_on_aws = blocked,
            "a function has a runtime that is deprecated"
        );
    }
    Ok(())
}

/// Refuses an environment that is too large or touches reserved names (LANG2-192, LANG2-194).
pub(crate) fn check_environment(environment: &Environment) -> Result<(), ApiError> {
    let Some(variables) = &environment.variables else { return Ok(()) };
    let reserved: Vec<&str> = variables.keys().map(String::as_str).filter(|k| RESERVED.contains(k)).collect();
    if !reserved.is_empty() {
        return Err(ApiError::InvalidParameterValue(format!(
            "Lambda was unable to configure your environment variables because the environment variables you have \
             provided contains reserved keys that are currently not supported for modification. Reserved keys used in \
             this request: {}",
            reserved.join(", ")
        )));
    }
    if let Some((key, _)) = variables.iter().find(|(_, value)| value.contains('\0')) {
        return Err(ApiError::InvalidParameterValue(format!(
            "Lambda was unable to configure your environment variables because the value of {key} contains a NUL \
             character."
        )));
    }
    let measured = serde_json::to_string(variables).unwrap_or_default();
    if measured.len() > limits::ENVIRONMENT {
        let shown: String = measured.chars().take(50).collect();
        return Err(ApiError::InvalidParameterValue(format!(
            "Lambda was unable to configure your environment variables because the environment variables you have \
             provided exceeded the 4KB limit. String measured: {shown}..."
        )));
    }
    Ok(())
}

/// Applies checked settings; what they leave out stays.
///
/// # Errors
/// Some fit only together with what is there already.
pub(crate) fn apply(s: &Settings, to: &mut Configuration) -> Result<(), ApiError> {
    let number = |value: Option<i64>, slot: &mut u32| {
        if let Some(value) = value.and_then(|v| u32::try_from(v).ok()) {
            *slot = value;
        }
    };
    number(s.timeout, &mut to.timeout);
    number(s.memory_size, &mut to.memory_size);
    number(s.ephemeral_storage.as_ref().map(|e| e.size), &mut to.ephemeral_storage);
    let text = |value: Option<&String>, slot: &mut String| {
        if let Some(value) = value {
            slot.clone_from(value);
        }
    };
    text(s.role.as_ref(), &mut to.role);
    text(s.handler.as_ref(), &mut to.handler);
    text(s.runtime.as_ref(), &mut to.runtime);
    text(s.description.as_ref(), &mut to.description);
    if let Some(target) = s.dead_letter_config.as_ref().map(|config| config.target_arn.as_deref()) {
        to.dead_letter = dead_letter(target.unwrap_or_default())?;
    }
    if let Some(environment) = &s.environment {
        // The whole map is replaced (CORE-162); an empty one clears it.
        to.environment = environment.variables.clone().filter(|v| !v.is_empty());
    }
    if let Some(mode) = s.snap_start.as_ref().and_then(|snap_start| snap_start.apply_on.as_deref()) {
        to.snap_start = mode == "PublishedVersions";
    }
    if to.snap_start && !offers_snap_start(&to.runtime) {
        return Err(ApiError::InvalidParameterValue(format!(
            "{} is not supported for SnapStart enabled functions.",
            to.runtime
        )));
    }
    s.logging_config.as_ref().map_or(Ok(()), |config| logging::apply(config, to))
}

/// A standard queue or topic; nothing clears it (API-206, CORE-274).
fn dead_letter(arn: &str) -> Result<Option<String>, ApiError> {
    if arn.is_empty() {
        return Ok(None);
    }
    let fields: Vec<&str> = arn.split(':').collect();
    let known = matches!(fields[..], ["arn", _, "sqs" | "sns", region, account, name]
        if ![region, account, name].contains(&"") && !name.ends_with(".fifo"));
    if known {
        return Ok(Some(arn.to_owned()));
    }
    Err(ApiError::InvalidParameterValue(format!(
        "The DeadLetterConfig target {arn} is neither a standard SQS queue nor a standard SNS topic"
    )))
}

/// The runtimes whose functions can have SnapStart: Java from 11, Python from 3.12, .NET from 8.
fn offers_snap_start(runtime: &str) -> bool {
    let number = |text: &str| text.parse().unwrap_or(0);
    if let Some(version) = runtime.strip_prefix("java") {
        return number(version) >= 11;
    }
    if let Some(minor) = runtime.strip_prefix("python3.") {
        return number(minor) >= 12;
    }
    runtime.strip_prefix("dotnet").is_some_and(|version| number(version) >= 8)
}

/// `arn:aws:iam::123456789012:role/name` (API-058).
fn is_role_arn(text: &str) -> bool {
    let fields: Vec<&str> = text.splitn(6, ':').collect();
    let [arn, partition, service, region, account, resource] = fields.as_slice() else { return false };
    let name =
        |n: &str| !n.is_empty() && n.bytes().all(|b| b.is_ascii_alphanumeric() || b"+=,.@-_/".contains(&b));
    *arn == "arn"
        && partition.starts_with("aws")
        && *service == "iam"
        && region.is_empty()
        && account.len() == 12
        && account.bytes().all(|b| b.is_ascii_digit())
        && resource.strip_prefix("role").is_some_and(|r| name(r.strip_prefix('/').unwrap_or(r)))
}

/// `[a-zA-Z]([a-zA-Z0-9_])+`: two characters at least (API-075).
fn is_variable_name(text: &str) -> bool {
    let mut bytes = text.bytes();
    bytes.next().is_some_and(|b| b.is_ascii_alphabetic())
        && text.len() > 1
        && bytes.all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    /// API-206, CORE-274.
    #[test]
    fn dead_letters_go_to_standard_queues_and_topics() {
        for good in ["arn:aws:sqs:us-east-2:123456789012:q", "arn:aws:sns:us-east-2:123456789012:my-topic"] {
            assert_eq!(dead_letter(good).unwrap().as_deref(), Some(good));
        }
        assert_eq!(dead_letter("").unwrap(), None);
        for bad in [
            "arn:aws:sqs:us-east-2:123456789012:q.fifo",
            "arn:aws:sqs:::q",
            "arn:aws:sns:us-east-2:123456789012:t:subscription",
            "arn:aws:lambda:us-east-2:123456789012:f",
        ] {
            assert!(dead_letter(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn role_arns() {
        for good in
            ["arn:aws:iam::123456789012:role/lambda-ex", "arn:aws:iam::123456789012:role/service-role/a@b"]
        {
            assert!(is_role_arn(good), "{good}");
        }
        for bad in [
            "",
            "lambda-ex",
            "arn:aws:iam::1234:role/x",
            "arn:aws:iam::123456789012:user/x",
            "arn:aws:iam::123456789012:role/",
        ] {
            assert!(!is_role_arn(bad), "{bad}");
        }
    }

    /// LANG2-192: 39 bytes for the guide's own sample, so the limit is on the compact JSON.
    #[test]
    fn the_environment_is_measured_as_compact_json() {
        let of = |value: String| Environment { variables: Some(BTreeMap::from([("KEY".to_owned(), value)])) };
        let overhead = r#"{"KEY":""}"#.len();
        assert!(check_environment(&of("x".repeat(4096 - overhead))).is_ok());
        let error = check_environment(&of("x".repeat(4097 - overhead))).unwrap_err();
        assert!(error.to_string().contains("exceeded the 4KB limit. String measured: {\"KEY\":\"xxx"));
    }

    /// CORE-152, CORE-154.
    #[test]
    fn reserved_and_malformed_names_are_refused() {
        let reserved = Environment { variables: Some(BTreeMap::from([("AWS_REGION".into(), "x".into())])) };
        assert!(
            check_environment(&reserved)
                .unwrap_err()
                .to_string()
                .ends_with("used in this request: AWS_REGION")
        );
        for (name, good) in
            [("AB", true), ("A", false), ("1A", false), ("A-B", false), ("", false), ("a_1", true)]
        {
            assert_eq!(is_variable_name(name), good, "{name}");
        }
    }

    /// RT-19, RT-37, RT-38.
    #[test]
    fn runtimes_are_creatable_deprecated_or_unknown() {
        for rule in [RuntimeDeprecation::Off, RuntimeDeprecation::Warn, RuntimeDeprecation::Enforce] {
            let check = |runtime| check_runtime_on("2020-06-01", rule, runtime, RuntimeUse::Chosen);
            assert!(check("python2.7").is_ok());
            assert!(check("nodejs8.10").unwrap_err().to_string().contains("no longer supported"));
            assert!(check("cobol").unwrap_err().to_string().contains("Member must satisfy enum value set"));
        }
    }

    /// RT-35, RT-36: first no function is created with a runtime, then none that has it is changed.
    #[test]
    fn phases_are_enforced_where_that_is_asked_for() {
        let refused = |today, rule, using| check_runtime_on(today, rule, "ruby2.7", using).is_err();
        use RuntimeDeprecation::{Enforce, Off, Warn};
        use RuntimeUse::{Chosen, Kept};
        for (today, chosen, kept) in
            [("2024-01-08", false, false), ("2024-01-09", true, false), ("2027-08-31", true, true)]
        {
            assert_eq!(
                (refused(today, Enforce, Chosen), refused(today, Enforce, Kept)),
                (chosen, kept),
                "{today}"
            );
            for rule in [Off, Warn] {
                assert!(!refused(today, rule, Chosen) && !refused(today, rule, Kept), "{today}");
            }
        }
        let text = check_runtime_on("2030-01-01", Enforce, "ruby2.7", Chosen).unwrap_err().to_string();
        assert!(
            text.contains(
                "The runtime parameter of ruby2.7 is no longer supported for creating or updating AWS Lambda functions. \
                 We recommend you use the new runtime (ruby4.0) while creating or updating functions."
            ),
            "{text}"
        );
    }
}
