//! Queues and topics: what the SDKs of SQS and SNS send, and how they read what comes back.

use std::time::{Duration, Instant};

use aws_sdk_sns::types::PublishBatchRequestEntry;
use aws_sdk_sqs::primitives::Blob;
use aws_sdk_sqs::types::{
    ChangeMessageVisibilityBatchRequestEntry, DeleteMessageBatchRequestEntry, Message, MessageAttributeValue,
    MessageSystemAttributeName, QueueAttributeName, SendMessageBatchRequestEntry,
    SendMessageBatchResultEntry,
};
use aws_smithy_http_client::Builder as HttpBuilder;
use lambd_rust_sdk_tests::Daemon;
use md5::{Digest as _, Md5};
use serde_json::{Value, json};

use super::credentials;

/// What a queue needs at least; more than one is there for FIFO queues and those with policies.
type Attributes<'a> = &'a [(QueueAttributeName, &'a str)];

const FIFO: (QueueAttributeName, &str) = (QueueAttributeName::FifoQueue, "true");

fn sqs(daemon: &Daemon) -> aws_sdk_sqs::Client {
    let config = aws_sdk_sqs::Config::builder()
        .behavior_version(aws_sdk_sqs::config::BehaviorVersion::latest())
        .region(aws_sdk_sqs::config::Region::new("us-east-1"))
        .endpoint_url(daemon.url())
        .credentials_provider(credentials())
        .http_client(HttpBuilder::new().build_http())
        .build();
    aws_sdk_sqs::Client::from_conf(config)
}

fn sns(daemon: &Daemon) -> aws_sdk_sns::Client {
    let config = aws_sdk_sns::Config::builder()
        .behavior_version(aws_sdk_sns::config::BehaviorVersion::latest())
        .region(aws_sdk_sns::config::Region::new("us-east-1"))
        .endpoint_url(daemon.url())
        .credentials_provider(credentials())
        .http_client(HttpBuilder::new().build_http())
        .build();
    aws_sdk_sns::Client::from_conf(config)
}

fn md5(text: &str) -> String {
    Md5::digest(text).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// One queue and its client.
struct Queue {
    client: aws_sdk_sqs::Client,
    url: String,
    arn: String,
}

impl Queue {
    async fn create(client: &aws_sdk_sqs::Client, name: &str, attributes: Attributes<'_>) -> Self {
        let mut request = client.create_queue().queue_name(name);
        for (attribute, value) in attributes {
            request = request.attributes(attribute.clone(), *value);
        }
        let url = request.send().await.expect("create_queue").queue_url.expect("a URL");
        let mut queue = Self { client: client.clone(), url, arn: String::new() };
        queue.arn = queue.attribute(QueueAttributeName::QueueArn).await;
        queue
    }

    async fn attribute(&self, name: QueueAttributeName) -> String {
        let request = self.client.get_queue_attributes().queue_url(&self.url).attribute_names(name.clone());
        let found = request.send().await.expect("get_queue_attributes");
        found.attributes().and_then(|all| all.get(&name)).expect("the attribute").clone()
    }

    /// Messages that are visible, and those that somebody has received.
    async fn counts(&self) -> (String, String) {
        let visible = self.attribute(QueueAttributeName::ApproximateNumberOfMessages).await;
        (visible, self.attribute(QueueAttributeName::ApproximateNumberOfMessagesNotVisible).await)
    }

    /// Sends a batch: the SDK does not compare digests, so this does.
    async fn send(&self, entries: Vec<SendMessageBatchRequestEntry>) {
        let bodies: Vec<String> = entries.iter().map(|entry| md5(entry.message_body())).collect();
        let request = self.client.send_message_batch().queue_url(&self.url).set_entries(Some(entries));
        let sent = request.send().await.expect("send_message_batch");
        assert!(sent.failed().is_empty(), "{sent:?}");
        let digest = SendMessageBatchResultEntry::md5_of_message_body;
        let digests: Vec<&str> = sent.successful().iter().map(digest).collect();
        assert_eq!(digests, bodies);
    }

    /// Receives until there are `count` messages; long polls end when some are there.
    async fn receive(&self, count: usize) -> Vec<Message> {
        let mut messages = Vec::new();
        while messages.len() < count {
            let request = self.client.receive_message().queue_url(&self.url).max_number_of_messages(10);
            let request = request.wait_time_seconds(10).message_attribute_names("All");
            let request = request.message_system_attribute_names(MessageSystemAttributeName::All);
            let found = request.send().await.expect("receive_message").messages.unwrap_or_default();
            assert!(!found.is_empty(), "{} of {count} messages arrived", messages.len());
            messages.extend(found);
        }
        assert_eq!(messages.len(), count);
        for message in &messages {
            assert_eq!(message.md5_of_body(), Some(md5(body(message)).as_str()));
        }
        messages
    }

    async fn delete(&self, messages: &[Message]) {
        let entry = |(at, message): (usize, &Message)| {
            let entry = DeleteMessageBatchRequestEntry::builder().id(at.to_string());
            entry.set_receipt_handle(message.receipt_handle.clone()).build().expect("an entry")
        };
        let entries = messages.iter().enumerate().map(entry).collect();
        let request = self.client.delete_message_batch().queue_url(&self.url).set_entries(Some(entries));
        let deleted = request.send().await.expect("delete_message_batch");
        assert_eq!((deleted.successful().len(), deleted.failed().len()), (messages.len(), 0));
    }
}

fn body(message: &Message) -> &str {
    message.body().unwrap_or_default()
}

fn bodies(messages: &[Message]) -> Vec<&str> {
    messages.iter().map(body).collect()
}

fn attribute(message: &Message, name: MessageSystemAttributeName) -> &str {
    message.attributes().and_then(|all| all.get(&name)).expect("the attribute")
}

fn binary() -> MessageAttributeValue {
    let value = MessageAttributeValue::builder().data_type("Binary").binary_value(Blob::new([0, 128, 255]));
    value.build().expect("a value")
}

/// Batches there and back with attributes, visibility that is given back, and what a batch could not do.
#[tokio::test]
async fn standard_queues() {
    let daemon = Daemon::start();
    let queue = Queue::create(&sqs(&daemon), "standard", &[]).await;
    let entry = |at: usize| {
        let entry = SendMessageBatchRequestEntry::builder().id(at.to_string());
        entry
            .message_body(format!("hällo {at}"))
            .message_attributes("raw", binary())
            .build()
            .expect("an entry")
    };
    queue.send((0..10).map(entry).collect()).await;
    let messages = queue.receive(10).await;
    let mut found = bodies(&messages);
    found.sort_unstable();
    assert_eq!(found, (0..10).map(|at| format!("hällo {at}")).collect::<Vec<_>>());
    assert!(messages.iter().all(|message| message.message_attributes().unwrap()["raw"] == binary()));
    assert_eq!(queue.counts().await, ("0".to_owned(), "10".to_owned()));

    let handle = messages[0].receipt_handle().expect("a receipt");
    let entry = |id: &str, handle: &str| {
        let entry = ChangeMessageVisibilityBatchRequestEntry::builder().id(id).receipt_handle(handle);
        entry.visibility_timeout(0).build().expect("an entry")
    };
    let request = queue.client.change_message_visibility_batch().queue_url(&queue.url);
    let request = request.entries(entry("good", handle)).entries(entry("bad", "x"));
    let changed = request.send().await.expect("change_message_visibility_batch");
    assert_eq!(changed.successful()[0].id(), "good");
    assert_eq!((changed.failed()[0].id(), changed.failed()[0].sender_fault()), ("bad", true));
    let again = queue.receive(1).await;
    assert_eq!(attribute(&again[0], MessageSystemAttributeName::ApproximateReceiveCount), "2");
    queue.delete(&again).await;
    queue.delete(&messages[1..]).await;
    assert_eq!(queue.counts().await, ("0".to_owned(), "0".to_owned()));

    let missing = queue.client.get_queue_url().queue_name("none").send().await;
    let missing = missing.expect_err("there is none").into_service_error();
    assert!(missing.is_queue_does_not_exist(), "{missing:?}");
    let same =
        || SendMessageBatchRequestEntry::builder().id("a").message_body("x").build().expect("an entry");
    let request = queue.client.send_message_batch().queue_url(&queue.url).entries(same()).entries(same());
    let refused = request.send().await.expect_err("two of one name").into_service_error();
    assert!(refused.is_batch_entry_ids_not_distinct(), "{refused:?}");
}

/// A receive that waits has the message when it is sent, not at the end of its time.
#[tokio::test]
async fn long_polls() {
    let daemon = Daemon::start();
    let queue = Queue::create(&sqs(&daemon), "polled", &[]).await;
    let start = Instant::now();
    let poll = queue.client.receive_message().queue_url(&queue.url).wait_time_seconds(20).send();
    let send = async {
        // The poll is sent before this is; if it comes later all the same, it finds the message.
        queue.counts().await;
        let request = queue.client.send_message().queue_url(&queue.url).message_body("at last");
        request.send().await.expect("send_message")
    };
    let (got, sent) = tokio::join!(poll, send);
    let messages = got.expect("receive_message").messages.expect("a message");
    assert_eq!(messages[0].message_id(), sent.message_id());
    assert!(start.elapsed() < Duration::from_secs(15));
}

/// Groups keep their order; what is sent twice is there once.
#[tokio::test]
async fn fifo_queues() {
    let daemon = Daemon::start();
    let deduplication = (QueueAttributeName::ContentBasedDeduplication, "true");
    let queue = Queue::create(&sqs(&daemon), "ordered.fifo", &[FIFO, deduplication]).await;
    let entry = |text: &&str| {
        let entry = SendMessageBatchRequestEntry::builder().id(*text).message_body(*text);
        entry.message_group_id(&text[..1]).build().expect("an entry")
    };
    for _ in 0..2 {
        queue.send(["a1", "b1", "a2", "b2"].iter().map(entry).collect()).await;
    }
    let messages = queue.receive(4).await;
    let group = |name: &str| -> Vec<(&str, u128)> {
        let number = |m| attribute(m, MessageSystemAttributeName::SequenceNumber).parse().expect("a number");
        let of_group = messages.iter().filter(|message| body(message).starts_with(name));
        of_group.map(|message| (body(message), number(message))).collect()
    };
    for name in ["a", "b"] {
        let [(first, one), (second, two)] = group(name)[..] else { panic!("{:?}", bodies(&messages)) };
        assert_eq!((first, second), (format!("{name}1").as_str(), format!("{name}2").as_str()));
        assert!(one < two);
    }
    queue.delete(&messages).await;
}

/// What was received too often goes to the queue of dead letters, and comes back when it is told to.
#[tokio::test]
async fn dead_letters() {
    let daemon = Daemon::start();
    let client = sqs(&daemon);
    let dead = Queue::create(&client, "dead", &[]).await;
    let policy = json!({ "deadLetterTargetArn": dead.arn, "maxReceiveCount": 1 }).to_string();
    let redrive = (QueueAttributeName::RedrivePolicy, policy.as_str());
    let now = (QueueAttributeName::VisibilityTimeout, "0");
    let queue = Queue::create(&client, "jobs", &[redrive, now.clone()]).await;
    let sent = client.send_message().queue_url(&queue.url).message_body("poison").send().await;
    assert_eq!(sent.expect("send_message").md5_of_message_body(), Some(md5("poison").as_str()));
    queue.receive(1).await;
    let none = client.receive_message().queue_url(&queue.url).send().await.expect("receive_message");
    assert!(none.messages().is_empty());
    let request = client.set_queue_attributes().queue_url(&dead.url).attributes(now.0, now.1);
    request.send().await.expect("set_queue_attributes");
    let letters = dead.receive(1).await;
    let source = attribute(&letters[0], MessageSystemAttributeName::DeadLetterQueueSourceArn);
    assert_eq!((body(&letters[0]), source), ("poison", queue.arn.as_str()));
    let started = client.start_message_move_task().source_arn(&dead.arn).send().await;
    assert!(started.expect("start_message_move_task").task_handle().is_some());
    assert_eq!(bodies(&queue.receive(1).await), ["poison"]);
}

/// Subscriptions get what their policies want of a batch, as it was published or in an envelope.
#[tokio::test]
async fn topics() {
    let daemon = Daemon::start();
    let (client, sns) = (sqs(&daemon), sns(&daemon));
    let (raw, wrapped) =
        (Queue::create(&client, "raw", &[]).await, Queue::create(&client, "wrapped", &[]).await);
    let topic =
        sns.create_topic().name("news").send().await.expect("create_topic").topic_arn.expect("an ARN");
    let request = sns.subscribe().topic_arn(&topic).protocol("sqs").endpoint(&raw.arn);
    let request = request.attributes("RawMessageDelivery", "true").return_subscription_arn(true);
    let request = request.attributes("FilterPolicy", json!({ "n": [{ "numeric": [">=", 2] }] }).to_string());
    let subscription = request.send().await.expect("subscribe").subscription_arn.expect("an ARN");
    let request = sns.subscribe().topic_arn(&topic).protocol("sqs").endpoint(&wrapped.arn);
    request.attributes("FilterPolicy", json!({ "n": ["one"] }).to_string()).send().await.expect("subscribe");

    let entry = |n: u8| {
        let (kind, n) = if n == 0 { ("String", "one".to_owned()) } else { ("Number", n.to_string()) };
        let value = aws_sdk_sns::types::MessageAttributeValue::builder().data_type(kind).string_value(&n);
        let entry = PublishBatchRequestEntry::builder().id(&n).message(format!("message {n}"));
        entry.message_attributes("n", value.build().expect("a value")).build().expect("an entry")
    };
    let entries = (0..4).map(entry).collect();
    let request = sns.publish_batch().topic_arn(&topic).set_publish_batch_request_entries(Some(entries));
    let published = request.send().await.expect("publish_batch");
    assert_eq!((published.successful().len(), published.failed().len()), (4, 0));

    let messages = raw.receive(2).await;
    let mut found = bodies(&messages);
    found.sort_unstable();
    assert_eq!(found, ["message 2", "message 3"]);
    assert!(
        messages.iter().all(|message| message.message_attributes().unwrap()["n"].data_type() == "Number")
    );
    let messages = wrapped.receive(1).await;
    let envelope: Value = serde_json::from_str(body(&messages[0])).expect("JSON");
    assert_eq!((&envelope["Type"], &envelope["Message"]), (&json!("Notification"), &json!("message one")));
    assert_eq!(envelope["MessageAttributes"], json!({ "n": { "Type": "String", "Value": "one" } }));

    sns.unsubscribe().subscription_arn(&subscription).send().await.expect("unsubscribe");
    sns.delete_topic().topic_arn(&topic).send().await.expect("delete_topic");
    let gone = sns.get_topic_attributes().topic_arn(&topic).send().await;
    let gone = gone.expect_err("it is deleted").into_service_error();
    assert!(gone.is_not_found_exception(), "{gone:?}");
}
