//! `DeleteMessage`

use lambd_store::queues::{Removal, Remove};
use serde::Deserialize;

use crate::error::SqsError;
use crate::receipt;
use crate::registry::Queue;
use crate::service::Context;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Input {
    queue_url: Option<String>,
    receipt_handle: Option<String>,
}

pub(crate) async fn run(cx: &Context<'_>, input: Input) -> Result<(), SqsError> {
    let queue = cx.queue(input.queue_url.as_deref())?;
    let handle = input.receipt_handle.ok_or_else(|| SqsError::missing("ReceiptHandle"))?;
    remove(cx, &queue, &[handle]).await?.pop().unwrap_or(Ok(()))
}

/// Deletes messages; one result for each.
pub(super) async fn remove(
    cx: &Context<'_>,
    queue: &Queue,
    handles: &[String],
) -> Result<Vec<Result<(), SqsError>>, SqsError> {
    let decoded: Vec<_> = handles.iter().map(|handle| receipt::decode(&queue.arn, handle)).collect();
    let receipts: Vec<_> = decoded.iter().flatten().copied().collect();
    let mut removals = Vec::new();
    if !receipts.is_empty() {
        let remove = Remove { at: cx.now(), strict: queue.row.fifo, receipts };
        removals = cx.shared.store.queues().remove(remove).await?;
    }
    let removed = removals.iter().filter(|removal| **removal == Removal::Removed).count();
    queue.signs.count_in_flight(-(removed as i64));
    if queue.row.fifo && removed > 0 {
        // What was behind them can be received now.
        queue.signs.arrived(removed);
    }
    let mut removals = removals.into_iter();
    let results = decoded.into_iter().zip(handles).map(|(receipt, handle)| {
        receipt?;
        match removals.next() {
            Some(Removal::Expired) => Err(expired(handle)),
            _ => Ok(()),
        }
    });
    Ok(results.collect())
}

/// The fault of a receipt that was good until its message became visible.
pub(super) fn expired(handle: &str) -> SqsError {
    SqsError::value(handle, "ReceiptHandle", "The receipt handle has expired.")
}
