//! From the members of a request to a message in the outbox.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use lambd_http::protocol::query::{Member, Params};
use lambd_store::StoreError;
use lambd_store::topics::{NewDelivery, NewMessage, Once, SubscriptionRow, TopicRow};
use lambd_types::{Sha256Digest, UnixMillis, random};
use serde_json::Value;

use crate::book::Entry;
use crate::delivery::{arn_of, sequence_number};
use crate::error::SnsError;
use crate::message::{Attribute, AttributeType, Kind, Message, SignatureVersion};
use crate::names::TopicArn;
use crate::service::Context;

/// Bytes of a message with its attributes.
pub(super) const MAX_BYTES: usize = 256 * 1024;
/// A subject has fewer characters.
const SUBJECT_END: usize = 100;
const MAX_ID: usize = 128;
const MAX_ATTRIBUTE_NAME: usize = 256;
/// How long a FIFO topic knows a message again.
const DEDUPLICATION_MILLIS: i64 = 5 * 60_000;

/// Where members of a message are read from: a request, or an entry of a batch.
pub(super) trait Source {
    fn get(&self, name: &str) -> Option<&str>;
    fn entries(&self, name: &str) -> Vec<Member<'_>>;
}

impl Source for Params {
    fn get(&self, name: &str) -> Option<&str> {
        self.get(name)
    }

    fn entries(&self, name: &str) -> Vec<Member<'_>> {
        self.entries(name)
    }
}

impl Source for Member<'_> {
    fn get(&self, name: &str) -> Option<&str> {
        self.get(name)
    }

    fn entries(&self, name: &str) -> Vec<Member<'_>> {
        self.entries(name)
    }
}

/// A message as its publisher gave it, checked.
#[derive(Debug)]
pub(super) struct Draft {
    text: String,
    structured: bool,
    subject: Option<String>,
    attributes: Vec<Attribute>,
    group: Option<String>,
    deduplication: Option<String>,
}

impl Draft {
    pub(super) fn read(source: &impl Source, topic: &TopicRow, arn: &TopicArn) -> Result<Self, SnsError> {
        let owned = |name: &str| source.get(name).map(str::to_owned);
        let mut draft = Self {
            text: owned("Message")
                .filter(|text| !text.is_empty())
                .ok_or(SnsError::parameter("Empty message"))?,
            structured: match source.get("MessageStructure") {
                None | Some("") => false,
                Some("json") => true,
                Some(_) => return Err(SnsError::parameter("MessageStructure")),
            },
            subject: owned("Subject"),
            attributes: attributes(source)?,
            group: owned("MessageGroupId"),
            deduplication: owned("MessageDeduplicationId"),
        };
        if draft.subject.as_deref().is_some_and(|subject| !is_subject(subject)) {
            return Err(SnsError::parameter("Subject"));
        }
        if draft.size() > MAX_BYTES {
            return Err(SnsError::parameter("Message too long"));
        }
        if draft.structured {
            check_structure(&draft.text)?;
        }
        draft.check_order(topic, arn)?;
        Ok(draft)
    }

    /// Bytes of it, as its limit counts them.
    pub(super) fn size(&self) -> usize {
        let attribute = |a: &Attribute| a.name.len() + a.data_type.len() + a.value.len();
        self.text.len() + self.attributes.iter().map(attribute).sum::<usize>()
    }

