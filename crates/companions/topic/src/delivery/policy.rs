//! When deliveries are tried again: the delivery policies of SNS.

use serde_json::{Map, Value, json};

/// Longest a policy may try: SNS's limit of an hour for all delays together.
const MAX_TOTAL_SECONDS: f64 = 3600.0;

/// How delays grow from the shortest to the longest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Growth {
    Linear,
    Arithmetic,
    Geometric,
    Exponential,
}

/// When a failed delivery is tried again.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct RetryPolicy {
    no_delay: u32,
    min_delay: u32,
    backoff: u32,
    max_delay: u32,
    /// Seconds.
    shortest: f64,
    /// Seconds.
    longest: f64,
    growth: Growth,
}

/// What a policy says on deliveries by HTTP.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct HttpPolicy {
    pub(crate) retry: RetryPolicy,
    /// Most requests a second.
    pub(crate) per_second: Option<u32>,
    pub(crate) content_type: String,
}

/// A text is no delivery policy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PolicyError {
    #[error("DeliveryPolicy: failed to parse JSON")]
    Json,
    #[error("DeliveryPolicy: Unexpected JSON member: {0}")]
    Unexpected(String),
    #[error("DeliveryPolicy: {0} must be specified and between {1} and {2}")]
    Range(&'static str, u32, u32),
    #[error("DeliveryPolicy: minDelayTarget must be at most maxDelayTarget")]
    Order,
    #[error("DeliveryPolicy: numRetries must be at least the sum of the numbers of retries of its phases")]
    Sum,
    #[error("DeliveryPolicy: the retries must not take more than an hour in all")]
    TooLong,
    #[error("DeliveryPolicy: backoffFunction must be one of linear, arithmetic, geometric or exponential")]
    Growth,
    #[error("DeliveryPolicy: {0} must be {1}")]
    Type(&'static str, &'static str),
}

impl RetryPolicy {
    /// For queues and functions: at once three times, twice after a second, ten times after 1 to 20 seconds, and then
    /// every 20 seconds for 23 days.
    pub(crate) fn managed() -> Self {
        Self {
            no_delay: 3,
            min_delay: 2,
            backoff: 10,
            max_delay: 100_000,
            shortest: 1.0,
            longest: 20.0,
            growth: Growth::Exponential,
        }
    }

    /// For HTTP, where nobody says otherwise: three times, every 20 seconds.
    fn http() -> Self {
        Self {
            no_delay: 0,
            min_delay: 0,
            backoff: 3,
            max_delay: 0,
            shortest: 20.0,
            longest: 20.0,
            growth: Growth::Linear,
        }
    }

    /// Milliseconds until the next attempt after `failed` attempts, counted from 1; `None` after the last.
    pub(crate) fn delay(&self, failed: u32) -> Option<i64> {
        let mut retry = failed.checked_sub(1)?;
        for (phase, seconds) in [(self.no_delay, 0.0), (self.min_delay, self.shortest)] {
            if retry < phase {
                return Some(millis(seconds));
            }
            retry -= phase;
        }
        if retry < self.backoff {
            return Some(millis(self.grown(retry)));
        }
        (retry - self.backoff < self.max_delay).then(|| millis(self.longest))
    }

    /// Seconds before a retry of the phase in which delays grow.
    fn grown(&self, retry: u32) -> f64 {
        let last = self.backoff.saturating_sub(1);
        if last == 0 {
            return self.shortest;
        }
        let part = f64::from(retry) / f64::from(last);
        let (shortest, span) = (self.shortest, self.longest - self.shortest);
        match self.growth {
            Growth::Linear => shortest + span * part,
            Growth::Arithmetic => {
                let steps = |n: f64| n * (n + 1.0) / 2.0;
                shortest + span * steps(f64::from(retry)) / steps(f64::from(last))
            }
            Growth::Geometric => shortest + span * part * part,
            // A delay of no time cannot be multiplied.
            Growth::Exponential => {
                let from = shortest.max(1.0).min(self.longest.max(f64::EPSILON));
                from * (self.longest / from).powf(part)
            }
        }
    }

    fn total_seconds(&self) -> f64 {
        f64::from(self.min_delay) * self.shortest
            + (0..self.backoff).map(|retry| self.grown(retry)).sum::<f64>()
            + f64::from(self.max_delay) * self.longest
    }

