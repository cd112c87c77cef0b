//! `CancelMessageMoveTask`

use serde::{Deserialize, Serialize};

use super::start_message_move_task::{gone, read_handle};
use crate::error::{Kind, SqsError};
use crate::mover::{CANCELLING, RUNNING};
use crate::service::Context;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Input {
    task_handle: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Output {
    approximate_number_of_messages_moved: i64,
}

pub(crate) async fn run(cx: &Context<'_>, input: Input) -> Result<Output, SqsError> {
    let handle = input.task_handle.ok_or_else(|| SqsError::missing("TaskHandle"))?;
    let (id, source) = read_handle(&handle)
        .ok_or_else(|| SqsError::invalid("Value for parameter TaskHandle is invalid."))?;
    let source = cx.shared.registry.find_arn(&source).ok_or_else(|| gone("SourceArn"))?;
    let task = cx.shared.store.queues().task(&id).await?;
    let none = || SqsError::new(Kind::RESOURCE_NOT_FOUND, "Task does not exist.");
    let task = task.filter(|t| t.source == source.arn && t.scope == *cx.scope()).ok_or_else(none)?;
    if task.status != RUNNING {
        return Err(SqsError::new(Kind::UNSUPPORTED, "Only an active task can be cancelled."));
    }
    let moved = task.moved;
    // First the mark, then the row: the task's next step sees one of them.
    cx.shared.mover.cancel(&id);
    cx.shared.store.queues().end_task(id, RUNNING, CANCELLING).await?;
    Ok(Output { approximate_number_of_messages_moved: moved })
}
