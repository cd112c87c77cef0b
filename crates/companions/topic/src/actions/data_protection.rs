//! Data protection policies: kept and given back.

use serde_json::Value;

use super::topics::{find, save};
use crate::error::SnsError;
use crate::service::{Context, Reply};

/// Where a topic keeps it.
pub(super) const ATTRIBUTE: &str = "DataProtectionPolicy";
/// Characters of a policy.
const MAX: usize = 30_720;

pub(super) fn check(policy: &str) -> Result<(), SnsError> {
    let is_object = matches!(serde_json::from_str(policy), Ok(Value::Object(_)));
    let valid = policy.is_empty() || (is_object && policy.chars().count() <= MAX);
    if valid { Ok(()) } else { Err(SnsError::parameter(ATTRIBUTE)) }
}

pub(super) async fn get(cx: &Context<'_>) -> Result<Reply, SnsError> {
    let topic = find(cx, &cx.topic_arn("ResourceArn")?).await?;
    Ok(Reply::of(|xml| {
        xml.optional(ATTRIBUTE, topic.attributes.get(ATTRIBUTE));
    }))
}

pub(super) async fn put(cx: &Context<'_>) -> Result<Reply, SnsError> {
    let arn = cx.topic_arn("ResourceArn")?;
    let policy = cx.params.get(ATTRIBUTE).unwrap_or_default();
    check(policy)?;
    let _one_at_a_time = cx.service.changes.lock().await;
    let mut topic = find(cx, &arn).await?;
    if policy.is_empty() {
        topic.attributes.remove(ATTRIBUTE);
    } else {
        topic.attributes.insert(ATTRIBUTE.to_owned(), policy.to_owned());
    }
    save(cx, &arn, &topic).await?;
    Ok(Reply::Empty)
}