    fn read(object: &Map<String, Value>) -> Result<Self, PolicyError> {
        let default = Self::http();
        let number = |name: &'static str, default: Option<u32>, min: u32, max: u32| match object.get(name) {
            None => default.ok_or(PolicyError::Range(name, min, max)),
            Some(value) => value
                .as_u64()
                .and_then(|number| u32::try_from(number).ok())
                .filter(|number| (min..=max).contains(number))
                .ok_or(PolicyError::Range(name, min, max)),
        };
        for name in object.keys() {
            if !RETRY_MEMBERS.contains(&name.as_str()) {
                return Err(PolicyError::Unexpected(name.clone()));
            }
        }
        let shortest = number("minDelayTarget", Some(20), 1, 3600)?;
        let longest = number("maxDelayTarget", Some(20.max(shortest)), 1, 3600)?;
        let retries = number("numRetries", Some(default.backoff), 0, 100)?;
        let no_delay = number("numNoDelayRetries", Some(0), 0, 100)?;
        let min_delay = number("numMinDelayRetries", Some(0), 0, 100)?;
        let max_delay = number("numMaxDelayRetries", Some(0), 0, 100)?;
        let growth = match object.get("backoffFunction").map(Value::as_str) {
            None | Some(Some("linear")) => Growth::Linear,
            Some(Some("arithmetic")) => Growth::Arithmetic,
            Some(Some("geometric")) => Growth::Geometric,
            Some(Some("exponential")) => Growth::Exponential,
            Some(_) => return Err(PolicyError::Growth),
        };
        if shortest > longest {
            return Err(PolicyError::Order);
        }
        let backoff = retries.checked_sub(no_delay + min_delay + max_delay).ok_or(PolicyError::Sum)?;
        let (shortest, longest) = (f64::from(shortest), f64::from(longest));
        let policy = Self { no_delay, min_delay, backoff, max_delay, shortest, longest, growth };
        if policy.total_seconds() > MAX_TOTAL_SECONDS { Err(PolicyError::TooLong) } else { Ok(policy) }
    }

    fn document(&self) -> Value {
        let growth = match self.growth {
            Growth::Linear => "linear",
            Growth::Arithmetic => "arithmetic",
            Growth::Geometric => "geometric",
            Growth::Exponential => "exponential",
        };
        json!({
            "minDelayTarget": self.shortest as u32,
            "maxDelayTarget": self.longest as u32,
            "numRetries": self.no_delay + self.min_delay + self.backoff + self.max_delay,
            "numMaxDelayRetries": self.max_delay,
            "numNoDelayRetries": self.no_delay,
            "numMinDelayRetries": self.min_delay,
            "backoffFunction": growth,
        })
    }
}

const RETRY_MEMBERS: [&str; 7] = [
    "minDelayTarget",
    "maxDelayTarget",
    "numRetries",
    "numMaxDelayRetries",
    "numNoDelayRetries",
    "numMinDelayRetries",
    "backoffFunction",
];

fn millis(seconds: f64) -> i64 {
    (seconds * 1000.0).round() as i64
}

impl Default for HttpPolicy {
    fn default() -> Self {
        Self {
            retry: RetryPolicy::http(),
            per_second: None,
            content_type: "text/plain; charset=UTF-8".into(),
        }
    }
}

impl HttpPolicy {
    /// What is in force for a subscription: its own policy over its topic's, unless the topic's forbids that.
    /// Both were checked when they were set.
    pub(crate) fn in_force(topic: Option<&str>, subscription: Option<&str>) -> Self {
        let topic_document = topic.and_then(|text| serde_json::from_str::<Value>(text).ok());
        let mut policy = Self::default();
        let mut own = subscription;
        if let Some(http) = topic_document.as_ref().and_then(|document| document.get("http")) {
            let member = |name: &str| http.get(name).and_then(Value::as_object);
            let _ = policy.take(
                member("defaultHealthyRetryPolicy"),
                member("defaultThrottlePolicy"),
                member("defaultRequestPolicy"),
            );
            if http.get("disableSubscriptionOverrides") == Some(&Value::Bool(true)) {
                own = None;
            }
        }
        if let Some(Value::Object(own)) = own.and_then(|text| serde_json::from_str(text).ok()) {
            let member = |name: &str| own.get(name).and_then(Value::as_object);
            let _ =
                policy.take(member("healthyRetryPolicy"), member("throttlePolicy"), member("requestPolicy"));
        }
        policy
    }

