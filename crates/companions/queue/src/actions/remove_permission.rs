//! `RemovePermission`

use serde::Deserialize;

use super::add_permission::check_label;
use super::set_queue_attributes;
use crate::error::SqsError;
use crate::policy;
use crate::service::Context;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Input {
    queue_url: Option<String>,
    label: Option<String>,
}

pub(crate) async fn run(cx: &Context<'_>, input: Input) -> Result<(), SqsError> {
    let label = check_label(input.label)?;
    let _changing = cx.shared.registry.changing.lock().await;
    let queue = cx.queue(input.queue_url.as_deref())?;
    let mut attributes = queue.row.attributes.clone();
    let new = policy::without(attributes.get("Policy").map(String::as_str), &label);
    let new = new.ok_or_else(|| SqsError::value(&label, "Label", "can't find label."))?;
    if new.is_empty() {
        attributes.remove("Policy");
    } else {
        attributes.insert("Policy".to_owned(), new);
    }
    set_queue_attributes::apply(cx, &queue, attributes, &queue.settings).await
}
