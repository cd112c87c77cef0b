//! `ListTagsForResource`

use std::collections::BTreeMap;

use lambd_http::protocol::validation::Checks;
use serde::{Deserialize, Serialize};

use crate::error::LogsError;
use crate::names::group_of_arn;
use crate::service::{Context, finish};

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Input {
    resource_arn: Option<String>,
}

#[derive(Debug, Serialize)]
pub(crate) struct Output {
    tags: BTreeMap<String, String>,
}

pub(crate) async fn run(cx: &Context<'_>, input: Input) -> Result<Output, LogsError> {
    let mut checks = Checks::new();
    let arn = checks.required("resourceArn", input.resource_arn);
    finish(checks)?;
    let group = cx.group(&group_of_arn(cx.scope, &arn)?).await?;
    Ok(Output { tags: group.tags })
}
