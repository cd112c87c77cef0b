//! `TagQueue`

use std::collections::BTreeMap;

use lambd_store::queues::QueueRow;
use serde::Deserialize;

use crate::error::SqsError;
use crate::service::Context;

/// Most tags of one queue.
const MOST: usize = 50;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Input {
    queue_url: Option<String>,
    tags: Option<BTreeMap<String, String>>,
}

pub(crate) async fn run(cx: &Context<'_>, input: Input) -> Result<(), SqsError> {
    let new = input.tags.filter(|tags| !tags.is_empty()).ok_or_else(|| SqsError::missing("Tags"))?;
    let _changing = cx.shared.registry.changing.lock().await;
    let queue = cx.queue(input.queue_url.as_deref())?;
    let mut tags = queue.row.tags.clone();
    tags.extend(new);
    check(&queue.row.name, &tags)?;
    cx.shared.store.queues().set_tags(queue.id(), tags.clone()).await?;
    cx.shared.registry.put(QueueRow { tags, ..queue.row.clone() })?;
    Ok(())
}

/// Checks all tags that a queue is to have.
pub(super) fn check(queue: &str, tags: &BTreeMap<String, String>) -> Result<(), SqsError> {
    if tags.len() > MOST {
        return Err(SqsError::invalid(format!("Too many tags added for queue {queue}.")));
    }
    for (key, value) in tags {
        if key.is_empty() || key.chars().count() > 128 {
            return Err(SqsError::invalid("Tag keys must be between 1 and 128 characters in length."));
        }
        if key.to_ascii_lowercase().starts_with("aws:") {
            return Err(SqsError::invalid("Tag keys must not begin with 'aws:', which is reserved."));
        }
        if value.chars().count() > 256 {
            return Err(SqsError::invalid("Tag values must be between 0 and 256 characters in length."));
        }
    }
    Ok(())
}
