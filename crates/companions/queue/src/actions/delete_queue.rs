//! `DeleteQueue`

use serde::Deserialize;

use crate::error::SqsError;
use crate::service::Context;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Input {
    queue_url: Option<String>,
}

pub(crate) async fn run(cx: &Context<'_>, input: Input) -> Result<(), SqsError> {
    let registry = &cx.shared.registry;
    let _changing = registry.changing.lock().await;
    let queue = cx.queue(input.queue_url.as_deref())?;
    cx.shared.store.queues().delete(queue.id(), cx.now()).await?;
    registry.remove(&queue);
    cx.shared.sweeper.soon();
    Ok(())
}
