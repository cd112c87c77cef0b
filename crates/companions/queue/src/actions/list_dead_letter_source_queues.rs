//! `ListDeadLetterSourceQueues`

use serde::{Deserialize, Serialize};

use super::paging;
use crate::error::SqsError;
use crate::service::Context;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Input {
    queue_url: Option<String>,
    next_token: Option<String>,
    max_results: Option<i64>,
}

#[derive(Debug, Serialize)]
pub(crate) struct Output {
    // AWS writes this one small, and always.
    #[serde(rename = "queueUrls")]
    queue_urls: Vec<String>,
    #[serde(rename = "NextToken", skip_serializing_if = "Option::is_none")]
    next_token: Option<String>,
}

pub(crate) async fn run(cx: &Context<'_>, input: Input) -> Result<Output, SqsError> {
    let limit = paging::limit(input.max_results)?;
    let after = paging::after(input.next_token.as_deref())?;
    let target = cx.queue(input.queue_url.as_deref())?;
    let mut sources = cx.shared.registry.sources_of(&target);
    sources.retain(|queue| after.as_ref().is_none_or(|after| queue.row.name > *after));
    let more = sources.len() > limit;
    sources.truncate(limit);
    let next_token = (more && input.max_results.is_some())
        .then(|| sources.last().map(|queue| paging::token(&queue.row.name)))
        .flatten();
    Ok(Output { queue_urls: sources.iter().map(|queue| cx.url(queue)).collect(), next_token })
}
