//! What a queue's attributes mean.

use serde_json::Value;

use crate::attributes::{self, Map};
use crate::error::{Kind, SqsError};
use crate::names;

/// What a queue does, read from its attributes. Times in milliseconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Settings {
    pub(crate) delay: i64,
    pub(crate) retention: i64,
    pub(crate) visibility: i64,
    /// Of a long poll whose request does not say.
    pub(crate) wait: i64,
    /// Bytes.
    pub(crate) largest_message: usize,
    /// Whether a message without a deduplication id has the digest of its body for one.
    pub(crate) dedup_by_content: bool,
    /// Whether messages of different groups are never the same.
    pub(crate) dedup_by_group: bool,
    pub(crate) redrive: Option<Redrive>,
    pub(crate) allow: RedriveAllow,
}

/// Where messages go that are received too often.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Redrive {
    pub(crate) target: String,
    pub(crate) most_receives: i64,
}

/// Which queues may name this one as the place for their dead letters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum RedriveAllow {
    All,
    None,
    Queues(Vec<String>),
}

impl RedriveAllow {
    pub(crate) fn allows(&self, source: &str) -> bool {
        match self {
            Self::All => true,
            Self::None => false,
            Self::Queues(queues) => queues.iter().any(|queue| queue == source),
        }
    }
}

impl Settings {
    /// Reads attributes that were checked by [`attributes::check`].
    ///
    /// # Errors
    /// A policy has a form that no queue understands.
    pub(crate) fn of(set: &Map, is_fifo: bool) -> Result<Self, SqsError> {
        let all = attributes::effective(set, is_fifo);
        let text = |name: &str| all.get(name).map(String::as_str).filter(|value| !value.is_empty());
        let number = |name: &str| text(name).and_then(|value| value.parse::<i64>().ok()).unwrap_or_default();
        let millis = |name: &str| number(name) * 1000;
        Ok(Self {
            delay: millis("DelaySeconds"),
            retention: millis("MessageRetentionPeriod"),
            visibility: millis("VisibilityTimeout"),
            wait: millis("ReceiveMessageWaitTimeSeconds"),
            largest_message: number("MaximumMessageSize") as usize,
            dedup_by_content: text("ContentBasedDeduplication") == Some("true"),
            dedup_by_group: text("DeduplicationScope") == Some("messageGroup"),
            redrive: text("RedrivePolicy").map(redrive).transpose()?,
            allow: text("RedriveAllowPolicy").map_or(Ok(RedriveAllow::All), redrive_allow)?,
        })
    }
}

fn redrive(text: &str) -> Result<Redrive, SqsError> {
    let fault = |reason: &str| SqsError::value(text, "RedrivePolicy", reason);
    let policy: Value =
        serde_json::from_str(text).map_err(|_| fault("Redrive policy is not a valid JSON map."))?;
    let mandatory = |name: &str| {
        let reason = format!("Redrive policy does not contain mandatory attribute: {name}.");
        policy.get(name).ok_or_else(|| fault(&reason))
    };
    let target = mandatory("deadLetterTargetArn")?;
    let count = mandatory("maxReceiveCount")?;
    let target = target.as_str().filter(|arn| names::parse_arn(arn).is_some());
    let target = target.ok_or_else(|| fault("Invalid value for deadLetterTargetArn."))?.to_owned();
    let most_receives = match count {
        Value::String(text) => text.parse().ok(),
        count => count.as_i64(),
    };
    match most_receives {
        Some(most_receives @ 1..=1000) => Ok(Redrive { target, most_receives }),
        _ => {
            let shown = count.as_str().map_or_else(|| count.to_string(), str::to_owned);
            Err(fault(&format!(
                "Invalid value for maxReceiveCount: {shown}, valid values are from 1 to 1000 both inclusive."
            )))
        }
    }
}

