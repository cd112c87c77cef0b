//! What the actions on settings of asynchronous invocation share (CORE-261..271).

use lambd_api::requests::attached::{DestinationConfig, EventInvokeConfig};
use lambd_api::{ApiError, Route, Violations, patterns, responses};
use lambd_http::RequestHead;
use lambd_store::attached::{EventInvoke, Holder};
use lambd_types::{FunctionRef, Qualifier, Version, function_arn};

use super::lookup;
use crate::Control;
use crate::checks;
use crate::context::store_error;
use crate::functions::Target;

/// What a request names; without a qualifier it is `$LATEST` (CORE-271).
pub(super) fn target(head: &RequestHead, route: &Route) -> Result<Target, ApiError> {
    let target = Target::namespaced(head, route.function_name())?;
    let qualifier = target.qualifier.clone().unwrap_or(Qualifier::Version(Version::Latest));
    Ok(target.qualified(qualifier))
}

/// Refuses what does not exist, in the words of these operations.
pub(super) async fn exists(control: &Control, target: &Target) -> Result<(), ApiError> {
    match lookup::row(control, target).await {
        Ok(_) => Ok(()),
        Err(ApiError::ResourceNotFound(_)) => {
            Err(ApiError::ResourceNotFound("The function doesn't exist.".to_owned()))
        }
        Err(other) => Err(other),
    }
}

/// The settings of a function, version or alias, which must have some.
pub(super) async fn configured(control: &Control, target: &Target) -> Result<EventInvoke, ApiError> {
    let found = control.store().attached(&target.holder()).await.map_err(store_error)?;
    found.ok_or_else(|| not_configured(target))
}

/// The refusal of everything that needs settings.
pub(super) fn not_configured(target: &Target) -> ApiError {
    ApiError::ResourceNotFound(format!("The function {} doesn't have an EventInvokeConfig", target.arn()))
}

/// The constraints of the API model, and what the service refuses beyond it.
pub(super) fn check(body: &EventInvokeConfig, target: &Target) -> Result<(), ApiError> {
    let mut violations = Violations::default();
    if let Some(attempts) = body.maximum_retry_attempts {
        violations.range(attempts, "maximumRetryAttempts", 0, 2);
    }
    if let Some(age) = body.maximum_event_age_in_seconds {
        violations.range(age, "maximumEventAgeInSeconds", 60, 21_600);
    }
    let destinations = body.destination_config.as_ref();
    let (success, failure) = (destinations.and_then(on_success), destinations.and_then(on_failure));
    for (arn, at) in [
        (success, "destinationConfig.onSuccess.destination"),
        (failure, "destinationConfig.onFailure.destination"),
    ] {
        let Some(arn) = arn else { continue };
        if arn.chars().count() > 350 {
            violations.too_long(arn, at, 350);
        }
        if !arn.is_empty() && !arn.starts_with("kafka://") && !checks::is_arn(arn) {
            violations.pattern(arn, at, patterns::DESTINATION);
        }
    }
    violations.into_result()?;
    if body.maximum_retry_attempts.is_none()
        && body.maximum_event_age_in_seconds.is_none()
        && body.destination_config.is_none()
    {
        let text = "You must specify at least one of error handling or destination setting.";
        return Err(ApiError::InvalidParameterValue(text.to_owned()));
    }
    let known = |arn: Option<&str>, of_failures| {
        arn.is_none_or(|arn| arn.is_empty() || is_destination(arn, of_failures))
    };
    if !known(success, false) || !known(failure, true) {
        let shown = |name: &str, arn: Option<&str>| match arn.filter(|arn| !arn.is_empty()) {
            Some(arn) => format!("{name}(destination={arn})"),
            None => "null".to_owned(),
        };
        return Err(ApiError::InvalidParameterValue(format!(
            "The provided destination config DestinationConfig(onSuccess={}, onFailure={}) is invalid.",
            shown("OnSuccess", success),
            shown("OnFailure", failure)
        )));
    }
    let itself = function_arn(&target.scope, &target.name);
    if [success, failure].into_iter().flatten().any(|arn| is_of_function(arn, &itself)) {
        let text = "You can't specify the function as a destination for itself.";
        return Err(ApiError::InvalidParameterValue(text.to_owned()));
    }
    Ok(())
}

fn on_success(config: &DestinationConfig) -> Option<&str> {
    config.on_success.as_ref()?.destination.as_deref()
}