    /// Checks the policy of a topic, `{"http": {"defaultHealthyRetryPolicy": {...}, ...}}`.
    pub(crate) fn check_of_topic(text: &str) -> Result<(), PolicyError> {
        let document = object(text)?;
        only(&document, &["http"])?;
        let Some(http) = document.get("http") else { return Ok(()) };
        let http = http.as_object().ok_or(PolicyError::Type("http", "an object"))?;
        only(
            http,
            &[
                "defaultHealthyRetryPolicy",
                "disableSubscriptionOverrides",
                "defaultThrottlePolicy",
                "defaultRequestPolicy",
            ],
        )?;
        if http.get("disableSubscriptionOverrides").is_some_and(|flag| !flag.is_boolean()) {
            return Err(PolicyError::Type("disableSubscriptionOverrides", "true or false"));
        }
        Self::default().take(
            member(http, "defaultHealthyRetryPolicy")?,
            member(http, "defaultThrottlePolicy")?,
            member(http, "defaultRequestPolicy")?,
        )
    }

    /// Checks the policy of a subscription, `{"healthyRetryPolicy": {...}, ...}`.
    pub(crate) fn check_of_subscription(text: &str) -> Result<(), PolicyError> {
        let document = object(text)?;
        only(
            &document,
            &["healthyRetryPolicy", "throttlePolicy", "requestPolicy", "sicklyRetryPolicy", "guaranteed"],
        )?;
        Self::default().take(
            member(&document, "healthyRetryPolicy")?,
            member(&document, "throttlePolicy")?,
            member(&document, "requestPolicy")?,
        )
    }

    fn take(
        &mut self,
        retry: Option<&Map<String, Value>>,
        throttle: Option<&Map<String, Value>>,
        request: Option<&Map<String, Value>>,
    ) -> Result<(), PolicyError> {
        if let Some(retry) = retry {
            self.retry = RetryPolicy::read(retry)?;
        }
        if let Some(most) = throttle.and_then(|throttle| throttle.get("maxReceivesPerSecond")) {
            let number = most.as_u64().and_then(|number| u32::try_from(number).ok()).filter(|n| *n > 0);
            self.per_second = Some(number.ok_or(PolicyError::Range("maxReceivesPerSecond", 1, u32::MAX))?);
        }
        if let Some(content_type) = request.and_then(|request| request.get("headerContentType")) {
            let valid = content_type.as_str().filter(|text| http::HeaderValue::from_str(text).is_ok());
            self.content_type =
                valid.ok_or(PolicyError::Type("headerContentType", "a media type"))?.to_owned();
        }
        Ok(())
    }

    /// `EffectiveDeliveryPolicy` of a topic.
    pub(crate) fn document_of_topic(&self, overrides_disabled: bool) -> String {
        let mut http = json!({
            "defaultHealthyRetryPolicy": self.retry.document(),
            "disableSubscriptionOverrides": overrides_disabled,
            "defaultRequestPolicy": { "headerContentType": self.content_type },
        });
        if let Some(most) = self.per_second {
            http["defaultThrottlePolicy"] = json!({ "maxReceivesPerSecond": most });
        }
        json!({ "http": http }).to_string()
    }

    /// `EffectiveDeliveryPolicy` of a subscription.
    pub(crate) fn document_of_subscription(&self) -> String {
        json!({
            "healthyRetryPolicy": self.retry.document(),
            "sicklyRetryPolicy": null,
            "throttlePolicy": self.per_second.map(|most| json!({ "maxReceivesPerSecond": most })),
            "requestPolicy": { "headerContentType": self.content_type },
            "guaranteed": false,
        })
        .to_string()
    }
}

fn object(text: &str) -> Result<Map<String, Value>, PolicyError> {
    serde_json::from_str(text).map_err(|_| PolicyError::Json)
}

fn only(object: &Map<String, Value>, names: &[&str]) -> Result<(), PolicyError> {
    let other = object.keys().find(|name| !names.contains(&name.as_str()));
    other.map_or(Ok(()), |name| Err(PolicyError::Unexpected(name.clone())))
}

