//! `TagResource`

use std::collections::BTreeMap;

use lambd_http::protocol::validation::Checks;
use serde::Deserialize;

use crate::error::LogsError;
use crate::names::group_of_arn;
use crate::service::{Context, finish};

/// Most tags of one resource.
const MAX_TAGS: usize = 50;

const KEY_PATTERN: &str = r"^([\p{L}\p{Z}\p{N}_.:/=+\-@]+)$";
const VALUE_PATTERN: &str = r"^([\p{L}\p{Z}\p{N}_.:/=+\-@]*)$";

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Input {
    resource_arn: Option<String>,
    tags: Option<BTreeMap<String, String>>,
}

pub(crate) async fn run(cx: &Context<'_>, input: Input) -> Result<(), LogsError> {
    let mut checks = Checks::new();
    let arn = checks.required("resourceArn", input.resource_arn);
    let tags = checks.required("tags", input.tags);
    check_tags(&mut checks, &tags);
    finish(checks)?;
    let group = cx.group(&group_of_arn(cx.scope, &arn)?).await?;
    let mut all = group.tags.clone();
    all.extend(tags);
    if all.len() > MAX_TAGS {
        return Err(LogsError::TooManyTags);
    }
    cx.store.logs().set_group_tags(&group, &all).await?;
    Ok(())
}

/// Checks the member `tags`.
pub(crate) fn check_tags(checks: &mut Checks, tags: &BTreeMap<String, String>) {
    let allowed = |c: char| c.is_alphanumeric() || c.is_whitespace() || "_.:/=+-@".contains(c);
    checks.members("tags", tags.len(), 1, MAX_TAGS);
    for (key, value) in tags {
        checks.length("tags", key, 1, 128);
        checks.pattern("tags", key, KEY_PATTERN, allowed);
        checks.length("tags", value, 0, 256);
        checks.pattern("tags", value, VALUE_PATTERN, allowed);
    }
}
