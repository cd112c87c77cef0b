//! `UntagQueue`

use lambd_store::queues::QueueRow;
use serde::Deserialize;

use crate::error::SqsError;
use crate::service::Context;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Input {
    queue_url: Option<String>,
    tag_keys: Option<Vec<String>>,
}

pub(crate) async fn run(cx: &Context<'_>, input: Input) -> Result<(), SqsError> {
    let keys = input.tag_keys.filter(|keys| !keys.is_empty()).ok_or_else(|| SqsError::missing("TagKeys"))?;
    let _changing = cx.shared.registry.changing.lock().await;
    let queue = cx.queue(input.queue_url.as_deref())?;
    let mut tags = queue.row.tags.clone();
    tags.retain(|key, _| !keys.contains(key));
    cx.shared.store.queues().set_tags(queue.id(), tags.clone()).await?;
    cx.shared.registry.put(QueueRow { tags, ..queue.row.clone() })?;
    Ok(())
}
