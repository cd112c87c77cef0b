//! `ChangeMessageVisibility`

use lambd_store::queues::{Change, Changing};
use lambd_types::UnixMillis;
use serde::Deserialize;

use super::delete_message::expired;
use crate::attributes::LONGEST_VISIBILITY;
use crate::error::SqsError;
use crate::receipt;
use crate::registry::Queue;
use crate::service::Context;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Input {
    queue_url: Option<String>,
    receipt_handle: Option<String>,
    visibility_timeout: Option<i64>,
}

pub(crate) async fn run(cx: &Context<'_>, input: Input) -> Result<(), SqsError> {
    let queue = cx.queue(input.queue_url.as_deref())?;
    let handle = input.receipt_handle.ok_or_else(|| SqsError::missing("ReceiptHandle"))?;
    let seconds = input.visibility_timeout.ok_or_else(|| SqsError::missing("VisibilityTimeout"))?;
    change(cx, &queue, &[(handle, seconds)]).await?.pop().unwrap_or(Ok(()))
}

/// Changes when messages are visible again, in seconds from now; one result for each.
pub(super) async fn change(
    cx: &Context<'_>,
    queue: &Queue,
    changes: &[(String, i64)],
) -> Result<Vec<Result<(), SqsError>>, SqsError> {
    let now = cx.now();
    let checked: Vec<_> = changes
        .iter()
        .map(|(handle, seconds)| {
            if !(0..=LONGEST_VISIBILITY).contains(seconds) {
                let reason = "VisibilityTimeout must be an integer between 0 and 43200.";
                return Err(SqsError::value(seconds, "VisibilityTimeout", reason));
            }
            Ok((receipt::decode(&queue.arn, handle)?, UnixMillis(now.0 + seconds * 1000)))
        })
        .collect();
    let receipts: Vec<_> = checked.iter().flatten().copied().collect();
    let mut results = Vec::new();
    if !receipts.is_empty() {
        let longest = LONGEST_VISIBILITY * 1000;
        let change = Change { at: now, strict: queue.row.fifo, longest, receipts };
        results = cx.shared.store.queues().change(change).await?;
    }
    // Those that are visible at once, and those that are visible earlier than somebody waits for.
    queue.signs.arrived(results.iter().filter(|result| **result == Changing::Changed).count());
    let mut results = results.into_iter();
    let told = checked.into_iter().zip(changes).map(|(receipt, (handle, seconds))| {
        receipt?;
        match results.next() {
            Some(Changing::Expired) => Err(expired(handle)),
            Some(Changing::Missing) => Err(SqsError::value(
                handle,
                "ReceiptHandle",
                "Message does not exist or is not available for visibility timeout change.",
            )),
            Some(Changing::TooLong) => Err(SqsError::value(
                seconds,
                "VisibilityTimeout",
                "Total VisibilityTimeout for the message is beyond the limit [43200 seconds]",
            )),
            Some(Changing::Changed) | None => Ok(()),
        }
    });
    Ok(told.collect())
}
