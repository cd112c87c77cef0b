//! `CreateQueue`

use std::collections::BTreeMap;

use lambd_store::queues::{QueueId, QueueRow};
use lambd_types::UnixMillis;
use serde::{Deserialize, Serialize};

use crate::attributes::{self, Map};
use crate::error::{Kind, SqsError};
use crate::names;
use crate::service::Context;
use crate::settings::Settings;
use crate::sweeper::DELETED_NAMES;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Input {
    queue_name: Option<String>,
    #[serde(default)]
    attributes: Map,
    #[serde(default, rename = "tags", alias = "Tags")]
    tags: BTreeMap<String, String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Output {
    queue_url: String,
}

pub(crate) async fn run(cx: &Context<'_>, input: Input) -> Result<Output, SqsError> {
    let name = input.queue_name.ok_or_else(|| SqsError::missing("QueueName"))?;
    let asks_fifo = input.attributes.get("FifoQueue").is_some_and(|fifo| fifo.eq_ignore_ascii_case("true"));
    names::check(&name, asks_fifo)?;
    let given = attributes::check(input.attributes, asks_fifo)?;
    super::tag_queue::check(&name, &input.tags)?;

    let registry = &cx.shared.registry;
    let _changing = registry.changing.lock().await;
    if let Some(queue) = registry.find(cx.scope(), &name) {
        if let Some(attribute) = attributes::first_difference(&queue.row.attributes, &given, queue.row.fifo) {
            return Err(SqsError::new(
                Kind::QUEUE_EXISTS,
                format!(
                    "A queue already exists with the same name and a different value for attribute {attribute}"
                ),
            ));
        }
        return Ok(Output { queue_url: cx.url(&queue) });
    }
    let now = cx.now();
    let since = UnixMillis(now.0 - DELETED_NAMES);
    if cx.shared.store.queues().deleted_since(cx.scope(), &name, since).await?.is_some() {
        return Err(SqsError::new(
            Kind::QUEUE_DELETED_RECENTLY,
            "You must wait 60 seconds after deleting a queue before you can create another with the same name.",
        ));
    }
    let attributes = attributes::merge(Map::new(), given)?;
    let settings = Settings::of(&attributes, asks_fifo)?;
    let arn = names::arn(cx.scope(), &name);
    super::set_queue_attributes::check_target(cx, &arn, asks_fifo, &attributes, &settings)?;
    let row = QueueRow {
        id: QueueId(0),
        scope: cx.scope().clone(),
        name,
        fifo: asks_fifo,
        created: now,
        modified: now,
        purged: None,
        attributes,
        tags: input.tags,
    };
    let id = cx.shared.store.queues().create(row.clone()).await?;
    let queue = registry.put(QueueRow { id, ..row })?;
    Ok(Output { queue_url: cx.url(&queue) })
}
