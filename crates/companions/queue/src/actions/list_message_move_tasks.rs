//! `ListMessageMoveTasks`

use serde::{Deserialize, Serialize};

use super::start_message_move_task::{handle, named};
use crate::error::SqsError;
use crate::mover::RUNNING;
use crate::service::Context;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Input {
    source_arn: Option<String>,
    max_results: Option<i64>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Output {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    results: Vec<Entry>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Entry {
    #[serde(skip_serializing_if = "Option::is_none")]
    task_handle: Option<String>,
    status: String,
    source_arn: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    destination_arn: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_number_of_messages_per_second: Option<i64>,
    approximate_number_of_messages_moved: i64,
    approximate_number_of_messages_to_move: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    failure_reason: Option<String>,
    started_timestamp: i64,
}

pub(crate) async fn run(cx: &Context<'_>, input: Input) -> Result<Output, SqsError> {
    let most = input.max_results.unwrap_or(1);
    if !(1..=10).contains(&most) {
        return Err(SqsError::value(most, "MaxResults", "MaxResults must be an integer between 1 and 10."));
    }
    let source = named(cx, input.source_arn, "SourceArn")?;
    let tasks = cx.shared.store.queues().tasks_of(cx.scope(), &source.arn).await?;
    let results = tasks.into_iter().take(most as usize).map(|task| Entry {
        // Only a task that is at work can be cancelled.
        task_handle: (task.status == RUNNING).then(|| handle(&task)),
        status: task.status,
        source_arn: task.source,
        destination_arn: task.destination,
        max_number_of_messages_per_second: task.rate,
        approximate_number_of_messages_moved: task.moved,
        approximate_number_of_messages_to_move: task.to_move,
        failure_reason: task.failure,
        started_timestamp: task.started.0,
    });
    Ok(Output { results: results.collect() })
}
