//! `ChangeMessageVisibilityBatch`

use serde::Deserialize;

use super::change_message_visibility::change;
use crate::batch::{self, Failed, Named, Output};
use crate::error::SqsError;
use crate::service::Context;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Input {
    queue_url: Option<String>,
    #[serde(default)]
    entries: Vec<Entry>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Entry {
    id: String,
    receipt_handle: String,
    visibility_timeout: Option<i64>,
}

pub(crate) async fn run(cx: &Context<'_>, input: Input) -> Result<Output<Named>, SqsError> {
    let queue = cx.queue(input.queue_url.as_deref())?;
    let entries = input.entries;
    batch::check("ChangeMessageVisibilityBatchRequestEntry", entries.iter().map(|entry| entry.id.as_str()))?;
    let default = queue.settings.visibility / 1000;
    let (ids, changes): (Vec<_>, Vec<_>) = entries
        .into_iter()
        .map(|entry| (entry.id, (entry.receipt_handle, entry.visibility_timeout.unwrap_or(default))))
        .unzip();
    let mut output = Output::default();
    for (id, result) in ids.into_iter().zip(change(cx, &queue, &changes).await?) {
        match result {
            Ok(()) => output.successful.push(Named { id }),
            Err(error) => output.failed.push(Failed::new(id, error)),
        }
    }
    Ok(output)
}
