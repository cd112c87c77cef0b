//! Subscriptions.

use http::Uri;
use lambd_http::protocol::query::Xml;
use lambd_outbound::lambda::FunctionArn;
use lambd_outbound::sqs::QueueName;
use lambd_store::topics::{NewSubscription, SubscriptionRow, SubscriptionState, Texts, TopicRow};
use lambd_types::{UnixMillis, random};

use super::publication::publish_about;
use super::subscription_attributes::{AUTHENTICATE, check, put};
use super::topics::{find as find_topic, of_arn};
use super::{PAGE, attributes_of, cut};
use crate::delivery::arn_of;
use crate::error::SnsError;
use crate::message::Kind;
use crate::names::{SubscriptionArn, TopicArn};
use crate::service::{Context, Reply};

/// How long a subscription waits for its confirmation, and how long its end can be taken back.
const CONFIRMATION_MILLIS: i64 = 48 * 3_600_000;
const PENDING: &str = "pending confirmation";
const PENDING_IN_LISTS: &str = "PendingConfirmation";

/// The subscription of that ARN, in whatever state. It is its owner's and its topic's, and known to who has a link.
pub(super) async fn find(cx: &Context<'_>, arn: &SubscriptionArn) -> Result<SubscriptionRow, SnsError> {
    let row = cx.service.store.topics().subscription(&arn.uuid).await?;
    let row = row.filter(|row| arn_of(row) == *arn).ok_or(SnsError::NoSubscription)?;
    let own = [&row.owner, &row.scope.account].contains(&cx.account());
    if own || !cx.head.caller.is_signed() {
        return Ok(row);
    }
    Err(SnsError::Denied(cx.account().clone(), cx.params.action().to_owned(), arn.to_string()))
}

/// Checks protocol and endpoint; tells whether the endpoint is to be asked.
fn check_endpoint(topic: &TopicArn, protocol: &str, endpoint: &str) -> Result<bool, SnsError> {
    let invalid = |what: &'static str| SnsError::reason("Endpoint", what);
    let known = ["sqs", "lambda", "http", "https", "email", "email-json", "sms", "application", "firehose"];
    if !known.contains(&protocol) {
        return Err(SnsError::parameter(format!(
            "Amazon SNS does not support this protocol string: {protocol}"
        )));
    }
    if topic.is_fifo() && protocol != "sqs" {
        return Err(SnsError::parameter(format!("Invalid protocol type: {protocol}")));
    }
    match protocol {
        "sqs" => {
            let queue = QueueName::of_arn(endpoint).ok_or_else(|| SnsError::parameter("SQS endpoint ARN"))?;
            if queue.is_fifo() && !topic.is_fifo() {
                return Err(SnsError::parameter(
                    "Invalid parameter: Endpoint Reason: FIFO SQS Queues can not be subscribed to standard SNS topics",
                ));
            }
            Ok(false)
        }
        "lambda" => match FunctionArn::parse(endpoint) {
            Some(_) => Ok(false),
            None => Err(SnsError::parameter("Lambda endpoint ARN")),
        },
        "http" | "https" => {
            let url: Uri = endpoint.parse().map_err(|_| invalid("it is no URL"))?;
            let has_host = url.host().is_some_and(|host| !host.is_empty());
            if url.scheme_str() == Some(protocol) && has_host {
                Ok(true)
            } else {
                Err(SnsError::parameter("Endpoint must match the specified protocol"))
            }
        }
        "email" | "email-json" if endpoint.contains('@') => Ok(true),
        "email" | "email-json" => Err(SnsError::parameter("Email address")),
        "sms" => Err(SnsError::Unsupported("The protocol sms", "way to send SMS")),
        "application" => Err(SnsError::Unsupported("The protocol application", "way to push to devices")),
        _ => Err(SnsError::Unsupported("The protocol firehose", "Firehose")),
    }
}