fn member<'a>(
    object: &'a Map<String, Value>,
    name: &'static str,
) -> Result<Option<&'a Map<String, Value>>, PolicyError> {
    match object.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => value.as_object().map(Some).ok_or(PolicyError::Type(name, "an object")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delays(policy: &RetryPolicy, most: u32) -> Vec<i64> {
        (1..=most).map_while(|failed| policy.delay(failed)).collect()
    }

    fn subscription(retry: &str) -> HttpPolicy {
        let text = format!("{{\"healthyRetryPolicy\": {retry}}}");
        HttpPolicy::check_of_subscription(&text).unwrap();
        HttpPolicy::in_force(None, Some(&text))
    }

    #[test]
    fn queues_and_functions_are_tried_for_23_days() {
        let policy = RetryPolicy::managed();
        let first = delays(&policy, 17);
        assert_eq!(first[..6], [0, 0, 0, 1000, 1000, 1000]);
        assert_eq!(first[14..], [20_000, 20_000, 20_000]);
        assert!(first.is_sorted());
        assert_eq!(policy.delay(100_015), Some(20_000));
        assert_eq!(policy.delay(100_016), None);
    }

    #[test]
    fn http_is_tried_three_times_unless_a_policy_says_otherwise() {
        assert_eq!(delays(&HttpPolicy::default().retry, 10), [20_000, 20_000, 20_000]);
        let own = r#"{"minDelayTarget": 1, "maxDelayTarget": 5, "numRetries": 9, "numNoDelayRetries": 1,
                      "numMinDelayRetries": 2, "numMaxDelayRetries": 1"#;
        for (growth, middle) in [
            ("linear", [1000, 2000, 3000, 4000, 5000]),
            ("arithmetic", [1000, 1400, 2200, 3400, 5000]),
            ("geometric", [1000, 1250, 2000, 3250, 5000]),
            ("exponential", [1000, 1495, 2236, 3344, 5000]),
        ] {
            let policy = subscription(&format!("{own}, \"backoffFunction\": \"{growth}\"}}"));
            let expected = [&[0, 1000, 1000][..], &middle, &[5000]].concat();
            assert_eq!(delays(&policy.retry, 20), expected, "{growth}");
        }
        assert_eq!(delays(&subscription(r#"{"numRetries": 0}"#).retry, 20), [] as [i64; 0]);
    }

    #[test]
    fn a_subscription_overrides_its_topic_unless_that_is_forbidden() {
        let topic = |disabled: bool| {
            format!(
                "{{\"http\": {{\"defaultHealthyRetryPolicy\": {{\"numRetries\": 1}}, \
                 \"disableSubscriptionOverrides\": {disabled}, \
                 \"defaultThrottlePolicy\": {{\"maxReceivesPerSecond\": 7}}, \
                 \"defaultRequestPolicy\": {{\"headerContentType\": \"application/json\"}}}}}}"
            )
        };
        HttpPolicy::check_of_topic(&topic(true)).unwrap();
        let own =
            r#"{"healthyRetryPolicy": {"numRetries": 2}, "throttlePolicy": {"maxReceivesPerSecond": 1}}"#;
        let in_force = HttpPolicy::in_force(Some(&topic(false)), Some(own));
        assert_eq!((delays(&in_force.retry, 9).len(), in_force.per_second), (2, Some(1)));
        assert_eq!(in_force.content_type, "application/json");
        let in_force = HttpPolicy::in_force(Some(&topic(true)), Some(own));
        assert_eq!((delays(&in_force.retry, 9).len(), in_force.per_second), (1, Some(7)));
    }

    #[test]
    fn policies_that_are_none_are_refused() {
        for (text, expected) in [
            ("", "DeliveryPolicy: failed to parse JSON"),
            (r#"{"http": {}}"#, "DeliveryPolicy: Unexpected JSON member: http"),
            (r#"{"healthyRetryPolicy": 1}"#, "DeliveryPolicy: healthyRetryPolicy must be an object"),
            (r#"{"healthyRetryPolicy": {"x": 1}}"#, "DeliveryPolicy: Unexpected JSON member: x"),
            (
                r#"{"healthyRetryPolicy": {"numRetries": 101}}"#,
                "DeliveryPolicy: numRetries must be specified and between 0 and 100",
            ),
            (
                r#"{"healthyRetryPolicy": {"minDelayTarget": 30, "maxDelayTarget": 20}}"#,
                "DeliveryPolicy: minDelayTarget must be at most maxDelayTarget",
            ),
            (
                r#"{"healthyRetryPolicy": {"numRetries": 1, "numNoDelayRetries": 2}}"#,
                "DeliveryPolicy: numRetries must be at least the sum of the numbers of retries of its phases",
            ),
            (
                r#"{"healthyRetryPolicy": {"numRetries": 100, "minDelayTarget": 60, "maxDelayTarget": 60}}"#,
                "DeliveryPolicy: the retries must not take more than an hour in all",
            ),
            (
                r#"{"healthyRetryPolicy": {"backoffFunction": "cubic"}}"#,
                "DeliveryPolicy: backoffFunction must be one of linear, arithmetic, geometric or exponential",
            ),
            (
                r#"{"throttlePolicy": {"maxReceivesPerSecond": 0}}"#,
                "DeliveryPolicy: maxReceivesPerSecond must be specified and between 1 and 4294967295",
            ),
        ] {
            assert_eq!(HttpPolicy::check_of_subscription(text).unwrap_err().to_string(), expected, "{text}");
        }
        assert!(HttpPolicy::check_of_topic(r#"{"healthyRetryPolicy": {}}"#).is_err());
    }
}
