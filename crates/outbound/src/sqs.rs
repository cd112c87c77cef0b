//! Sending messages to queues of SQS or a service with its interface.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{Request, header};
use lambd_types::{AccountId, Region, UnixMillis};
use serde_json::{Map, Value, json};

use crate::service::{answer_of, impossible};
use crate::{Client, Credentials, Endpoint, ServiceError};

/// Names one queue.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct QueueName {
    /// Its region.
    pub region: Region,
    /// Whose it is.
    pub account: AccountId,
    /// Its name, which ends with `.fifo` for a FIFO queue.
    pub name: String,
}

impl QueueName {
    /// The queue of an ARN, `arn:aws:sqs:us-east-1:123456789012:my-queue`; `None` if that is none.
    pub fn of_arn(arn: &str) -> Option<Self> {
        let fields: Vec<&str> = arn.split(':').collect();
        let ["arn", _, "sqs", region, account, name] = fields[..] else { return None };
        let (stem, most) = name.strip_suffix(".fifo").map_or((name, 80), |stem| (stem, 75));
        let allowed = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
        let valid = !stem.is_empty() && stem.len() <= most && stem.bytes().all(allowed);
        let (region, account) = (Region::parse(region)?, AccountId::parse(account)?);
        valid.then(|| Self { region, account, name: name.to_owned() })
    }

    /// Whether it keeps the order of its groups.
    pub fn is_fifo(&self) -> bool {
        self.name.ends_with(".fifo")
    }
}

/// The value of a message attribute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AttributeValue {
    /// For the types `String` and `Number`.
    Text(String),
    /// For the type `Binary`.
    Binary(Bytes),
}

/// A message attribute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attribute {
    /// Its name.
    pub name: String,
    /// `String`, `Number` or `Binary`, perhaps with a label: `Number.int`.
    pub data_type: String,
    /// Its value.
    pub value: AttributeValue,
}

/// A message to be sent.
#[derive(Debug, Clone, Copy, Default)]
pub struct Outgoing<'a> {
    /// Its text.
    pub body: &'a str,
    /// Its attributes; their order has no meaning.
    pub attributes: &'a [Attribute],
    /// Its group; FIFO queues want one.
    pub group_id: Option<&'a str>,
    /// What tells its repetitions, in a FIFO queue.
    pub deduplication_id: Option<&'a str>,
    /// The trace it belongs to, which the queue keeps as the system attribute `AWSTraceHeader`.
    pub trace_header: Option<&'a str>,
}

/// What a queue said of a message that it took.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sent {
    /// The id of the message.
    pub message_id: String,
    /// Its place in its group, in a FIFO queue.
    pub sequence_number: Option<String>,
}

/// The queues behind one endpoint.
#[derive(Debug, Clone)]
pub struct Queues {
    client: Client,
    endpoint: Endpoint,
    credentials: Option<Credentials>,
}

impl Queues {
    /// The queues at `endpoint`, whose URLs are the endpoint, the account and the name. Without credentials requests
    /// come from the account of each queue, for services that take an access key for the account.
    pub fn new(client: Client, endpoint: Endpoint, credentials: Option<Credentials>) -> Self {
        Self { client, endpoint, credentials }
    }

    /// Sends a message (`SendMessage`).
    ///
    /// # Errors
    /// [`ServiceError::is_transient`] tells whether to try again.
    pub async fn send(
        &self,
        queue: &QueueName,
        message: Outgoing<'_>,
        at: UnixMillis,
    ) -> Result<Sent, ServiceError> {
        let QueueName { region, account, name } = queue;
        let url = self.endpoint.url(region, &format!("/{account}/{name}")).map_err(impossible)?;
        let body = document(&url.to_string(), message);
        let request = Request::post(self.endpoint.url(region, "/").map_err(impossible)?)
            .header(header::CONTENT_TYPE, "application/x-amz-json-1.0")
            .header("x-amz-target", "AmazonSQS.SendMessage")
            .body(Bytes::from(body.to_string()))
            .map_err(impossible)?;
        let own = || Credentials::of_account(account);
        let credentials = self.credentials.clone().unwrap_or_else(own);
        let response = self.client.send(request, "sqs", region, &credentials, at).await?;
        let answer: Value = serde_json::from_slice(&answer_of(response).await?).unwrap_or_default();
        let text = |name: &str| answer.get(name).and_then(Value::as_str).map(str::to_owned);
        Ok(Sent {
            message_id: text("MessageId").unwrap_or_default(),
            sequence_number: text("SequenceNumber"),
        })
    }
}

fn document(url: &str, message: Outgoing<'_>) -> Value {
    let mut document = json!({ "QueueUrl": url, "MessageBody": message.body });
    if !message.attributes.is_empty() {
        document["MessageAttributes"] =
            message.attributes.iter().map(attribute).collect::<Map<_, _>>().into();
    }
    if let Some(header) = message.trace_header {
        let trace = json!({ "DataType": "String", "StringValue": header });
        document["MessageSystemAttributes"] = json!({ "AWSTraceHeader": trace });
    }
    if let Some(id) = message.group_id {
        document["MessageGroupId"] = id.into();
    }
    if let Some(id) = message.deduplication_id {
        document["MessageDeduplicationId"] = id.into();
    }
    document
}