pub(super) async fn subscribe(cx: &Context<'_>) -> Result<Reply, SnsError> {
    let arn = cx.topic_arn("TopicArn")?;
    let protocol = cx.required("Protocol")?;
    let endpoint = cx.required("Endpoint")?;
    let asked = check_endpoint(&arn, protocol, endpoint)?;
    if cx.head.caller.confined && matches!(protocol, "http" | "https") {
        return Err(SnsError::WebFromFunction);
    }
    let requested = attributes_of(cx.params);
    if requested.contains_key(AUTHENTICATE) {
        return Err(SnsError::parameter("AttributeName"));
    }
    check(&arn, protocol, &requested)?;
    let mut attributes = Texts::new();
    requested.iter().for_each(|(name, value)| put(&mut attributes, name, value));

    let _one_at_a_time = cx.service.changes.lock().await;
    let topics = cx.service.store.topics();
    let now = cx.service.clock.now();
    topics.forget_expired(now).await?;
    let topic = find_topic(cx, &arn).await?;
    if let Some(existing) = topics.subscription_to(topic.id, protocol, endpoint).await? {
        let differs = |(name, value): (&String, &String)| {
            // What is asked for explicitly may be the default.
            let default = match name.as_str() {
                "RawMessageDelivery" => "false",
                "FilterPolicyScope" => "MessageAttributes",
                _ => "",
            };
            existing.attributes.get(name).map_or(default, String::as_str) != value
        };
        if attributes.iter().any(differs) {
            let reason = "Subscription already exists with different attributes";
            return Err(SnsError::reason("Attributes", reason));
        }
        // A server that missed the question is asked again.
        if existing.state == SubscriptionState::Pending {
            ask(cx, &topic, &existing).await?;
        }
        return Ok(subscribed(cx, &existing));
    }
    let (uuid, token) = (random::uuid(), random::hex(&random::bytes::<64>()));
    let new = NewSubscription {
        topic: topic.id,
        uuid: &uuid,
        owner: cx.account(),
        protocol,
        endpoint,
        attributes: &attributes,
        pending_until: asked.then(|| UnixMillis(now.0.saturating_add(CONFIRMATION_MILLIS))),
        token: &token,
        host: cx.head.host(),
    };
    let made = topics.insert_subscription(&new).await?;
    cx.service.book.forget(&arn);
    let row = topics.subscription(&uuid).await?.filter(|_| made).ok_or(SnsError::NoTopic)?;
    if asked {
        ask(cx, &topic, &row).await?;
    }
    Ok(subscribed(cx, &row))
}

fn subscribed(cx: &Context<'_>, row: &SubscriptionRow) -> Reply {
    let shown = cx.params.get("ReturnSubscriptionArn").is_some_and(|flag| flag.eq_ignore_ascii_case("true"));
    let arn = if row.state == SubscriptionState::Confirmed || shown {
        arn_of(row).to_string()
    } else {
        PENDING.to_owned()
    };
    Reply::of(|xml| {
        xml.text("SubscriptionArn", arn);
    })
}

/// Asks an endpoint whether it wants to be one. Mail is not sent: such a subscription stays as it is.
async fn ask(cx: &Context<'_>, topic: &TopicRow, row: &SubscriptionRow) -> Result<(), SnsError> {
    if !matches!(row.protocol.as_str(), "http" | "https") {
        tracing::warn!(
            endpoint = row.endpoint,
            topic = row.topic_name,
            "lambd sends no mail: this subscription is never confirmed, and gets no messages"
        );
        return Ok(());
    }
    let text = format!(
        "You have chosen to subscribe to the topic {}.\nTo confirm the subscription, visit the SubscribeURL \
         included in this message.",
        arn_of(row).topic
    );
    publish_about(cx, topic, row, Kind::SubscriptionConfirmation, text, &row.token).await
}

