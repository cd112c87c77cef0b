//! `PurgeQueue`

use lambd_store::queues::QueueRow;
use serde::Deserialize;

use crate::error::{Kind, SqsError};
use crate::service::Context;

/// How long after a purge there is no other, in milliseconds.
const PAUSE: i64 = 60_000;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Input {
    queue_url: Option<String>,
}

pub(crate) async fn run(cx: &Context<'_>, input: Input) -> Result<(), SqsError> {
    let _changing = cx.shared.registry.changing.lock().await;
    let queue = cx.queue(input.queue_url.as_deref())?;
    let now = cx.now();
    if queue.row.purged.is_some_and(|purged| now.0 < purged.0 + PAUSE) {
        let name = &queue.row.name;
        return Err(SqsError::new(
            Kind::PURGE_IN_PROGRESS,
            format!("Only one PurgeQueue operation on {name} is allowed every 60 seconds."),
        ));
    }
    let id = cx.shared.store.queues().purge(queue.row.clone(), now).await?;
    cx.shared.registry.put(QueueRow { id, purged: Some(now), ..queue.row.clone() })?;
    queue.signs.set_in_flight(0);
    cx.shared.sweeper.soon();
    Ok(())
}