fn attribute(attribute: &Attribute) -> (String, Value) {
    let value = match &attribute.value {
        AttributeValue::Text(text) => json!({ "DataType": attribute.data_type, "StringValue": text }),
        AttributeValue::Binary(bytes) => {
            json!({ "DataType": attribute.data_type, "BinaryValue": STANDARD.encode(bytes) })
        }
    };
    (attribute.name.clone(), value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::tests::{answer, server};

    fn queue(arn: &str) -> QueueName {
        QueueName::of_arn(arn).unwrap()
    }

    #[test]
    fn queues_are_named_by_their_arns() {
        let queue = queue("arn:aws-cn:sqs:cn-north-1:123456789012:orders.fifo");
        assert_eq!((queue.account.as_str(), queue.region.as_str()), ("123456789012", "cn-north-1"));
        assert!(queue.is_fifo());
        let long = format!("arn:aws:sqs:us-east-1:123456789012:{}", "a".repeat(81));
        for bad in [
            "arn:aws:sns:us-east-1:123456789012:q",
            "arn:aws:sqs:us-east-1:1:q",
            "arn:aws:sqs:nowhere:123456789012:q",
            "arn:aws:sqs:us-east-1:123456789012:.fifo",
            "arn:aws:sqs:us-east-1:123456789012:a/../b",
            "arn:aws:sqs:us-east-1:123456789012:",
            "http://127.0.0.1/123456789012/q",
            &long,
        ] {
            assert_eq!(QueueName::of_arn(bad), None, "{bad}");
        }
    }

    #[tokio::test]
    async fn a_message_is_sent_whole() {
        let body = r#"{"MessageId":"m-1","MD5OfMessageBody":"x","SequenceNumber":"18"}"#;
        let (endpoint, seen) = server(answer("200 OK", "", body)).await;
        let queues = Queues::new(Client::default(), endpoint.clone(), None);
        let attributes = [
            Attribute {
                name: "n".into(),
                data_type: "Number".into(),
                value: AttributeValue::Text("1".into()),
            },
            Attribute {
                name: "b".into(),
                data_type: "Binary.x".into(),
                value: AttributeValue::Binary(Bytes::from_static(b"\x00\xff")),
            },
        ];
        let message = Outgoing {
            body: "hällo",
            attributes: &attributes,
            group_id: Some("g"),
            deduplication_id: Some("d"),
            trace_header: Some("Root=1"),
        };
        let queue = queue("arn:aws:sqs:eu-west-1:123456789012:q.fifo");
        let sent = queues.send(&queue, message, UnixMillis(0)).await.unwrap();
        assert_eq!(sent, Sent { message_id: "m-1".into(), sequence_number: Some("18".into()) });
        let seen = seen.await.unwrap();
        assert!(seen.head.starts_with("POST / HTTP/1.1\r\n"), "{}", seen.head);
        assert!(seen.head.contains("x-amz-target: AmazonSQS.SendMessage\r\n"), "{}", seen.head);
        assert!(seen.head.contains("content-type: application/x-amz-json-1.0\r\n"), "{}", seen.head);
        assert!(seen.head.contains("Credential=123456789012/19700101/eu-west-1/sqs/aws4_request"));
        let expected = json!({
            "QueueUrl": format!("{endpoint}/123456789012/q.fifo"),
            "MessageBody": "hällo",
            "MessageAttributes": {
                "n": { "DataType": "Number", "StringValue": "1" },
                "b": { "DataType": "Binary.x", "BinaryValue": "AP8=" },
            },
            "MessageSystemAttributes": { "AWSTraceHeader": { "DataType": "String", "StringValue": "Root=1" } },
            "MessageGroupId": "g",
            "MessageDeduplicationId": "d",
        });
        assert_eq!(seen.body, expected);
    }

    #[tokio::test]
    async fn what_is_not_there_is_not_sent() {
        let (endpoint, seen) = server(answer("200 OK", "", r#"{"MessageId":"m"}"#)).await;
        let queues = Queues::new(Client::default(), endpoint.clone(), None);
        let message = Outgoing { body: "x", ..Outgoing::default() };
        queues.send(&queue("arn:aws:sqs:us-east-1:000000000000:q"), message, UnixMillis(0)).await.unwrap();
        let url = format!("{endpoint}/000000000000/q");
        assert_eq!(seen.await.unwrap().body, json!({ "QueueUrl": url, "MessageBody": "x" }));
    }

    #[tokio::test]
    async fn a_refusal_has_the_queues_own_words() {
        let body =
            r#"{"__type":"com.amazonaws.sqs#QueueDoesNotExist","message":"The queue does not exist."}"#;
        let header = "x-amzn-query-error: AWS.SimpleQueueService.NonExistentQueue;Sender\r\n";
        let (endpoint, _seen) = server(answer("400 Bad Request", header, body)).await;
        let queues = Queues::new(Client::default(), endpoint, None);
        let message = Outgoing { body: "x", ..Outgoing::default() };
        let queue = queue("arn:aws:sqs:us-east-1:000000000000:q");
        let error = queues.send(&queue, message, UnixMillis(0)).await.unwrap_err();
        assert_eq!(error.to_string(), "QueueDoesNotExist: The queue does not exist.");
        assert!(!error.is_transient());
        // The server is gone after its one answer.
        let error = queues.send(&queue, message, UnixMillis(0)).await.unwrap_err();
        assert!(error.is_transient(), "{error}");
    }
}
