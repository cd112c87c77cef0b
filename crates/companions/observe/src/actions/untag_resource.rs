//! `UntagResource`

use lambd_http::protocol::validation::Checks;
use serde::Deserialize;

use crate::error::LogsError;
use crate::names::group_of_arn;
use crate::service::{Context, finish};

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Input {
    resource_arn: Option<String>,
    tag_keys: Option<Vec<String>>,
}

pub(crate) async fn run(cx: &Context<'_>, input: Input) -> Result<(), LogsError> {
    let mut checks = Checks::new();
    let arn = checks.required("resourceArn", input.resource_arn);
    let keys = checks.required("tagKeys", input.tag_keys);
    finish(checks)?;
    let group = cx.group(&group_of_arn(cx.scope, &arn)?).await?;
    let mut left = group.tags.clone();
    left.retain(|key, _| !keys.contains(key));
    cx.store.logs().set_group_tags(&group, &left).await?;
    Ok(())
}
