//! Topics.

use lambd_store::topics::{Texts, TopicRow};

use super::{PAGE, attributes_of, cut, data_protection, permissions, tags, topic_attributes};
use crate::error::SnsError;
use crate::names::{FIFO, TopicArn, is_topic_name};
use crate::service::{Context, Reply};

/// The topic of that ARN, which must exist, and with which the caller may do what it asks for.
pub(super) async fn find(cx: &Context<'_>, arn: &TopicArn) -> Result<TopicRow, SnsError> {
    let topic = of_arn(cx, arn).await?;
    permissions::check(cx, &topic)?;
    Ok(topic)
}

/// The topic of that ARN, whoever asks.
pub(super) async fn of_arn(cx: &Context<'_>, arn: &TopicArn) -> Result<TopicRow, SnsError> {
    cx.service.store.topics().topic(&arn.scope, &arn.name).await?.ok_or(SnsError::NoTopic)
}

/// Writes a changed topic back.
pub(super) async fn save(cx: &Context<'_>, arn: &TopicArn, row: &TopicRow) -> Result<(), SnsError> {
    let there = cx.service.store.topics().update_topic(row).await?;
    cx.service.book.forget(arn);
    if there { Ok(()) } else { Err(SnsError::NoTopic) }
}

pub(super) async fn create(cx: &Context<'_>) -> Result<Reply, SnsError> {
    let name = cx.required("Name")?;
    let mut attributes = attributes_of(cx.params);
    check_name(name, &attributes)?;
    let arn = TopicArn { scope: cx.scope().clone(), name: name.to_owned() };
    for (attribute, value) in &attributes {
        topic_attributes::check(&arn, attribute, value)?;
    }
    if let Some(policy) = cx.params.get("DataProtectionPolicy") {
        data_protection::check(policy)?;
        attributes.insert(data_protection::ATTRIBUTE.to_owned(), policy.to_owned());
    }
    attributes.retain(|_, value| !value.is_empty());
    let tags = tags::of(cx.params)?;
    let _one_at_a_time = cx.service.changes.lock().await;
    let topics = cx.service.store.topics();
    if topics.insert_topic(&arn.scope, name, &attributes, &tags).await?.is_none() {
        let existing = find(cx, &arn).await?;
        same(&existing, &attributes, &tags)?;
    }
    cx.service.book.forget(&arn);
    Ok(Reply::of(|xml| {
        xml.text("TopicArn", &arn);
    }))
}

fn check_name(name: &str, attributes: &Texts) -> Result<(), SnsError> {
    let is_fifo = match attributes.get("FifoTopic").map(String::as_str) {
        None | Some("false") => false,
        Some("true") => true,
        Some(_) => return Err(SnsError::reason("Attributes", "FifoTopic must be true or false")),
    };
    if is_fifo && !(name.ends_with(FIFO) && is_topic_name(name)) {
        return Err(SnsError::parameter(
            "Fifo Topic names must end with .fifo and must be made up of only uppercase and lowercase ASCII \
             letters, numbers, underscores, and hyphens, and must be between 1 and 256 characters long.",
        ));
    }
    if is_topic_name(name) && name.ends_with(FIFO) == is_fifo {
        Ok(())
    } else {
        Err(SnsError::parameter("Topic Name"))
    }
}

/// A topic may be made again as long as nothing is asked for that it does not have.
fn same(existing: &TopicRow, attributes: &Texts, tags: &Texts) -> Result<(), SnsError> {
    let has = |name: &str| match existing.attributes.get(name).map(String::as_str) {
        None if matches!(name, "FifoTopic" | "ContentBasedDeduplication") => Some("false"),
        value => value,
    };
    if attributes.iter().any(|(name, value)| has(name) != Some(value)) {
        return Err(SnsError::reason("Attributes", "Topic already exists with different attributes"));
    }
    if !tags.is_empty() && existing.tags != *tags {
        return Err(SnsError::reason("Tags", "Topic already exists with different tags"));
    }
    Ok(())
}

/// Deleting what is not there is fine.
pub(super) async fn delete(cx: &Context<'_>) -> Result<Reply, SnsError> {
    let arn = cx.topic_arn("TopicArn")?;
    let _one_at_a_time = cx.service.changes.lock().await;
    match find(cx, &arn).await {
        Ok(topic) => cx.service.store.topics().delete_topic(topic.id).await?,
        Err(SnsError::NoTopic) => {}
        Err(error) => return Err(error),
    }
    cx.service.book.forget(&arn);
    Ok(Reply::Empty)
}

pub(super) async fn list(cx: &Context<'_>) -> Result<Reply, SnsError> {
    let after = cx.params.get("NextToken").unwrap_or_default();
    if !after.is_empty() && !is_topic_name(after) {
        return Err(SnsError::parameter("NextToken"));
    }
    let mut names = cx.service.store.topics().topic_names(cx.scope(), after, PAGE + 1).await?;
    let more = cut(&mut names);
    Ok(Reply::of(|xml| {
        xml.list("Topics", &names, |xml, name| {
            xml.text("TopicArn", TopicArn { scope: cx.scope().clone(), name: name.clone() });
        });
        xml.optional("NextToken", names.last().filter(|_| more));
    }))
}
