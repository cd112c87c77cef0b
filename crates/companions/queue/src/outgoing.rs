//! Messages that are sent, alone or in a batch.

use std::collections::BTreeMap;

use lambd_store::queues::{Dedup, NewMessage, Put, Stored};
use lambd_types::{Sha256Digest, UnixMillis, random};
use serde::{Deserialize, Serialize};

use crate::attributes::LONGEST_DELAY;
use crate::digests;
use crate::error::SqsError;
use crate::message::{self, Attributes, Content, Details, TRACE_HEADER, WireValue};
use crate::registry::Queue;
use crate::service::Context;

/// How long two messages with the same deduplication id are the same, in milliseconds.
const DEDUP_INTERVAL: i64 = 5 * 60 * 1000;

/// A message as a client sends it.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct Outgoing {
    /// Of a message that is sent alone.
    pub(crate) queue_url: Option<String>,
    /// Of an entry of a batch.
    pub(crate) id: Option<String>,
    message_body: Option<String>,
    delay_seconds: Option<i64>,
    message_attributes: BTreeMap<String, WireValue>,
    message_system_attributes: BTreeMap<String, WireValue>,
    message_deduplication_id: Option<String>,
    message_group_id: Option<String>,
}

impl Outgoing {
    /// Bytes that count for the size of a batch.
    pub(crate) fn size(&self) -> usize {
        let value = |value: &WireValue| {
            let texts = [&value.data_type, &value.string_value];
            let binary = value.binary_value.as_deref().unwrap_or_default().trim_end_matches('=');
            texts.into_iter().flatten().map(String::len).sum::<usize>() + binary.len() * 3 / 4
        };
        let attributes = self.message_attributes.iter().map(|(name, v)| name.len() + value(v)).sum::<usize>();
        self.message_body.as_ref().map_or(0, String::len) + attributes
    }

    /// What every message of a queue of this kind has, or a batch with it is refused as a whole.
    pub(crate) fn check_kind(&self, queue: &Queue) -> Result<(), SqsError> {
        if !queue.row.fifo {
            return Ok(());
        }
        if self.message_deduplication_id.is_none() && !queue.settings.dedup_by_content {
            return Err(no_dedup());
        }
        if self.message_group_id.is_none() {
            return Err(SqsError::invalid(SqsError::missing("MessageGroupId").message));
        }
        Ok(())
    }
}

fn no_dedup() -> SqsError {
    SqsError::invalid(
        "The queue should either have ContentBasedDeduplication enabled or \
         MessageDeduplicationId provided explicitly",
    )
}

/// What its sender is told.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Sent {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) id: Option<String>,
    message_id: String,
    #[serde(rename = "MD5OfMessageBody")]
    md5_of_body: String,
    #[serde(rename = "MD5OfMessageAttributes", skip_serializing_if = "Option::is_none")]
    md5_of_attributes: Option<String>,
    #[serde(rename = "MD5OfMessageSystemAttributes", skip_serializing_if = "Option::is_none")]
    md5_of_system_attributes: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sequence_number: Option<String>,
}

/// A message that was checked, all but for what the queue says about it.
#[derive(Debug, Clone)]
pub(crate) struct Checked {
    id: Option<String>,
    body: String,
    delay: Option<i64>,
    attributes: Attributes,
    system: Attributes,
    dedup: Option<String>,
    group: Option<String>,
    /// Bytes of body and attributes.
    size: usize,
}

/// Checks what does not depend on the queue.
pub(crate) fn check(message: Outgoing) -> Result<Checked, SqsError> {
    let body = message.message_body.ok_or_else(|| SqsError::missing("MessageBody"))?;
    message::check_body(&body)?;
    let attributes = message::check_attributes(message.message_attributes)?;
    let system = message::check_system_attributes(message.message_system_attributes)?;
    let size = message::size(&body, &attributes);
    for (value, parameter) in [
        (&message.message_group_id, "MessageGroupId"),
        (&message.message_deduplication_id, "MessageDeduplicationId"),
    ] {
        check_fifo_id(value.as_deref(), parameter)?;
    }
    if let Some(delay) = message.delay_seconds
        && !(0..=LONGEST_DELAY).contains(&delay)
    {
        return Err(SqsError::value(delay, "DelaySeconds", "DelaySeconds must be >= 0 and <= 900."));
    }
    Ok(Checked {
        id: message.id,
        body,
        delay: message.delay_seconds,
        attributes,
        system,
        dedup: message.message_deduplication_id,
        group: message.message_group_id,
        size,
    })
}

pub(crate) fn check_fifo_id(value: Option<&str>, parameter: &str) -> Result<(), SqsError> {
    let Some(value) = value else { return Ok(()) };
    if (1..=128).contains(&value.len()) && value.bytes().all(|b| b.is_ascii_graphic()) {
        return Ok(());
    }
    let reason =
        format!("{parameter} can only include alphanumeric and punctuation characters. 1 to 128 in length.");
    Err(SqsError::value(value, parameter, &reason))
}