fn redrive_allow(text: &str) -> Result<RedriveAllow, SqsError> {
    let fault = || {
        let reason = "Amazon SQS can't create the redrive allow policy, as it's in an unsupported format.";
        SqsError::value(text, "RedriveAllowPolicy", reason)
    };
    let policy: Value = serde_json::from_str(text).map_err(|_| fault())?;
    let sources = policy.get("sourceQueueArns");
    match (policy.get("redrivePermission").and_then(Value::as_str), sources) {
        (Some("allowAll"), None) => Ok(RedriveAllow::All),
        (Some("denyAll"), None) => Ok(RedriveAllow::None),
        (Some("byQueue"), Some(Value::Array(sources))) if (1..=10).contains(&sources.len()) => {
            let arn =
                |source: &Value| Some(source.as_str().filter(|a| names::parse_arn(a).is_some())?.to_owned());
            sources.iter().map(arn).collect::<Option<_>>().map(RedriveAllow::Queues).ok_or_else(fault)
        }
        _ => Err(fault()),
    }
}

/// The fault of a redrive policy that its target does not like.
pub(crate) fn refused_target(policy: &str, reason: &str) -> SqsError {
    SqsError::new(
        Kind::INVALID_VALUE,
        format!("Value {policy} for parameter RedrivePolicy is invalid. Reason: {reason}"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const ARN: &str = "arn:aws:sqs:us-east-1:000000000000:dead";

    #[test]
    fn counts_may_be_texts() {
        for count in ["3", "\"3\""] {
            let policy = format!("{{\"deadLetterTargetArn\":\"{ARN}\",\"maxReceiveCount\":{count}}}");
            assert_eq!(redrive(&policy), Ok(Redrive { target: ARN.into(), most_receives: 3 }));
        }
        for (policy, reason) in [
            (format!("{{\"deadLetterTargetArn\":\"{ARN}\"}}"), "mandatory attribute: maxReceiveCount."),
            ("{\"maxReceiveCount\":1}".to_owned(), "mandatory attribute: deadLetterTargetArn."),
            (
                "{\"maxReceiveCount\":1,\"deadLetterTargetArn\":\"x\"}".to_owned(),
                "Invalid value for deadLetterTargetArn.",
            ),
            (
                format!("{{\"deadLetterTargetArn\":\"{ARN}\",\"maxReceiveCount\":1001}}"),
                "Invalid value for maxReceiveCount: 1001, valid values are from 1 to 1000 both inclusive.",
            ),
        ] {
            let error = redrive(&policy).unwrap_err();
            assert!(error.message.ends_with(reason), "{error}");
            assert!(
                error.message.starts_with(&format!("Value {policy} for parameter RedrivePolicy")),
                "{error}"
            );
        }
    }

    #[test]
    fn a_queue_says_whose_dead_letters_it_takes() {
        let by_queue = format!("{{\"redrivePermission\":\"byQueue\",\"sourceQueueArns\":[\"{ARN}\"]}}");
        let allowed = redrive_allow(&by_queue).unwrap();
        assert!(allowed.allows(ARN) && !allowed.allows("arn:aws:sqs:us-east-1:000000000000:other"));
        assert!(redrive_allow("{\"redrivePermission\":\"allowAll\"}").unwrap().allows(ARN));
        assert!(!redrive_allow("{\"redrivePermission\":\"denyAll\"}").unwrap().allows(ARN));
        for bad in [
            "{}",
            "{\"redrivePermission\":\"maybe\"}",
            "{\"redrivePermission\":\"byQueue\"}",
            "{\"redrivePermission\":\"byQueue\",\"sourceQueueArns\":[]}",
            "{\"redrivePermission\":\"byQueue\",\"sourceQueueArns\":[\"x\"]}",
            "{\"redrivePermission\":\"allowAll\",\"sourceQueueArns\":[]}",
        ] {
            assert!(redrive_allow(bad).is_err(), "{bad}");
        }
    }
}
