//! `GetQueueAttributes`

use serde::{Deserialize, Serialize};

use crate::attributes::{self, Map};
use crate::error::SqsError;
use crate::registry::Queue;
use crate::service::Context;
use crate::sweeper;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Input {
    queue_url: Option<String>,
    #[serde(default)]
    attribute_names: Vec<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Output {
    #[serde(skip_serializing_if = "Map::is_empty")]
    attributes: Map,
}

pub(crate) async fn run(cx: &Context<'_>, input: Input) -> Result<Output, SqsError> {
    if let Some(name) = input.attribute_names.iter().find(|name| !attributes::is_known(name)) {
        return Err(SqsError::unknown_attribute(name));
    }
    let queue = cx.queue(input.queue_url.as_deref())?;
    let wants = |name: &str| input.attribute_names.iter().any(|wanted| wanted == "All" || wanted == name);
    let mut all = attributes::effective(&queue.row.attributes, queue.row.fifo);
    all.insert("QueueArn".to_owned(), queue.arn.clone());
    all.insert("CreatedTimestamp".to_owned(), (queue.row.created.0 / 1000).to_string());
    all.insert("LastModifiedTimestamp".to_owned(), (queue.row.modified.0 / 1000).to_string());
    if wants(VISIBLE) || wants(IN_FLIGHT) || wants(DELAYED) {
        count(cx, &queue, &mut all).await?;
    }
    all.retain(|name, _| wants(name));
    Ok(Output { attributes: all })
}

const VISIBLE: &str = "ApproximateNumberOfMessages";
const IN_FLIGHT: &str = "ApproximateNumberOfMessagesNotVisible";
const DELAYED: &str = "ApproximateNumberOfMessagesDelayed";

async fn count(cx: &Context<'_>, queue: &Queue, all: &mut Map) -> Result<(), SqsError> {
    let now = cx.now();
    // What is expired is not counted. Most often there is none; of many, the sweep takes the rest.
    cx.shared.store.queues().sweep_expired(queue.id(), sweeper::expired_at(queue, now)).await?;
    let counts = cx.shared.store.queues().counts(queue.id(), now).await?;
    let visible = (counts.messages - counts.in_flight - counts.delayed).max(0);
    for (name, count) in [(VISIBLE, visible), (IN_FLIGHT, counts.in_flight), (DELAYED, counts.delayed)] {
        all.insert(name.to_owned(), count.to_string());
    }
    Ok(())
}
