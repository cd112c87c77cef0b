//! What a message looks like to those who get it.

use lambd_outbound::sqs;
use lambd_types::{UnixMillis, iso8601_millis};
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::message::{Attribute, AttributeType, Kind, Message};

/// What an envelope says beside the message.
#[derive(Debug, Clone, Default)]
pub(super) struct Stamp {
    /// `SequenceNumber`, in a FIFO topic.
    pub(super) sequence: Option<String>,
    /// Signature and `SigningCertURL`; FIFO topics do not sign.
    pub(super) signature: Option<(String, String)>,
    /// `SubscribeURL`, of messages about a subscription.
    pub(super) subscribe: Option<String>,
    /// `UnsubscribeURL`, of others.
    pub(super) unsubscribe: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Envelope<'a> {
    r#type: &'a str,
    message_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    sequence_number: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<&'a str>,
    topic_arn: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<&'a str>,
    message: &'a str,
    #[serde(rename = "SubscribeURL", skip_serializing_if = "Option::is_none")]
    subscribe_url: Option<&'a str>,
    timestamp: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    signature_version: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    signature: Option<&'a str>,
    #[serde(rename = "SigningCertURL", skip_serializing_if = "Option::is_none")]
    signing_cert_url: Option<&'a str>,
    #[serde(rename = "UnsubscribeURL", skip_serializing_if = "Option::is_none")]
    unsubscribe_url: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message_attributes: Option<Map<String, Value>>,
}

/// The JSON that queues and web servers get.
pub(super) fn notification(message: &Message, id: &str, text: &str, stamp: &Stamp) -> String {
    let signed = stamp.signature.as_ref();
    let envelope = Envelope {
        r#type: message.kind.as_str(),
        message_id: id,
        sequence_number: stamp.sequence.as_deref(),
        token: message.token.as_deref().filter(|_| message.kind != Kind::Notification),
        topic_arn: &message.topic,
        subject: message.subject.as_deref(),
        message: text,
        subscribe_url: stamp.subscribe.as_deref(),
        timestamp: iso8601_millis(UnixMillis(message.at)),
        signature_version: signed.map(|_| message.signature_version.as_str()),
        signature: signed.map(|(signature, _)| signature.as_str()),
        signing_cert_url: signed.map(|(_, url)| url.as_str()),
        unsubscribe_url: stamp.unsubscribe.as_deref(),
        message_attributes: (!message.attributes.is_empty()).then(|| attributes(&message.attributes)),
    };
    serde_json::to_string(&envelope).unwrap_or_default()
}

fn attributes(attributes: &[Attribute]) -> Map<String, Value> {
    let each = attributes.iter();
    each.map(|a| (a.name.clone(), json!({ "Type": a.data_type, "Value": a.value }))).collect()
}

/// The event that functions get (SVC2-115).
pub(super) fn event(message: &Message, id: &str, subscription: &str, text: &str, stamp: &Stamp) -> String {
    let (signature, certificate) = stamp.signature.clone().unwrap_or_default();
    json!({ "Records": [{
        "EventSource": "aws:sns",
        "EventVersion": "1.0",
        "EventSubscriptionArn": subscription,
        "Sns": {
            "Type": message.kind.as_str(),
            "MessageId": id,
            "TopicArn": message.topic,
            "Subject": message.subject,
            "Message": text,
            "Timestamp": iso8601_millis(UnixMillis(message.at)),
            "SignatureVersion": message.signature_version.as_str(),
            "Signature": signature,
            "SigningCertUrl": certificate,
            "UnsubscribeUrl": stamp.unsubscribe,
            "MessageAttributes": attributes(&message.attributes),
        },
    }] })
    .to_string()
}

