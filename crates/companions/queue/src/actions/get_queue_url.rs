//! `GetQueueUrl`

use lambd_types::{AccountId, Scope};
use serde::{Deserialize, Serialize};

use crate::error::SqsError;
use crate::service::Context;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Input {
    queue_name: Option<String>,
    #[serde(rename = "QueueOwnerAWSAccountId")]
    owner: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Output {
    queue_url: String,
}

pub(crate) async fn run(cx: &Context<'_>, input: Input) -> Result<Output, SqsError> {
    let name = input.queue_name.ok_or_else(|| SqsError::missing("QueueName"))?;
    let mut scope: Scope = cx.scope().clone();
    if let Some(owner) = input.owner {
        scope.account = AccountId::parse(&owner).ok_or_else(SqsError::no_queue)?;
    }
    let queue = cx.shared.registry.find(&scope, &name).ok_or_else(SqsError::no_queue)?;
    cx.authorise(&queue)?;
    Ok(Output { queue_url: cx.url(&queue) })
}
