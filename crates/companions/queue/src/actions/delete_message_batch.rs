//! `DeleteMessageBatch`

use serde::Deserialize;

use super::delete_message::remove;
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

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
#[derive(Default)]
struct Entry {
    id: String,
    receipt_handle: String,
}

pub(crate) async fn run(cx: &Context<'_>, input: Input) -> Result<Output<Named>, SqsError> {
    let queue = cx.queue(input.queue_url.as_deref())?;
    batch::check("DeleteMessageBatchRequestEntry", input.entries.iter().map(|entry| entry.id.as_str()))?;
    let (ids, handles): (Vec<_>, Vec<_>) =
        input.entries.into_iter().map(|entry| (entry.id, entry.receipt_handle)).unzip();
    let mut output = Output::default();
    for (id, result) in ids.into_iter().zip(remove(cx, &queue, &handles).await?) {
        match result {
            Ok(()) => output.successful.push(Named { id }),
            Err(error) => output.failed.push(Failed::new(id, error)),
        }
    }
    Ok(output)
}
