//! Settings of subscriptions.

use lambd_outbound::sqs::QueueName;
use lambd_store::topics::{SubscriptionRow, SubscriptionState, Texts};
use serde_json::Value;

use super::attributes_into;
use super::subscriptions::find;
use crate::delivery::{HttpPolicy, arn_of};
use crate::error::SnsError;
use crate::filter::{FilterPolicy, FilterScope};
use crate::names::{SubscriptionArn, TopicArn};
use crate::service::{Context, Reply};

/// Set by who confirms: only a signed request may end the subscription. It is not shown.
pub(super) const AUTHENTICATE: &str = "AuthenticateOnUnsubscribe";

/// Whether a subscription may have these settings.
pub(super) fn check(topic: &TopicArn, protocol: &str, attributes: &Texts) -> Result<(), SnsError> {
    for (name, value) in attributes {
        check_one(topic, protocol, name, value)?;
    }
    let scope = match attributes.get("FilterPolicyScope") {
        None => FilterScope::Attributes,
        Some(scope) => FilterScope::parse(scope).ok_or_else(|| {
            let reason = format!(
                "FilterPolicyScope: Invalid value [{scope}]. Please use either MessageBody or MessageAttributes"
            );
            SnsError::reason("Attributes", reason)
        })?,
    };
    if let Some(policy) = attributes.get("FilterPolicy").filter(|policy| !policy.is_empty()) {
        FilterPolicy::parse(policy, scope)
            .map_err(|error| SnsError::parameter(format!("FilterPolicy: {error}")))?;
    }
    Ok(())
}

fn check_one(topic: &TopicArn, protocol: &str, name: &str, value: &str) -> Result<(), SnsError> {
    let web = matches!(protocol, "http" | "https");
    match name {
        "FilterPolicy" | "FilterPolicyScope" | AUTHENTICATE => Ok(()),
        "RawMessageDelivery" => {
            let flag = value.to_lowercase();
            if !matches!(flag.as_str(), "true" | "false") {
                return Err(SnsError::reason(
                    "Attributes",
                    format!("RawMessageDelivery: Invalid value [{value}]. Must be true or false."),
                ));
            }
            if flag == "true" && !(web || protocol == "sqs") {
                return Err(SnsError::reason(
                    "Attributes",
                    format!(
                        "RawMessageDelivery: Delivery protocol [{protocol}] does not support raw message delivery."
                    ),
                ));
            }
            Ok(())
        }
        "DeliveryPolicy" if value.is_empty() => Ok(()),
        "DeliveryPolicy" if !web => Err(SnsError::reason(
            "Attributes",
            format!("DeliveryPolicy: Delivery protocol [{protocol}] does not support delivery policies."),
        )),
        "DeliveryPolicy" => {
            HttpPolicy::check_of_subscription(value).map_err(|error| SnsError::parameter(error.to_string()))
        }
        "RedrivePolicy" if value.is_empty() => Ok(()),
        "RedrivePolicy" => check_redrive(topic, value),
        "ReplayPolicy" => {
            Err(SnsError::reason("ReplayPolicy", "lambd keeps no archive of messages; see docs/topic.md"))
        }
        "SubscriptionRoleArn" => Err(SnsError::reason(
            "Attributes",
            format!("SubscriptionRoleArn: Delivery protocol [{protocol}] does not use a role."),
        )),
        _ => Err(SnsError::parameter("AttributeName")),
    }
}

fn check_redrive(topic: &TopicArn, policy: &str) -> Result<(), SnsError> {
    let error = |what: &str| SnsError::parameter(format!("RedrivePolicy: {what}"));
    let policy: Value = serde_json::from_str(policy).map_err(|_| error("failed to parse JSON."))?;
    let arn = policy.get("deadLetterTargetArn").and_then(Value::as_str);
    let queue =
        arn.and_then(QueueName::of_arn).ok_or_else(|| error("deadLetterTargetArn is an invalid arn"))?;
    if queue.is_fifo() == topic.is_fifo() {
        Ok(())
    } else if topic.is_fifo() {
        Err(error("must use a FIFO queue as DLQ for a FIFO topic"))
    } else {
        Err(error("must use a standard queue as DLQ for a standard topic"))
    }
}

pub(super) async fn set(cx: &Context<'_>) -> Result<Reply, SnsError> {
    let name = cx.required("AttributeName")?;
    let value = cx.params.get("AttributeValue").unwrap_or_default();
    if name == AUTHENTICATE {
        return Err(SnsError::parameter("AttributeName"));
    }
    let _one_at_a_time = cx.service.changes.lock().await;
    let row = visible(cx).await?;
    let topic = arn_of(&row).topic;
    check_one(&topic, &row.protocol, name, value)?;
    let mut attributes = row.attributes.clone();
    put(&mut attributes, name, value);
    check(&topic, &row.protocol, &attributes)?;
    let there = cx.service.store.topics().update_subscription(row.id, &attributes).await?;
    cx.service.book.forget(&topic);
    if there { Ok(Reply::Empty) } else { Err(SnsError::NoSubscription) }
}

/// Sets one; what is empty is as good as not there.
pub(super) fn put(attributes: &mut Texts, name: &str, value: &str) {
    let nothing = value.is_empty() || (name == "FilterPolicy" && value.trim() == "{}");
    if nothing {
        attributes.remove(name);
    } else if name == "RawMessageDelivery" {
        attributes.insert(name.to_owned(), value.to_lowercase());
    } else {
        attributes.insert(name.to_owned(), value.to_owned());
    }
}

async fn visible(cx: &Context<'_>) -> Result<SubscriptionRow, SnsError> {
    let arn = SubscriptionArn::parse(cx.required("SubscriptionArn")?);
    let row = find(cx, &arn.ok_or_else(|| SnsError::parameter("SubscriptionArn"))?).await?;
    if row.state == SubscriptionState::Ended { Err(SnsError::NoSubscription) } else { Ok(row) }
}

pub(super) async fn get(cx: &Context<'_>) -> Result<Reply, SnsError> {
    cx.service.store.topics().forget_expired(cx.service.clock.now()).await?;
    let row = visible(cx).await?;
    let arn = arn_of(&row);
    let mut shown = row.attributes.clone();
    shown.remove(AUTHENTICATE);
    let has_filter = shown.contains_key("FilterPolicy");
    if matches!(row.protocol.as_str(), "http" | "https") {
        let topic = cx.service.book.topic(&arn.topic).await?;
        let topic = topic.as_ref().and_then(|topic| topic.row.attributes.get("DeliveryPolicy"));
        let own = row.attributes.get("DeliveryPolicy");
        let in_force = HttpPolicy::in_force(topic.map(String::as_str), own.map(String::as_str));
        shown.insert("EffectiveDeliveryPolicy".to_owned(), in_force.document_of_subscription());
    }
    let mut default = |name: &str, value: String| {
        shown.entry(name.to_owned()).or_insert(value);
    };
    default("SubscriptionArn", arn.to_string());
    default("TopicArn", arn.topic.to_string());
    default("Owner", row.owner.to_string());
    default("Protocol", row.protocol.clone());
    default("Endpoint", row.endpoint.clone());
    default("RawMessageDelivery", "false".to_owned());
    default("PendingConfirmation", (row.state == SubscriptionState::Pending).to_string());
    default("ConfirmationWasAuthenticated", row.authenticated.to_string());
    default("SubscriptionPrincipal", format!("arn:aws:iam::{}:root", row.owner));
    if has_filter {
        default("FilterPolicyScope", "MessageAttributes".to_owned());
    }
    Ok(Reply::of(|xml| attributes_into(xml, &shown)))
}
