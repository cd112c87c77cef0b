//! `TagResource`, `UntagResource` and `ListTagsForResource`

use std::collections::BTreeMap;

use lambd_http::protocol::validation::Checks;
use lambd_store::scaling::TargetRow;
use serde::{Deserialize, Serialize};

use crate::checks::{self, MAX_TAGS, finish};
use crate::error::ScalingError;
use crate::resource::id_of_arn;
use crate::service::{Context, Nothing};

const ARN_PATTERN: &str = r"^arn:.+:application-autoscaling:.+:[0-9]+:scalable-target\/[a-zA-Z0-9-]+$";

#[derive(Debug, Deserialize)]
pub(crate) struct Input {
    #[serde(rename = "ResourceARN")]
    resource_arn: Option<String>,
    #[serde(rename = "Tags")]
    tags: Option<BTreeMap<String, String>>,
    #[serde(rename = "TagKeys")]
    tag_keys: Option<Vec<String>>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Output {
    tags: BTreeMap<String, String>,
}

pub(crate) async fn list(cx: &Context<'_>, input: Input) -> Result<Output, ScalingError> {
    let target = target(cx, Checks::new(), input.resource_arn).await?;
    Ok(Output { tags: target.tags })
}

pub(crate) async fn tag(cx: &Context<'_>, input: Input) -> Result<Nothing, ScalingError> {
    let mut checks = Checks::new();
    let tags = checks.required("tags", input.tags);
    checks::tags(&mut checks, &tags);
    let _changes = cx.scaler.changes().await;
    let mut target = target(cx, checks, input.resource_arn).await?;
    target.tags.extend(tags);
    if target.tags.len() > MAX_TAGS {
        return Err(ScalingError::TooManyTags(MAX_TAGS));
    }
    cx.store().put_scaling_target(&target).await?;
    Ok(Nothing {})
}

pub(crate) async fn untag(cx: &Context<'_>, input: Input) -> Result<Nothing, ScalingError> {
    let mut checks = Checks::new();
    let keys = checks.required("tagKeys", input.tag_keys);
    checks.members("tagKeys", keys.len(), 0, 200);
    keys.iter().for_each(|key| checks.length("tagKeys", key, 1, 128));
    let _changes = cx.scaler.changes().await;
    let mut target = target(cx, checks, input.resource_arn).await?;
    target.tags.retain(|key, _| !keys.contains(key));
    cx.store().put_scaling_target(&target).await?;
    Ok(Nothing {})
}

async fn target(
    cx: &Context<'_>,
    mut checks: Checks,
    arn: Option<String>,
) -> Result<TargetRow, ScalingError> {
    let arn = checks.required("resourceARN", arn);
    checks.length("resourceARN", &arn, 1, 1011);
    if !is_arn(&arn) {
        checks.pattern("resourceARN", &arn, ARN_PATTERN, |_| false);
    }
    finish(checks)?;
    let found = match id_of_arn(cx.scope, &arn) {
        Some(id) => cx.store().scaling_target_of_id(cx.scope, id).await?,
        None => None,
    };
    found.ok_or(ScalingError::ResourceNotFound(arn))
}

/// Whether a text has the form of the pattern.
fn is_arn(text: &str) -> bool {
    let fields: Vec<&str> = text.split(':').collect();
    let ["arn", partition, "application-autoscaling", region, account, id] = fields[..] else { return false };
    let id = id.strip_prefix("scalable-target/").unwrap_or_default();
    let is_number = !account.is_empty() && account.bytes().all(|b| b.is_ascii_digit());
    let is_id = !id.is_empty() && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    !partition.is_empty() && !region.is_empty() && is_number && is_id
}