/// What its sender will be told, but for what the store adds.
#[derive(Debug)]
pub(crate) struct Unsent {
    sent: Sent,
}

impl Checked {
    /// The message for the store, and what its sender will be told.
    pub(crate) fn prepare(
        self,
        cx: &Context<'_>,
        queue: &Queue,
        now: UnixMillis,
    ) -> Result<(NewMessage, Unsent), SqsError> {
        let settings = &queue.settings;
        if self.size > settings.largest_message {
            let limit = settings.largest_message;
            let words = if self.id.is_some() { "cannot be validated" } else { "are invalid" };
            return Err(SqsError::invalid(format!(
                "One or more parameters {words}. Reason: Message must be shorter than {limit} bytes."
            )));
        }
        let dedup = if queue.row.fifo { self.fifo(queue, now)? } else { self.standard()? };
        let delay = self.delay.filter(|_| !queue.row.fifo).map_or(settings.delay, |seconds| seconds * 1000);
        let uuid = random::uuid();
        let sent = Sent {
            id: self.id,
            message_id: uuid.clone(),
            md5_of_body: digests::md5_hex(self.body.as_bytes()),
            md5_of_attributes: digests::attributes(&self.attributes),
            md5_of_system_attributes: digests::attributes(&self.system),
            sequence_number: None,
        };
        let trace_header = self.system.into_iter().find(|(name, _)| name == TRACE_HEADER);
        let details = Details {
            sender: cx.scope().account.to_string(),
            group: self.group.clone(),
            dedup: dedup.as_ref().map(|(id, _)| id.clone()),
            trace_header: trace_header.and_then(|(_, value)| match value.content {
                Content::Text(text) => Some(text),
                Content::Binary(_) => None,
            }),
            attributes: self.attributes,
        };
        let message = NewMessage {
            uuid,
            visible_at: UnixMillis(now.0 + delay),
            lane: self.group.filter(|_| queue.row.fifo),
            dedup: dedup.map(|(_, dedup)| dedup),
            details: details.to_bytes()?,
            body: self.body.into_bytes(),
        };
        Ok((message, Unsent { sent }))
    }

    fn standard(&self) -> Result<Option<(String, Dedup)>, SqsError> {
        match &self.dedup {
            None => Ok(None),
            Some(id) => {
                let reason = "The request includes a parameter that is not valid for this queue type.";
                Err(SqsError::value(id, "MessageDeduplicationId", reason))
            }
        }
    }

    /// Its deduplication id, and what makes it the same as another message.
    fn fifo(&self, queue: &Queue, now: UnixMillis) -> Result<Option<(String, Dedup)>, SqsError> {
        if let Some(delay) = self.delay.filter(|delay| *delay != 0) {
            let reason = "The request include parameter that is not valid for this queue type.";
            return Err(SqsError::value(delay, "DelaySeconds", reason));
        }
        let group = self.group.as_ref().ok_or_else(|| SqsError::missing("MessageGroupId"))?;
        let id = match &self.dedup {
            Some(id) => id.clone(),
            None if queue.settings.dedup_by_content => Sha256Digest::of(self.body.as_bytes()).to_hex(),
            None => return Err(no_dedup()),
        };
        // The length tells where the group ends.
        let key = if queue.settings.dedup_by_group {
            format!("{}:{group}{id}", group.len())
        } else {
            format!(":{id}")
        };
        Ok(Some((id, Dedup { key, until: UnixMillis(now.0 + DEDUP_INTERVAL) })))
    }
}

/// Puts messages into a queue; `None`: it is gone. Who waits for them is told.
pub(crate) async fn put(
    cx: &Context<'_>,
    queue: &Queue,
    at: UnixMillis,
    messages: Vec<(NewMessage, Unsent)>,
) -> Result<Option<Vec<Sent>>, SqsError> {
    let (messages, mut told): (Vec<_>, Vec<_>) = messages.into_iter().unzip();
    let Some(stored) = cx.shared.store.queues().put(Put { queue: queue.id(), at, messages }).await? else {
        return Ok(None);
    };
    queue.signs.arrived(stored.iter().filter(|stored| stored.same_as.is_none()).count());
    for (Unsent { sent }, Stored { id, same_as }) in told.iter_mut().zip(stored) {
        if let Some(uuid) = same_as {
            sent.message_id = uuid;
        }
        sent.sequence_number = queue.row.fifo.then(|| sequence_number(id));
    }
    Ok(Some(told.into_iter().map(|told| told.sent).collect()))
}

/// Sequence numbers have twenty digits.
const FIRST_SEQUENCE_NUMBER: u64 = 10_000_000_000_000_000_000;

/// The sequence number of a message in a FIFO queue.
pub(crate) fn sequence_number(id: i64) -> String {
    (FIRST_SEQUENCE_NUMBER + id as u64).to_string()
}