fn on_failure(config: &DestinationConfig) -> Option<&str> {
    config.on_failure.as_ref()?.destination.as_deref()
}

fn is_of_function(arn: &str, function: &str) -> bool {
    arn.strip_prefix(function).is_some_and(|rest| rest.is_empty() || rest.starts_with(':'))
}

/// Whether outcomes can be told there: a function, a standard queue, a standard topic or an event bus, and failures
/// to a bucket too (API-618). What is named need not exist.
fn is_destination(arn: &str, of_failures: bool) -> bool {
    let parts: Vec<&str> = arn.splitn(6, ':').collect();
    let [_, _, service, region, account, resource] = parts[..] else { return false };
    let local = !region.is_empty() && !account.is_empty();
    let is_name = |text: &str| !text.is_empty() && !text.contains([':', '/']) && !text.ends_with(".fifo");
    match service {
        "sqs" | "sns" => local && is_name(resource),
        "events" => local && resource.strip_prefix("event-bus/").is_some_and(|name| !name.is_empty()),
        "lambda" => local && FunctionRef::parse(arn).is_ok(),
        "s3" => of_failures && !local && is_name(resource),
        _ => false,
    }
}

/// Applies what a request says to settings.
pub(super) fn apply(body: &EventInvokeConfig, settings: &mut EventInvoke, now: i64) {
    // Checked: within its range.
    let number = |value: i64| u32::try_from(value).ok();
    if let Some(attempts) = body.maximum_retry_attempts {
        settings.maximum_retry_attempts = number(attempts);
    }
    if let Some(age) = body.maximum_event_age_in_seconds {
        settings.maximum_event_age = number(age);
    }
    // One that is given without an ARN is none.
    let given = |arn: Option<&str>| arn.filter(|arn| !arn.is_empty()).map(str::to_owned);
    if let Some(destinations) = &body.destination_config {
        if destinations.on_success.is_some() {
            settings.on_success = given(on_success(destinations));
        }
        if destinations.on_failure.is_some() {
            settings.on_failure = given(on_failure(destinations));
        }
    }
    settings.last_modified = now;
}

/// What the client sees.
pub(super) fn describe(holder: &Holder, settings: &EventInvoke) -> responses::attached::EventInvokeConfig {
    use responses::attached as shapes;
    let arn = function_arn(&holder.scope, &holder.name);
    shapes::EventInvokeConfig {
        last_modified: settings.last_modified as f64 / 1000.0,
        function_arn: match &holder.qualifier {
            Some(qualifier) => format!("{arn}:{qualifier}"),
            None => arn,
        },
        maximum_retry_attempts: settings.maximum_retry_attempts,
        maximum_event_age_in_seconds: settings.maximum_event_age,
        destination_config: shapes::DestinationConfig {
            on_success: shapes::Destination { destination: settings.on_success.clone() },
            on_failure: shapes::Destination { destination: settings.on_failure.clone() },
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// API-618, CORE-264.
    #[test]
    fn destinations_have_their_own_forms() {
        for (arn, success, failure) in [
            ("arn:aws:sqs:us-east-2:123456789012:destination", true, true),
            ("arn:aws:sqs:us-east-2:123456789012:destination.fifo", false, false),
            ("arn:aws:sns:us-east-2:123456789012:topic", true, true),
            ("arn:aws:sns:us-east-2:123456789012:topic:subscription", false, false),
            ("arn:aws:events:us-east-2:123456789012:event-bus/default", true, true),
            ("arn:aws:events:us-east-2:123456789012:rule/default", false, false),
            ("arn:aws:lambda:us-east-2:123456789012:function:f:live", true, true),
            ("arn:aws:lambda:us-east-2:123456789012:layer:l", false, false),
            ("arn:aws:s3:::bucket", false, true),
            ("arn:aws:s3:::bucket/key", false, false),
            ("arn:aws:dynamodb:us-east-2:123456789012:table/t", false, false),
            ("arn:aws:sqs:::q", false, false),
            ("kafka://topic", false, false),
        ] {
            assert_eq!((is_destination(arn, false), is_destination(arn, true)), (success, failure), "{arn}");
        }
    }

    #[test]
    fn a_function_is_known_by_its_whole_name() {
        let arn = "arn:aws:lambda:us-east-2:123456789012:function:f";
        assert!(is_of_function(arn, arn));
        assert!(is_of_function(&format!("{arn}:1"), arn));
        assert!(!is_of_function(&format!("{arn}2"), arn));
    }
}
