//! `ReceiveMessage`

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use lambd_store::queues::{Burial, Message, Receipt, Take, Taken};
use lambd_types::UnixMillis;
use serde::{Deserialize, Serialize};

use crate::attributes::{self, LONGEST_VISIBILITY, LONGEST_WAIT};
use crate::digests;
use crate::error::{Kind, SqsError};
use crate::message::{Details, ValueOut, Wanted};
use crate::outgoing::{check_fifo_id, sequence_number};
use crate::receipt;
use crate::registry::{Queue, Waiting};
use crate::service::Context;
use crate::sweeper::expired_at;

/// How long an attempt to receive can be repeated, in milliseconds.
const ATTEMPT: i64 = 5 * 60 * 1000;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Input {
    queue_url: Option<String>,
    #[serde(default)]
    attribute_names: Vec<String>,
    #[serde(default)]
    message_system_attribute_names: Vec<String>,
    #[serde(default)]
    message_attribute_names: Vec<String>,
    max_number_of_messages: Option<i64>,
    visibility_timeout: Option<i64>,
    wait_time_seconds: Option<i64>,
    receive_request_attempt_id: Option<String>,
}

#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Output {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    messages: Vec<MessageOut>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct MessageOut {
    message_id: String,
    receipt_handle: String,
    #[serde(rename = "MD5OfBody")]
    md5_of_body: String,
    body: String,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    attributes: BTreeMap<&'static str, String>,
    #[serde(rename = "MD5OfMessageAttributes", skip_serializing_if = "Option::is_none")]
    md5_of_attributes: Option<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    message_attributes: BTreeMap<String, ValueOut>,
}

/// A request, checked.
struct Wish {
    most: usize,
    visibility: Option<i64>,
    wait: Option<i64>,
    attempt: Option<String>,
    system: Vec<String>,
    attributes: Wanted,
}

pub(crate) async fn run(cx: &Context<'_>, input: Input) -> Result<Output, SqsError> {
    let url = input.queue_url.clone();
    let queue = cx.queue(url.as_deref())?;
    let wish = check(input)?;
    let wait = wish.wait.unwrap_or(queue.settings.wait);
    // A clock that somebody moves ends the wait when it is moved, and so does real time: nobody hangs on a clock
    // that stands still.
    let until = UnixMillis(cx.now().0 + wait);
    let really = tokio::time::Instant::now() + Duration::from_millis(wait as u64);
    let mut closing = cx.shared.closing.clone();
    let _waiting = Waiting::at(&queue);
    loop {
        let queue = cx.queue(url.as_deref())?;
        let mut arrival = pin!(queue.signs.arrivals().notified_owned());
        // Whatever arrives from now on wakes this one.
        arrival.as_mut().enable();
        let (queue, taken) = take(cx, url.as_deref(), &wish, wait > 0).await?;
        if !taken.messages.is_empty() {
            queue.signs.count_in_flight(taken.messages.len() as i64);
            let messages = taken.messages.into_iter().map(|message| shown(&queue, &wish, message));
            return Ok(Output { messages: messages.collect::<Result<_, _>>()? });
        }
        if taken.cut_short {
            continue;
        }
        if wait == 0 || cx.now() >= until || *closing.borrow() {
            return Ok(Output::default());
        }
        let next = taken.next.map_or(until, |next| next.min(until));
        tokio::select! {
            () = arrival => {}
            () = cx.shared.clock.reaches(next) => {}
            () = tokio::time::sleep_until(really) => return Ok(Output::default()),
            _ = closing.changed() => {}
        }
    }
}

/// What there is of the queue at this moment, and the queue as it is now.
async fn take(
    cx: &Context<'_>,
    url: Option<&str>,
    wish: &Wish,
    waits: bool,
) -> Result<(Arc<Queue>, Taken), SqsError> {
    let mut gone = None;
    loop {
        let queue = cx.queue_after(url, &mut gone).await?;
        let most = room(cx, &queue, wish.most).await?;
        if most == 0 {
            if waits || queue.row.fifo {
                return Ok((queue, Taken::default()));
            }
            let allowed = cx.shared.options.most_in_flight;
            let message = format!("Too many messages in flight: at most {allowed} are allowed.");
            return Err(SqsError::new(Kind::OVER_LIMIT, message));
        }
        let now = cx.now();
        let grave = queue.settings.redrive.as_ref().and_then(|redrive| {
            let target = cx.shared.registry.find_arn(&redrive.target)?;
            Some((redrive.most_receives, target))
        });
        let take = Take {
            queue: queue.id(),
            fifo: queue.row.fifo,
            at: now,
            until: UnixMillis(now.0 + wish.visibility.unwrap_or(queue.settings.visibility)),
            most,
            expired_at: expired_at(&queue, now),
            burial: grave.as_ref().map(|(after, target)| Burial {
                after: *after,
                queue: target.id(),
                origin: queue.arn.clone(),
            }),
            attempt: wish.attempt.clone().map(|id| (id, UnixMillis(now.0 - ATTEMPT))),
            waits,
        };
        if let Some(taken) = cx.shared.store.queues().take(take).await? {
            if let Some((_, target)) = grave {
                target.signs.arrived(taken.buried);
            }
            return Ok((queue, taken));
        }
        gone = Some(queue.id());
    }
}

