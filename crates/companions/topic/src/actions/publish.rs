//! Publishing, one message or up to ten.

use futures_util::future::join_all;
use lambd_http::protocol::query::Member;

use super::permissions;
use super::publication::{Draft, MAX_BYTES, Receipt, publish};
use crate::error::SnsError;
use crate::service::{Context, Reply};

/// Messages of a batch.
const MAX_ENTRIES: usize = 10;
/// Characters of the id of an entry.
const MAX_ENTRY_ID: usize = 80;

pub(super) async fn one(cx: &Context<'_>) -> Result<Reply, SnsError> {
    let target = cx.params.get("TopicArn").or_else(|| cx.params.get("TargetArn"));
    let Some(target) = target else {
        if cx.params.get("PhoneNumber").is_some() {
            return Err(SnsError::Unsupported("Publishing to a phone number", "way to send SMS"));
        }
        return Err(SnsError::reason("TopicArn or TargetArn", "no value for required parameter"));
    };
    if target.contains(":endpoint/") || target.contains(":app/") {
        return Err(SnsError::Unsupported("Publishing to a device", "way to push to devices"));
    }
    let name = if cx.params.get("TopicArn").is_some() { "TopicArn" } else { "TargetArn" };
    let arn = cx.arn_in(name, target)?;
    let topic = cx.service.book.topic(&arn).await?.ok_or(SnsError::NoTopic)?;
    permissions::check(cx, &topic.row)?;
    let draft = Draft::read(cx.params, &topic.row, &arn)?;
    let receipt = publish(cx, &topic, &arn, draft).await?;
    Ok(Reply::of(|xml| {
        xml.text("MessageId", receipt.message_id).optional("SequenceNumber", receipt.sequence_number);
    }))
}

pub(super) async fn batch(cx: &Context<'_>) -> Result<Reply, SnsError> {
    let arn = cx.topic_arn("TopicArn")?;
    let entries = cx.params.structures("PublishBatchRequestEntries");
    let ids: Vec<&str> = entries.iter().map(|entry| entry.get("Id").unwrap_or_default()).collect();
    check_ids(&ids)?;
    let topic = cx.service.book.topic(&arn).await?.ok_or(SnsError::NoTopic)?;
    permissions::check(cx, &topic.row)?;
    let drafts: Vec<Result<Draft, SnsError>> =
        entries.iter().map(|entry: &Member<'_>| Draft::read(entry, &topic.row, &arn)).collect();
    if drafts.iter().flatten().map(Draft::size).sum::<usize>() > MAX_BYTES {
        return Err(SnsError::BatchTooLong);
    }
    // Handed over in their order, committed together.
    let published =
        join_all(drafts.into_iter().map(async |draft| publish(cx, &topic, &arn, draft?).await)).await;
    let (mut successful, mut failed) = (Vec::new(), Vec::new());
    for (id, result) in ids.into_iter().zip(published) {
        match result {
            Ok(receipt) => successful.push((id, receipt)),
            Err(error) => failed.push((id, error)),
        }
    }
    Ok(Reply::of(|xml| {
        xml.list("Successful", successful, |xml, (id, Receipt { message_id, sequence_number })| {
            xml.text("Id", id).text("MessageId", message_id).optional("SequenceNumber", sequence_number);
        });
        xml.list("Failed", failed, |xml, (id, error)| {
            xml.text("Id", id).text("Code", error.code()).text("Message", &error);
            xml.text("SenderFault", error.is_senders());
        });
    }))
}

fn check_ids(ids: &[&str]) -> Result<(), SnsError> {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    let valid = |id: &&str| (1..=MAX_ENTRY_ID).contains(&id.len()) && id.bytes().all(allowed);
    if ids.is_empty() {
        Err(SnsError::EmptyBatch)
    } else if ids.len() > MAX_ENTRIES {
        Err(SnsError::TooManyEntries)
    } else if !ids.iter().all(valid) {
        Err(SnsError::EntryId)
    } else if ids.iter().enumerate().any(|(at, id)| ids[..at].contains(id)) {
        Err(SnsError::EntryIdsNotDistinct)
    } else {
        Ok(())
    }
}
