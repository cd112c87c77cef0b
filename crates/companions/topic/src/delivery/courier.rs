//! One attempt to deliver one message to one subscription.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use lambd_outbound::lambda::{FunctionArn, Functions};
use lambd_outbound::sqs::{Outgoing, QueueName, Queues};
use lambd_outbound::{Client, ServiceError};
use lambd_store::topics::{DeliveryRow, SubscriptionRow};
use lambd_types::Clock;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::envelope::{self, Stamp};
use super::policy::HttpPolicy;
use crate::message::{Kind, Message};
use crate::names::{FIFO, SubscriptionArn, TopicArn};
use crate::signing::{Signer, SigningError};

/// How long a web server may take to answer.
const HTTP_LIMIT: Duration = Duration::from_secs(15);
/// Where certificates are.
pub(crate) const CERTIFICATES: &str = "/_lambd/sns/";
const VALUE: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// Where messages can go.
#[derive(Debug, Clone)]
pub struct Destinations {
    /// Queues of subscribers, and dead letter queues.
    pub queues: Queues,
    /// Functions of subscribers.
    pub functions: Functions,
    /// For web servers of subscribers.
    pub client: Client,
}

/// What became of an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Outcome {
    Delivered,
    /// It failed for now.
    Later(String),
    /// It will always fail.
    Never(String),
}

impl From<Result<(), ServiceError>> for Outcome {
    fn from(result: Result<(), ServiceError>) -> Self {
        match result {
            Ok(()) => Self::Delivered,
            Err(error) if error.is_transient() => Self::Later(error.to_string()),
            Err(error) => Self::Never(error.to_string()),
        }
    }
}

impl From<SigningError> for Outcome {
    fn from(error: SigningError) -> Self {
        Self::Later(error.to_string())
    }
}

/// Addresses that messages carry.
#[derive(Debug, Clone)]
pub(crate) struct Links {
    /// Where the daemon is, if it listens on one address. Otherwise a subscriber knows best by which it reached us.
    pub(crate) own: Option<String>,
}

impl Links {
    fn base(&self, subscription: &SubscriptionRow) -> String {
        format!("http://{}", self.own.as_deref().unwrap_or(&subscription.host))
    }

    fn confirm(&self, subscription: &SubscriptionRow, message: &Message) -> String {
        let (topic, token) = (encoded(&message.topic), message.token.as_deref().unwrap_or_default());
        format!("{}/?Action=ConfirmSubscription&TopicArn={topic}&Token={token}", self.base(subscription))
    }

    fn unsubscribe(&self, subscription: &SubscriptionRow) -> String {
        let arn = encoded(&arn_of(subscription).to_string());
        format!("{}/?Action=Unsubscribe&SubscriptionArn={arn}", self.base(subscription))
    }
}

fn encoded(text: &str) -> String {
    utf8_percent_encode(text, VALUE).to_string()
}

/// The ARN of a subscription.
pub(crate) fn arn_of(row: &SubscriptionRow) -> SubscriptionArn {
    let topic = TopicArn { scope: row.scope.clone(), name: row.topic_name.clone() };
    SubscriptionArn { topic, uuid: row.uuid.clone() }
}

/// `SequenceNumber`: twenty digits, as SNS has them.
pub(crate) fn sequence_number(sequence: i64) -> String {
    format!("1{sequence:019}")
}

/// Makes attempts.
pub(crate) struct Courier {
    pub(crate) destinations: Destinations,
    pub(crate) signer: Arc<Signer>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) links: Links,
}

impl Courier {
    /// Hands a message to the subscription's endpoint.
    pub(super) async fn deliver(
        &self,
        to: &SubscriptionRow,
        row: &DeliveryRow,
        message: &Message,
        policy: &HttpPolicy,
    ) -> Outcome {
        match to.protocol.as_str() {
            "sqs" => self.to_queue(&to.endpoint, to, row, message).await,
            "lambda" => self.to_function(to, row, message).await,
            "http" | "https" => self.to_web(to, row, message, policy).await,
            other => Outcome::Never(format!("lambd does not deliver to {other}")),
        }
    }

