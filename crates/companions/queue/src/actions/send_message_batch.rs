//! `SendMessageBatch`

use serde::Deserialize;

use crate::attributes::LARGEST_MESSAGE;
use crate::batch::{self, Failed, Output};
use crate::error::{Kind, SqsError};
use crate::outgoing::{self, Outgoing, Sent};
use crate::service::Context;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Input {
    queue_url: Option<String>,
    #[serde(default)]
    entries: Vec<Outgoing>,
}

pub(crate) async fn run(cx: &Context<'_>, input: Input) -> Result<Output<Sent>, SqsError> {
    let url = input.queue_url.as_deref();
    let queue = cx.queue(url)?;
    let ids = input.entries.iter().map(|entry| entry.id.as_deref().unwrap_or_default());
    batch::check("SendMessageBatchRequestEntry", ids)?;
    // What a queue that keeps the order cannot do without is missed for all.
    for entry in &input.entries {
        entry.check_kind(&queue)?;
    }

    let mut failed = Vec::new();
    let mut messages = Vec::new();
    let mut bytes = 0;
    for entry in input.entries {
        let id = entry.id.clone().unwrap_or_default();
        bytes += entry.size();
        match outgoing::check(entry) {
            Ok(message) => messages.push((id, message)),
            Err(error) => failed.push(Failed::new(id, error)),
        }
    }
    if bytes > LARGEST_MESSAGE as usize {
        let message = format!(
            "Batch requests cannot be longer than {LARGEST_MESSAGE} bytes. You have sent {bytes} bytes."
        );
        return Err(SqsError::new(Kind::BATCH_TOO_LONG, message));
    }

    let mut gone = None;
    loop {
        let queue = cx.queue_after(url, &mut gone).await?;
        let now = cx.now();
        let mut output = Output::default();
        let mut good = Vec::new();
        for (id, message) in &messages {
            match message.clone().prepare(cx, &queue, now) {
                Ok(message) => good.push(message),
                Err(error) => output.failed.push(Failed::new(id.clone(), error)),
            }
        }
        if !good.is_empty() {
            let Some(sent) = outgoing::put(cx, &queue, now, good).await? else {
                gone = Some(queue.id());
                continue;
            };
            output.successful = sent;
        }
        output.failed.extend(failed);
        return Ok(output);
    }
}
