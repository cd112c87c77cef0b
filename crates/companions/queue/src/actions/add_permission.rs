//! `AddPermission`

use lambd_types::AccountId;
use serde::Deserialize;

use super::set_queue_attributes;
use crate::error::{Kind, SqsError};
use crate::policy;
use crate::service::Context;

/// Operations that a queue can permit to others, and all of them.
const PERMITTED: [&str; 8] = [
    "*",
    "ChangeMessageVisibility",
    "DeleteMessage",
    "GetQueueAttributes",
    "GetQueueUrl",
    "ListDeadLetterSourceQueues",
    "ReceiveMessage",
    "SendMessage",
];

/// Most actions of one statement.
const MOST: usize = 7;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Input {
    queue_url: Option<String>,
    label: Option<String>,
    #[serde(default, rename = "AWSAccountIds")]
    accounts: Vec<String>,
    #[serde(default)]
    actions: Vec<String>,
}

pub(crate) async fn run(cx: &Context<'_>, input: Input) -> Result<(), SqsError> {
    let label = check_label(input.label)?;
    if input.actions.is_empty() {
        return Err(SqsError::missing("Actions"));
    }
    if input.accounts.is_empty() {
        return Err(SqsError::value("[]", "PrincipalId", "Unable to verify."));
    }
    if let Some(account) = input.accounts.iter().find(|account| AccountId::parse(account).is_none()) {
        return Err(SqsError::value(format!("[{account}]"), "PrincipalId", "Unable to verify."));
    }
    if input.actions.len() > MOST {
        let count = input.actions.len();
        let message = format!("{count} Actions were found, maximum allowed is {MOST}.");
        return Err(SqsError::new(Kind::OVER_LIMIT, message));
    }
    if let Some(action) = input.actions.iter().find(|action| !PERMITTED.contains(&action.as_str())) {
        let reason = "Only the queue owner is allowed to invoke this action.";
        return Err(SqsError::value(format!("SQS:{action}"), "ActionName", reason));
    }
    let _changing = cx.shared.registry.changing.lock().await;
    let queue = cx.queue(input.queue_url.as_deref())?;
    let mut attributes = queue.row.attributes.clone();
    let old = attributes.get("Policy").map(String::as_str);
    let new = policy::with(old, &queue.arn, &label, &input.accounts, &input.actions);
    let new = new.ok_or_else(|| SqsError::value(&label, "Label", "Already exists."))?;
    attributes.insert("Policy".to_owned(), new);
    set_queue_attributes::apply(cx, &queue, attributes, &queue.settings).await
}

pub(super) fn check_label(label: Option<String>) -> Result<String, SqsError> {
    let label = label.filter(|label| !label.is_empty()).ok_or_else(|| SqsError::missing("Label"))?;
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    if label.len() > 80 || !label.bytes().all(allowed) {
        let reason = "Can only include alphanumeric characters, hyphens, or underscores. 1 to 80 in length";
        return Err(SqsError::value(&label, "Label", reason));
    }
    Ok(label)
}
