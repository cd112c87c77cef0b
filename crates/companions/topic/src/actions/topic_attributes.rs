//! Settings of topics.

use lambd_store::topics::Texts;
use serde_json::Value;

use super::topics::{find, save};
use super::{attributes_into, data_protection, permissions};
use crate::delivery::HttpPolicy;
use crate::error::SnsError;
use crate::names::TopicArn;
use crate::service::{Context, Reply};

/// Characters of `DisplayName`.
const MAX_DISPLAY_NAME: usize = 100;
/// How names of settings end that say where the fate of deliveries is logged; they are kept, and nothing is logged.
const FEEDBACK: [&str; 3] = ["SuccessFeedbackRoleArn", "SuccessFeedbackSampleRate", "FailureFeedbackRoleArn"];
const FEEDBACK_OF: [&str; 5] = ["HTTP", "Firehose", "Lambda", "Application", "SQS"];

/// Whether a topic may have this setting.
pub(super) fn check(arn: &TopicArn, name: &str, value: &str) -> Result<(), SnsError> {
    let one_of = |values: &[&str]| {
        if values.contains(&value) {
            Ok(())
        } else {
            Err(SnsError::reason("Attributes", format!("{name} must be one of {}", values.join(", "))))
        }
    };
    let fifo_only = || if arn.is_fifo() { Ok(()) } else { Err(SnsError::parameter(name.to_owned())) };
    match name {
        "Policy" if value.is_empty() => Ok(()),
        "Policy" => match serde_json::from_str(value) {
            Ok(Value::Object(_)) => Ok(()),
            _ => Err(SnsError::parameter("Policy Error: null")),
        },
        "DeliveryPolicy" if value.is_empty() => Ok(()),
        "DeliveryPolicy" => {
            HttpPolicy::check_of_topic(value).map_err(|error| SnsError::parameter(error.to_string()))
        }
        "DisplayName" if value.chars().count() > MAX_DISPLAY_NAME => Err(SnsError::parameter("DisplayName")),
        "DisplayName" | "KmsMasterKeyId" => Ok(()),
        "FifoTopic" => one_of(&["true", "false"]),
        "ContentBasedDeduplication" => {
            fifo_only()?;
            one_of(&["true", "false"])
        }
        "FifoThroughputScope" => {
            fifo_only()?;
            one_of(&["Topic", "MessageGroup"])
        }
        "SignatureVersion" => one_of(&["1", "2"]),
        "TracingConfig" => one_of(&["PassThrough", "Active"]),
        "ArchivePolicy" => {
            Err(SnsError::reason("ArchivePolicy", "lambd keeps no archive of messages; see docs/topic.md"))
        }
        name if is_feedback(name) => Ok(()),
        _ => Err(SnsError::parameter("AttributeName")),
    }
}

fn is_feedback(name: &str) -> bool {
    let rest = FEEDBACK_OF.iter().find_map(|service| name.strip_prefix(service));
    rest.is_some_and(|rest| FEEDBACK.contains(&rest))
}

pub(super) async fn set(cx: &Context<'_>) -> Result<Reply, SnsError> {
    let arn = cx.topic_arn("TopicArn")?;
    let name = cx.required("AttributeName")?;
    let value = cx.params.get("AttributeValue").unwrap_or_default();
    if name == "FifoTopic" {
        return Err(SnsError::parameter("AttributeName"));
    }
    check(&arn, name, value)?;
    let _one_at_a_time = cx.service.changes.lock().await;
    let mut topic = find(cx, &arn).await?;
    if value.is_empty() {
        topic.attributes.remove(name);
    } else {
        topic.attributes.insert(name.to_owned(), value.to_owned());
    }
    save(cx, &arn, &topic).await?;
    Ok(Reply::Empty)
}

pub(super) async fn get(cx: &Context<'_>) -> Result<Reply, SnsError> {
    let arn = cx.topic_arn("TopicArn")?;
    let topics = cx.service.store.topics();
    topics.forget_expired(cx.service.clock.now()).await?;
    let topic = find(cx, &arn).await?;
    let counts = topics.subscription_counts(topic.id).await?;
    let policy = topic.attributes.get("DeliveryPolicy").cloned();
    let disabled = policy.as_deref().is_some_and(|text| {
        let document: Value = serde_json::from_str(text).unwrap_or_default();
        document.pointer("/http/disableSubscriptionOverrides") == Some(&Value::Bool(true))
    });
    let in_force = HttpPolicy::in_force(policy.as_deref(), None).document_of_topic(disabled);
    let mut shown: Texts = topic.attributes.clone();
    shown.remove(data_protection::ATTRIBUTE);
    let mut default = |name: &str, value: String| {
        shown.entry(name.to_owned()).or_insert(value);
    };
    default("TopicArn", arn.to_string());
    default("Owner", arn.scope.account.to_string());
    default("Policy", permissions::default_policy(&arn));
    default("DisplayName", String::new());
    default("EffectiveDeliveryPolicy", in_force);
    default("SubscriptionsConfirmed", counts.confirmed.to_string());
    default("SubscriptionsPending", counts.pending.to_string());
    default("SubscriptionsDeleted", counts.ended.to_string());
    if arn.is_fifo() {
        default("FifoTopic", "true".to_owned());
        default("ContentBasedDeduplication", "false".to_owned());
        default("FifoThroughputScope", "Topic".to_owned());
    } else {
        shown.remove("FifoTopic");
    }
    Ok(Reply::of(|xml| attributes_into(xml, &shown)))
}