    /// Hands a message to a queue, which may be the subscription's dead letter queue.
    pub(super) async fn to_queue(
        &self,
        queue: &str,
        to: &SubscriptionRow,
        row: &DeliveryRow,
        message: &Message,
    ) -> Outcome {
        let Some(queue) = QueueName::of_arn(queue) else {
            return Outcome::Never(format!("{queue} is no ARN of a queue"));
        };
        let text = message.text_for(&to.protocol);
        let raw = is_raw(to);
        let body = if raw {
            text.into_owned()
        } else {
            match self.stamp(to, row, message, &text).await {
                Ok(stamp) => envelope::notification(message, &row.uuid, &text, &stamp),
                Err(error) => return error.into(),
            }
        };
        let attributes = if raw { envelope::queue_attributes(&message.attributes) } else { Vec::new() };
        // A queue without order refuses deduplication ids, and takes groups.
        let fifo = queue.is_fifo();
        let outgoing = Outgoing {
            body: &body,
            attributes: &attributes,
            group_id: message.group.as_deref().filter(|_| fifo || !message.topic.ends_with(FIFO)),
            deduplication_id: message.deduplication.as_deref().filter(|_| fifo),
            trace_header: message.trace.as_deref(),
        };
        let sent = self.destinations.queues.send(&queue, outgoing, self.clock.now()).await;
        sent.map(drop).into()
    }

    async fn to_function(&self, to: &SubscriptionRow, row: &DeliveryRow, message: &Message) -> Outcome {
        let Some(function) = FunctionArn::parse(&to.endpoint) else {
            return Outcome::Never(format!("{} is no ARN of a function", to.endpoint));
        };
        let text = message.text_for("lambda");
        let stamp = match self.stamp(to, row, message, &text).await {
            Ok(stamp) => stamp,
            Err(error) => return error.into(),
        };
        let event = envelope::event(message, &row.uuid, &arn_of(to).to_string(), &text, &stamp);
        let (event, trace) = (Bytes::from(event), message.trace.as_deref());
        self.destinations.functions.invoke_later(&function, event, trace, self.clock.now()).await.into()
    }

    async fn to_web(
        &self,
        to: &SubscriptionRow,
        row: &DeliveryRow,
        message: &Message,
        policy: &HttpPolicy,
    ) -> Outcome {
        let Ok(url) = to.endpoint.parse::<Uri>() else {
            return Outcome::Never(format!("{} is no URL", to.endpoint));
        };
        let text = message.text_for(&to.protocol);
        let raw = is_raw(to) && message.kind == Kind::Notification;
        let body = if raw {
            text.into_owned()
        } else {
            match self.stamp(to, row, message, &text).await {
                Ok(stamp) => envelope::notification(message, &row.uuid, &text, &stamp),
                Err(error) => return error.into(),
            }
        };
        let headers = headers(to, row, message, raw, &policy.content_type);
        match self.destinations.client.post(&url, headers, body.into(), HTTP_LIMIT).await {
            Ok(status) if status.is_success() => Outcome::Delivered,
            Ok(status) if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS => {
                Outcome::Later(format!("it answered {status}"))
            }
            Ok(status) => Outcome::Never(format!("it answered {status}")),
            Err(error) => match ServiceError::from(error) {
                error if error.is_transient() => Outcome::Later(error.to_string()),
                error => Outcome::Never(error.to_string()),
            },
        }
    }

    async fn stamp(
        &self,
        to: &SubscriptionRow,
        row: &DeliveryRow,
        message: &Message,
        text: &str,
    ) -> Result<Stamp, SigningError> {
        let about = message.kind != Kind::Notification;
        let subscribe = about.then(|| self.links.confirm(to, message));
        let signature = if message.topic.ends_with(FIFO) {
            None
        } else {
            let signature = self.signer.sign(message, &row.uuid, text, subscribe.as_deref()).await?;
            let certificate = self.signer.certificate().await?.name;
            Some((signature, format!("{}{CERTIFICATES}{certificate}", self.links.base(to))))
        };
        let unsubscribe = (!about).then(|| self.links.unsubscribe(to));
        Ok(Stamp { sequence: row.sequence.map(sequence_number), signature, subscribe, unsubscribe })
    }
}

fn is_raw(subscription: &SubscriptionRow) -> bool {
    subscription.attributes.get("RawMessageDelivery").is_some_and(|value| value == "true")
}

fn headers(
    to: &SubscriptionRow,
    row: &DeliveryRow,
    message: &Message,
    raw: bool,
    content_type: &str,
) -> HeaderMap {
    let subscription = arn_of(to).to_string();
    let mut headers = HeaderMap::new();
    headers.insert(header::USER_AGENT, HeaderValue::from_static("Amazon Simple Notification Service Agent"));
    let mut set = |name: &'static str, value: &str| {
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.insert(name, value);
        }
    };
    set("content-type", content_type);
    set("x-amz-sns-message-type", message.kind.as_str());
    set("x-amz-sns-message-id", &row.uuid);
    set("x-amz-sns-topic-arn", &message.topic);
    if message.kind != Kind::SubscriptionConfirmation {
        set("x-amz-sns-subscription-arn", &subscription);
    }
    if raw {
        set("x-amz-sns-rawdelivery", "true");
    }
    headers
}
