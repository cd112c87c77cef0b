//! `ListQueues`

use serde::{Deserialize, Serialize};

use super::paging;
use crate::error::SqsError;
use crate::service::Context;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Input {
    queue_name_prefix: Option<String>,
    next_token: Option<String>,
    max_results: Option<i64>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Output {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    queue_urls: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_token: Option<String>,
}

pub(crate) async fn run(cx: &Context<'_>, input: Input) -> Result<Output, SqsError> {
    let limit = paging::limit(input.max_results)?;
    let after = paging::after(input.next_token.as_deref())?;
    let prefix = input.queue_name_prefix.unwrap_or_default();
    let mut queues = cx.shared.registry.list(cx.scope(), &prefix, after.as_deref(), limit + 1);
    // Without a size of pages there is one page, and no token.
    let more = queues.len() > limit;
    queues.truncate(limit);
    let next_token = (more && input.max_results.is_some())
        .then(|| queues.last().map(|queue| paging::token(&queue.row.name)))
        .flatten();
    Ok(Output { queue_urls: queues.iter().map(|queue| cx.url(queue)).collect(), next_token })
}
