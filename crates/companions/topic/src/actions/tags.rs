//! Tags of topics.

use lambd_http::protocol::query::Params;
use lambd_store::topics::{Texts, TopicRow};

use super::topics::{find, save};
use crate::error::SnsError;
use crate::names::TopicArn;
use crate::service::{Context, Reply};

/// Most tags of one topic.
const MAX_TAGS: usize = 50;
const MAX_KEY: usize = 128;
const MAX_VALUE: usize = 256;

/// `Tags` of a request.
pub(super) fn of(params: &Params) -> Result<Texts, SnsError> {
    let mut tags = Texts::new();
    for tag in params.structures("Tags") {
        let (key, value) = (tag.get("Key").unwrap_or_default(), tag.get("Value").unwrap_or_default());
        if key.is_empty() || key.chars().count() > MAX_KEY || key.starts_with("aws:") {
            return Err(SnsError::reason("Tags", "The tag key is invalid"));
        }
        if value.chars().count() > MAX_VALUE {
            return Err(SnsError::reason("Tags", "The tag value is invalid"));
        }
        if tags.insert(key.to_owned(), value.to_owned()).is_some() {
            return Err(SnsError::parameter("Duplicated keys are not allowed."));
        }
    }
    if tags.len() > MAX_TAGS { Err(SnsError::TooManyTags) } else { Ok(tags) }
}

async fn resource(cx: &Context<'_>) -> Result<(TopicArn, TopicRow), SnsError> {
    let arn = cx.topic_arn("ResourceArn")?;
    match find(cx, &arn).await {
        Ok(topic) => Ok((arn, topic)),
        Err(SnsError::NoTopic) => Err(SnsError::NoResource),
        Err(error) => Err(error),
    }
}

pub(super) async fn tag(cx: &Context<'_>) -> Result<Reply, SnsError> {
    let tags = of(cx.params)?;
    let _one_at_a_time = cx.service.changes.lock().await;
    let (arn, mut topic) = resource(cx).await?;
    topic.tags.extend(tags);
    if topic.tags.len() > MAX_TAGS {
        return Err(SnsError::TooManyTags);
    }
    save(cx, &arn, &topic).await?;
    Ok(Reply::of(|_| {}))
}

pub(super) async fn untag(cx: &Context<'_>) -> Result<Reply, SnsError> {
    let keys = cx.params.list("TagKeys");
    let _one_at_a_time = cx.service.changes.lock().await;
    let (arn, mut topic) = resource(cx).await?;
    topic.tags.retain(|key, _| !keys.contains(&key.as_str()));
    save(cx, &arn, &topic).await?;
    Ok(Reply::of(|_| {}))
}

pub(super) async fn list(cx: &Context<'_>) -> Result<Reply, SnsError> {
    let (_, topic) = resource(cx).await?;
    Ok(Reply::of(|xml| {
        xml.list("Tags", &topic.tags, |xml, (key, value)| {
            xml.text("Key", key).text("Value", value);
        });
    }))
}