pub(super) async fn confirm(cx: &Context<'_>) -> Result<Reply, SnsError> {
    let arn = cx.topic_arn("TopicArn")?;
    let token = cx.required("Token")?;
    let authenticate = cx.params.get(AUTHENTICATE).is_some_and(|flag| flag.eq_ignore_ascii_case("true"));
    let _one_at_a_time = cx.service.changes.lock().await;
    let topics = cx.service.store.topics();
    topics.forget_expired(cx.service.clock.now()).await?;
    let topic = of_arn(cx, &arn).await?;
    let found = topics.subscription_of_token(topic.id, token).await?;
    let mut row = found.ok_or_else(|| SnsError::parameter("Token"))?;
    if row.state != SubscriptionState::Confirmed {
        let signed = cx.head.caller.is_signed();
        if authenticate && signed {
            row.attributes.insert(AUTHENTICATE.to_owned(), "true".to_owned());
            topics.update_subscription(row.id, &row.attributes).await?;
        }
        topics.confirm_subscription(row.id, signed).await?;
        cx.service.book.forget(&arn);
    }
    Ok(Reply::of(|xml| {
        xml.text("SubscriptionArn", arn_of(&row));
    }))
}

/// Ending what has ended already is fine.
pub(super) async fn unsubscribe(cx: &Context<'_>) -> Result<Reply, SnsError> {
    let arn = SubscriptionArn::parse(cx.required("SubscriptionArn")?);
    let arn = arn.ok_or_else(|| SnsError::parameter("SubscriptionArn"))?;
    let _one_at_a_time = cx.service.changes.lock().await;
    let topics = cx.service.store.topics();
    let row = match find(cx, &arn).await {
        Ok(row) => row,
        Err(SnsError::NoSubscription) => return Ok(Reply::Empty),
        Err(error) => return Err(error),
    };
    if row.attributes.contains_key(AUTHENTICATE) && !cx.head.caller.is_signed() {
        return Err(SnsError::AuthenticateOnUnsubscribe);
    }
    let web = matches!(row.protocol.as_str(), "http" | "https");
    match row.state {
        SubscriptionState::Ended => {}
        SubscriptionState::Confirmed if web => {
            let token = random::hex(&random::bytes::<64>());
            let until = cx.service.clock.now().0.saturating_add(CONFIRMATION_MILLIS);
            topics.end_subscription(row.id, &token, UnixMillis(until)).await?;
            cx.service.book.forget(&arn.topic);
            let text = format!(
                "You have chosen to deactivate subscription {arn}.\nTo cancel this operation and restore the \
                 subscription, visit the SubscribeURL included in this message."
            );
            let topic = of_arn(cx, &arn.topic).await?;
            publish_about(cx, &topic, &row, Kind::UnsubscribeConfirmation, text, &token).await?;
        }
        _ => topics.delete_subscription(row.id).await?,
    }
    cx.service.book.forget(&arn.topic);
    Ok(Reply::Empty)
}

pub(super) async fn list(cx: &Context<'_>) -> Result<Reply, SnsError> {
    let after = after(cx)?;
    let topics = cx.service.store.topics();
    topics.forget_expired(cx.service.clock.now()).await?;
    Ok(page(topics.subscriptions(cx.scope(), after, PAGE + 1).await?))
}

pub(super) async fn list_by_topic(cx: &Context<'_>) -> Result<Reply, SnsError> {
    let after = after(cx)?;
    let topics = cx.service.store.topics();
    topics.forget_expired(cx.service.clock.now()).await?;
    let topic = find_topic(cx, &cx.topic_arn("TopicArn")?).await?;
    Ok(page(topics.subscriptions_of(topic.id, after, PAGE + 1).await?))
}

fn after(cx: &Context<'_>) -> Result<i64, SnsError> {
    let token = cx.params.get("NextToken").filter(|token| !token.is_empty());
    token.map_or(Ok(0), |token| token.parse().map_err(|_| SnsError::parameter("NextToken")))
}

fn page(mut rows: Vec<SubscriptionRow>) -> Reply {
    let more = cut(&mut rows);
    let one = |xml: &mut Xml, row: &SubscriptionRow| {
        let arn = arn_of(row);
        match row.state {
            SubscriptionState::Confirmed => xml.text("SubscriptionArn", &arn),
            _ => xml.text("SubscriptionArn", PENDING_IN_LISTS),
        };
        xml.text("Owner", &row.owner).text("Protocol", &row.protocol).text("Endpoint", &row.endpoint);
        xml.text("TopicArn", &arn.topic);
    };
    Reply::of(|xml| {
        xml.list("Subscriptions", &rows, one);
        xml.optional("NextToken", rows.last().filter(|_| more).map(|row| row.id));
    })
}
