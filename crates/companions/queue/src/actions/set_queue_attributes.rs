//! `SetQueueAttributes`

use lambd_store::queues::QueueRow;
use serde::Deserialize;

use crate::attributes::{self, Map};
use crate::error::SqsError;
use crate::names;
use crate::registry::Queue;
use crate::service::Context;
use crate::settings::{Settings, refused_target};

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Input {
    queue_url: Option<String>,
    #[serde(default)]
    attributes: Map,
}

pub(crate) async fn run(cx: &Context<'_>, input: Input) -> Result<(), SqsError> {
    if input.attributes.is_empty() {
        return Err(SqsError::missing("Attribute.Name"));
    }
    let _changing = cx.shared.registry.changing.lock().await;
    let queue = cx.queue(input.queue_url.as_deref())?;
    let given = attributes::check(input.attributes, queue.row.fifo)?;
    let attributes = attributes::merge(queue.row.attributes.clone(), given)?;
    let settings = Settings::of(&attributes, queue.row.fifo)?;
    if settings.redrive != queue.settings.redrive {
        check_target(cx, &queue.arn, queue.row.fifo, &attributes, &settings)?;
    }
    apply(cx, &queue, attributes, &settings).await
}

/// Gives a queue attributes that were checked. The caller holds the registry's lock.
pub(super) async fn apply(
    cx: &Context<'_>,
    queue: &Queue,
    attributes: Map,
    settings: &Settings,
) -> Result<(), SqsError> {
    let modified = cx.now();
    // A new delay is for messages that are there as well, where they must not overtake each other.
    let delay = (queue.row.fifo && settings.delay != queue.settings.delay).then_some(settings.delay);
    let queues = cx.shared.store.queues();
    queues.set_attributes(queue.id(), attributes.clone(), modified, delay).await?;
    cx.shared.registry.put(QueueRow { attributes, modified, ..queue.row.clone() })?;
    Ok(())
}

/// Checks the queue that dead letters are to go to.
pub(super) fn check_target(
    cx: &Context<'_>,
    arn: &str,
    is_fifo: bool,
    attributes: &Map,
    settings: &Settings,
) -> Result<(), SqsError> {
    let Some(redrive) = &settings.redrive else { return Ok(()) };
    let policy = attributes.get("RedrivePolicy").map_or("", String::as_str);
    let fault = |reason: &str| Err(refused_target(policy, reason));
    let own = names::parse_arn(arn).map(|(scope, _)| scope);
    if names::parse_arn(&redrive.target).map(|(scope, _)| scope) != own {
        return fault("Dead-letter queue must be in the same account and region as the source.");
    }
    let Some(target) = cx.shared.registry.find_arn(&redrive.target) else {
        return fault("Dead letter target does not exist.");
    };
    if target.row.fifo != is_fifo {
        return fault("Dead-letter queue must be same type of queue as the source.");
    }
    if !target.settings.allow.allows(arn) {
        return fault("The redrive allow policy of the dead-letter queue does not allow this source queue.");
    }
    Ok(())
}