/// The attributes as those of a message in a queue.
pub(super) fn queue_attributes(attributes: &[Attribute]) -> Vec<sqs::Attribute> {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    let each = attributes.iter().map(|attribute| sqs::Attribute {
        name: attribute.name.clone(),
        data_type: attribute.data_type.clone(),
        value: match attribute.kind() {
            AttributeType::Binary => {
                sqs::AttributeValue::Binary(STANDARD.decode(&attribute.value).unwrap_or_default().into())
            }
            _ => sqs::AttributeValue::Text(attribute.value.clone()),
        },
    });
    each.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::SignatureVersion;

    fn message() -> Message {
        Message {
            kind: Kind::Notification,
            topic: "arn:aws:sns:us-east-2:123456789012:sns-lambda".into(),
            text: "Hello from SNS!".into(),
            structured: false,
            subject: Some("TestInvoke".into()),
            attributes: vec![
                Attribute { name: "Test".into(), data_type: "String".into(), value: "TestString".into() },
                Attribute { name: "TestBinary".into(), data_type: "Binary".into(), value: "AAEC".into() },
            ],
            group: None,
            deduplication: None,
            at: 1_546_433_107_000,
            signature_version: SignatureVersion::One,
            trace: None,
            token: Some("t".into()),
        }
    }

    fn stamp() -> Stamp {
        Stamp {
            signature: Some(("sig".into(), "http://c".into())),
            unsubscribe: Some("http://u".into()),
            ..Stamp::default()
        }
    }

    /// SVC2-115: the members of SVC2-F29.
    #[test]
    fn a_function_gets_the_documented_event() {
        let event: Value =
            serde_json::from_str(&event(&message(), "id", "sub", "Hello from SNS!", &stamp())).unwrap();
        let expected = json!({ "Records": [{
            "EventVersion": "1.0",
            "EventSubscriptionArn": "sub",
            "EventSource": "aws:sns",
            "Sns": {
                "SignatureVersion": "1",
                "Timestamp": "2019-01-02T12:45:07.000Z",
                "Signature": "sig",
                "SigningCertUrl": "http://c",
                "MessageId": "id",
                "Message": "Hello from SNS!",
                "MessageAttributes": {
                    "Test": { "Type": "String", "Value": "TestString" },
                    "TestBinary": { "Type": "Binary", "Value": "AAEC" },
                },
                "Type": "Notification",
                "UnsubscribeUrl": "http://u",
                "TopicArn": "arn:aws:sns:us-east-2:123456789012:sns-lambda",
                "Subject": "TestInvoke",
            },
        }] });
        assert_eq!(event, expected);
    }

    #[test]
    fn an_envelope_has_what_there_is_in_the_order_of_sns() {
        let text = notification(&message(), "id", "Hi", &stamp());
        assert_eq!(
            text,
            "{\"Type\":\"Notification\",\"MessageId\":\"id\",\
             \"TopicArn\":\"arn:aws:sns:us-east-2:123456789012:sns-lambda\",\"Subject\":\"TestInvoke\",\
             \"Message\":\"Hi\",\"Timestamp\":\"2019-01-02T12:45:07.000Z\",\"SignatureVersion\":\"1\",\
             \"Signature\":\"sig\",\"SigningCertURL\":\"http://c\",\"UnsubscribeURL\":\"http://u\",\
             \"MessageAttributes\":{\"Test\":{\"Type\":\"String\",\"Value\":\"TestString\"},\
             \"TestBinary\":{\"Type\":\"Binary\",\"Value\":\"AAEC\"}}}"
        );
        let plain = Message { attributes: Vec::new(), subject: None, ..message() };
        let fifo = Stamp { sequence: Some("7".into()), ..Stamp::default() };
        assert_eq!(
            notification(&plain, "id", "Hi", &fifo),
            "{\"Type\":\"Notification\",\"MessageId\":\"id\",\"SequenceNumber\":\"7\",\
             \"TopicArn\":\"arn:aws:sns:us-east-2:123456789012:sns-lambda\",\"Message\":\"Hi\",\
             \"Timestamp\":\"2019-01-02T12:45:07.000Z\"}"
        );
    }
}