    /// What FIFO topics need, and others must not have.
    fn check_order(&mut self, topic: &TopicRow, arn: &TopicArn) -> Result<(), SnsError> {
        let valid = |id: &str| (1..=MAX_ID).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_graphic());
        for (name, id) in [("MessageGroupId", &self.group), ("MessageDeduplicationId", &self.deduplication)] {
            if id.as_deref().is_some_and(|id| !valid(id)) {
                return Err(SnsError::parameter(format!(
                    "The {name} parameter must be 1 to {MAX_ID} alphanumeric characters and punctuation"
                )));
            }
        }
        if !arn.is_fifo() {
            return match self.deduplication {
                None => Ok(()),
                Some(_) => Err(SnsError::reason(
                    "MessageDeduplicationId",
                    "The request includes MessageDeduplicationId parameter that is not valid for this topic type",
                )),
            };
        }
        if self.group.is_none() {
            return Err(SnsError::parameter("The MessageGroupId parameter is required for FIFO topics"));
        }
        if self.deduplication.is_none() {
            let by_content = topic.attributes.get("ContentBasedDeduplication").map(String::as_str);
            if by_content != Some("true") {
                return Err(SnsError::parameter(
                    "The topic should either have ContentBasedDeduplication enabled or MessageDeduplicationId \
                     provided explicitly",
                ));
            }
            self.deduplication = Some(Sha256Digest::of(self.text.as_bytes()).to_hex());
        }
        Ok(())
    }
}

/// No control characters, and not too long.
fn is_subject(subject: &str) -> bool {
    let length = subject.chars().count();
    length > 0 && length < SUBJECT_END && !subject.chars().any(char::is_control)
}

fn check_structure(text: &str) -> Result<(), SnsError> {
    let Ok(Value::Object(texts)) = serde_json::from_str(text) else {
        return Err(SnsError::parameter("Message Structure - JSON message body failed to parse"));
    };
    match texts.get("default") {
        Some(Value::String(_)) => Ok(()),
        _ => Err(SnsError::parameter("Message Structure - No default entry in JSON message body")),
    }
}

fn attributes(source: &impl Source) -> Result<Vec<Attribute>, SnsError> {
    let mut attributes: Vec<Attribute> = Vec::new();
    for entry in source.entries("MessageAttributes") {
        let attribute = attribute(&entry)?;
        if attributes.iter().any(|other| other.name == attribute.name) {
            return Err(SnsError::ParameterValue(format!(
                "The message attribute '{}' is given more than once.",
                attribute.name
            )));
        }
        attributes.push(attribute);
    }
    Ok(attributes)
}

fn attribute(entry: &Member<'_>) -> Result<Attribute, SnsError> {
    let name = entry.get("Name").unwrap_or_default();
    let invalid = |message: String| Err(SnsError::ParameterValue(message));
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.');
    if name.is_empty() || name.len() > MAX_ATTRIBUTE_NAME || !name.bytes().all(allowed) {
        return invalid(format!("Invalid message attribute name '{name}'."));
    }
    if name.starts_with('.') || name.ends_with('.') || name.contains("..") {
        return invalid(format!(
            "Invalid message attribute name '{name}': periods may only be between words."
        ));
    }
    let Some(data_type) = entry.get("Value.DataType").filter(|data_type| !data_type.is_empty()) else {
        return invalid(format!(
            "The message attribute '{name}' must contain non-empty message attribute type."
        ));
    };
    let Some(kind) = AttributeType::parse(data_type) else {
        return invalid(format!(
            "The message attribute '{name}' has an invalid message attribute type, the set of supported type \
             prefixes is Binary, Number, and String."
        ));
    };
    let member = if kind == AttributeType::Binary { "Value.BinaryValue" } else { "Value.StringValue" };
    let Some(value) = entry.get(member).filter(|value| !value.is_empty()) else {
        return invalid(format!(
            "The message attribute '{name}' must contain non-empty message attribute value for message attribute \
             type '{data_type}'."
        ));
    };
    let valid = match kind {
        AttributeType::Number => value.parse::<f64>().is_ok_and(f64::is_finite),
        AttributeType::Binary => STANDARD.decode(value).is_ok(),
        AttributeType::String | AttributeType::StringArray => true,
    };
    if !valid {
        let what = if kind == AttributeType::Number { "number" } else { "binary" };
        return invalid(format!("Could not cast message attribute '{name}' value to {what}."));
    }
    Ok(Attribute { name: name.to_owned(), data_type: data_type.to_owned(), value: value.to_owned() })
}

