//! `StartMessageMoveTask`

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use lambd_store::queues::TaskRow;
use lambd_types::random;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::error::{Kind, SqsError};
use crate::mover::{CANCELLING, RUNNING};
use crate::names;
use crate::registry::Queue;
use crate::service::Context;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Input {
    source_arn: Option<String>,
    destination_arn: Option<String>,
    max_number_of_messages_per_second: Option<i64>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Output {
    task_handle: String,
}

pub(crate) async fn run(cx: &Context<'_>, input: Input) -> Result<Output, SqsError> {
    let source = named(cx, input.source_arn, "SourceArn")?;
    let rate = input.max_number_of_messages_per_second;
    if let Some(rate) = rate.filter(|rate| !(1..=500).contains(rate)) {
        let reason = "MaxNumberOfMessagesPerSecond must be an integer between 1 and 500.";
        return Err(SqsError::value(rate, "MaxNumberOfMessagesPerSecond", reason));
    }
    if cx.shared.registry.sources_of(&source).is_empty() {
        return Err(SqsError::invalid("Source queue must be configured as a Dead Letter Queue."));
    }
    let mut destination = None;
    if let Some(arn) = input.destination_arn {
        let target = named(cx, Some(arn), "DestinationArn")?;
        if target.row.fifo != source.row.fifo {
            return Err(SqsError::invalid("The source and destination queues must be of the same type."));
        }
        destination = Some(target.arn.clone());
    }
    let _changing = cx.shared.registry.changing.lock().await;
    let queues = cx.shared.store.queues();
    let tasks = queues.tasks_of(cx.scope(), &source.arn).await?;
    if tasks.iter().any(|task| task.status == RUNNING || task.status == CANCELLING) {
        return Err(SqsError::invalid(
            "There is already a task running. \
             Only one active task is allowed for a source queue arn at a given time.",
        ));
    }
    let now = cx.now();
    let task = TaskRow {
        id: random::uuid(),
        scope: cx.scope().clone(),
        source: source.arn.clone(),
        destination,
        rate,
        status: RUNNING.to_owned(),
        failure: None,
        moved: 0,
        to_move: queues.counts(source.id(), now).await?.messages,
        started: now,
    };
    let task_handle = handle(&task);
    queues.save_task(task).await?;
    cx.shared.mover.started();
    Ok(Output { task_handle })
}

/// The queue of the caller that an ARN names.
pub(super) fn named(cx: &Context<'_>, arn: Option<String>, parameter: &str) -> Result<Arc<Queue>, SqsError> {
    let arn = arn.ok_or_else(|| SqsError::missing(parameter))?;
    if names::parse_arn(&arn).is_none() {
        return Err(SqsError::invalid(format!(
            "You must use this format to specify the {parameter}: \
             arn:<partition>:<service>:<region>:<account-id>:<resource-id>"
        )));
    }
    let queue = cx.shared.registry.find_arn(&arn).filter(|queue| queue.row.scope == *cx.scope());
    queue.ok_or_else(|| gone(parameter))
}

/// The fault of a queue that is not there.
pub(super) fn gone(parameter: &str) -> SqsError {
    let message = format!("The resource that you specified for the {parameter} parameter doesn't exist.");
    SqsError::new(Kind::RESOURCE_NOT_FOUND, message)
}

/// The handle of a task.
pub(super) fn handle(task: &TaskRow) -> String {
    STANDARD.encode(json!({"taskId": task.id, "sourceArn": task.source}).to_string())
}

/// The id of a task and the ARN of its source, from its handle.
pub(super) fn read_handle(handle: &str) -> Option<(String, String)> {
    let value: Value = serde_json::from_slice(&STANDARD.decode(handle).ok()?).ok()?;
    let text = |name: &str| value.get(name)?.as_str().map(str::to_owned);
    Some((text("taskId")?, text("sourceArn")?))
}
