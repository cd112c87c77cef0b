//! `CreateLogGroup`

use std::collections::BTreeMap;

use lambd_http::protocol::validation::Checks;
use serde::Deserialize;

use super::tag_resource::check_tags;
use crate::error::LogsError;
use crate::names::required_group;
use crate::service::{Context, finish};

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Input {
    log_group_name: Option<String>,
    tags: Option<BTreeMap<String, String>>,
}

pub(crate) async fn run(cx: &Context<'_>, input: Input) -> Result<(), LogsError> {
    let mut checks = Checks::new();
    let name = required_group(&mut checks, input.log_group_name);
    if let Some(tags) = &input.tags {
        check_tags(&mut checks, tags);
    }
    finish(checks)?;
    let tags = input.tags.unwrap_or_default();
    let created = cx.store.logs().create_group(cx.scope, &name, cx.clock.now(), &tags).await?;
    if created { Ok(()) } else { Err(LogsError::GroupExists) }
}