/// What a publisher is told.
#[derive(Debug)]
pub(super) struct Receipt {
    pub(super) message_id: String,
    pub(super) sequence_number: Option<String>,
}

/// Stores a message for those who want it, and wakes their lanes.
pub(super) async fn publish(
    cx: &Context<'_>,
    topic: &Entry,
    arn: &TopicArn,
    draft: Draft,
) -> Result<Receipt, SnsError> {
    let now = cx.service.clock.now();
    let Draft { text, structured, subject, attributes, group, deduplication } = draft;
    let message = Message {
        kind: Kind::Notification,
        topic: arn.to_string(),
        text,
        structured,
        subject,
        attributes,
        group,
        deduplication,
        at: now.0,
        signature_version: signature_version(&topic.row),
        trace: cx.head.header("x-amzn-trace-id").map(str::to_owned),
        token: None,
    };
    let wants = |subscriber: &&crate::book::Subscriber| {
        let filter = subscriber.filter.as_ref();
        filter.is_none_or(|filter| {
            filter.accepts(&message.attributes, &message.text_for(&subscriber.row.protocol))
        })
    };
    let subscriptions: Vec<i64> =
        topic.subscribers.iter().filter(wants).map(|subscriber| subscriber.row.id).collect();
    let uuid = random::uuid();
    let lane = message.group.clone().filter(|_| arn.is_fifo());
    if subscriptions.is_empty() && !arn.is_fifo() {
        return Ok(Receipt { message_id: uuid, sequence_number: None });
    }
    let per_group =
        topic.row.attributes.get("FifoThroughputScope").is_some_and(|scope| scope == "MessageGroup");
    let new = NewMessage {
        topic: topic.row.id,
        uuid,
        document: document(&message)?,
        once: message.deduplication.clone().map(|token| Once {
            lane: lane.clone().filter(|_| per_group).unwrap_or_default(),
            token,
            now,
            until: UnixMillis(now.0.saturating_add(DEDUPLICATION_MILLIS)),
        }),
        deliveries: subscriptions
            .iter()
            .map(|&subscription| NewDelivery { subscription, lane: lane.clone() })
            .collect(),
        due: now,
    };
    let published = cx.service.store.topics().publish(new).await?;
    subscriptions.into_iter().for_each(|subscription| cx.service.lanes.wake(subscription));
    Ok(Receipt { message_id: published.uuid, sequence_number: published.sequence.map(sequence_number) })
}

/// Stores a message to one subscription about itself, which `token` confirms.
pub(super) async fn publish_about(
    cx: &Context<'_>,
    topic: &TopicRow,
    subscription: &SubscriptionRow,
    kind: Kind,
    text: String,
    token: &str,
) -> Result<(), SnsError> {
    let now = cx.service.clock.now();
    let message = Message {
        kind,
        topic: arn_of(subscription).topic.to_string(),
        text,
        structured: false,
        subject: None,
        attributes: Vec::new(),
        group: None,
        deduplication: None,
        at: now.0,
        signature_version: signature_version(topic),
        trace: None,
        token: Some(token.to_owned()),
    };
    let new = NewMessage {
        topic: topic.id,
        uuid: random::uuid(),
        document: document(&message)?,
        once: None,
        deliveries: vec![NewDelivery { subscription: subscription.id, lane: None }],
        due: now,
    };
    cx.service.store.topics().publish(new).await?;
    cx.service.lanes.wake(subscription.id);
    Ok(())
}

fn signature_version(topic: &TopicRow) -> SignatureVersion {
    SignatureVersion::of(topic.attributes.get("SignatureVersion").map(String::as_str))
}

fn document(message: &Message) -> Result<String, SnsError> {
    let damaged =
        |error: serde_json::Error| StoreError::Damaged { what: "message", detail: error.to_string() };
    Ok(serde_json::to_string(message).map_err(damaged)?)
}