/// How many more messages may be in flight, at most `wanted`. They are counted only when there may be too many.
async fn room(cx: &Context<'_>, queue: &Queue, wanted: usize) -> Result<usize, SqsError> {
    let left =
        |in_flight: i64| (cx.shared.options.most_in_flight - in_flight).clamp(0, wanted as i64) as usize;
    if left(queue.signs.in_flight()) == wanted {
        return Ok(wanted);
    }
    let counted = cx.shared.store.queues().counts(queue.id(), cx.now()).await?.in_flight;
    queue.signs.set_in_flight(counted);
    Ok(left(counted))
}

fn check(input: Input) -> Result<Wish, SqsError> {
    let within = |value: Option<i64>, name: &str, least: i64, most: i64, reason: &str| match value {
        Some(value) if !(least..=most).contains(&value) => Err(SqsError::value(value, name, reason)),
        _ => Ok(value),
    };
    let most = input.max_number_of_messages;
    let most = within(most, "MaxNumberOfMessages", 1, 10, "Must be between 1 and 10, if provided.")?;
    let wait = input.wait_time_seconds;
    let wait = within(wait, "WaitTimeSeconds", 0, LONGEST_WAIT, "Must be >= 0 and <= 20, if provided.")?;
    let visibility = input.visibility_timeout;
    let reason = "Must be >= 0 and <= 43200, if provided.";
    let visibility = within(visibility, "VisibilityTimeout", 0, LONGEST_VISIBILITY, reason)?;
    let attempt = input.receive_request_attempt_id;
    if let Some(id) = &attempt {
        check_fifo_id(Some(id), "ReceiveRequestAttemptId")?;
    }
    let mut system = input.message_system_attribute_names;
    system.extend(input.attribute_names);
    if let Some(name) =
        system.iter().find(|name| !SYSTEM.contains(&name.as_str()) && !attributes::is_known(name))
    {
        return Err(SqsError::unknown_attribute(name));
    }
    Ok(Wish {
        most: most.unwrap_or(1) as usize,
        visibility: visibility.map(|seconds| seconds * 1000),
        wait: wait.map(|seconds| seconds * 1000),
        attempt,
        system,
        attributes: Wanted::new(input.message_attribute_names),
    })
}

const SYSTEM: [&str; 10] = [
    "All",
    "AWSTraceHeader",
    "ApproximateFirstReceiveTimestamp",
    "ApproximateReceiveCount",
    "DeadLetterQueueSourceArn",
    "MessageDeduplicationId",
    "MessageGroupId",
    "SenderId",
    "SentTimestamp",
    "SequenceNumber",
];

/// A message as its receiver sees it.
fn shown(queue: &Queue, wish: &Wish, message: Message) -> Result<MessageOut, SqsError> {
    let receipt = Receipt { queue: queue.id(), id: message.id, receives: message.receives };
    let details = Details::from_bytes(&message.details)?;
    let body = String::from_utf8_lossy(&message.body).into_owned();
    let wanted: BTreeMap<_, _> =
        details.attributes.into_iter().filter(|(name, _)| wish.attributes.includes(name)).collect();
    let system = [
        ("AWSTraceHeader", details.trace_header),
        ("ApproximateFirstReceiveTimestamp", Some(message.first_received.0.to_string())),
        ("ApproximateReceiveCount", Some(message.receives.to_string())),
        ("DeadLetterQueueSourceArn", message.origin),
        ("MessageDeduplicationId", details.dedup),
        ("MessageGroupId", details.group),
        ("SenderId", Some(details.sender)),
        ("SentTimestamp", Some(message.sent_at.0.to_string())),
        ("SequenceNumber", queue.row.fifo.then(|| sequence_number(message.id))),
    ];
    let asked = |name: &str| wish.system.iter().any(|wanted| wanted == "All" || wanted == name);
    let attributes = system.into_iter().filter(|(name, _)| asked(name));
    Ok(MessageOut {
        message_id: message.uuid,
        receipt_handle: receipt::encode(&queue.arn, &receipt),
        md5_of_body: digests::md5_hex(&message.body),
        body,
        attributes: attributes.filter_map(|(name, value)| Some((name, value?))).collect(),
        md5_of_attributes: digests::attributes(&wanted),
        message_attributes: wanted.into_iter().map(|(name, value)| (name, value.into())).collect(),
    })
}
