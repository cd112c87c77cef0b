//! Changing `$LATEST` under optimistic locking (API-010).

use lambd_api::ApiError;
use lambd_http::RequestHead;
use lambd_store::functions::{FunctionRow, Updated};
use lambd_types::RevisionId;

use crate::Control;
use crate::context::store_error;
use crate::functions::Target;

/// Attempts against concurrent changes before giving up.
const ATTEMPTS: usize = 10;

/// The row of `$LATEST`, when its revision is the one that the caller expects.
pub(super) async fn latest(
    control: &Control,
    target: &Target,
    expected: Option<&str>,
) -> Result<FunctionRow, ApiError> {
    let row = control.store().function(&target.key()?).await.map_err(store_error)?;
    let row = row.ok_or_else(|| target.not_found())?;
    match expected {
        Some(revision) if revision != row.revision.as_str() => Err(ApiError::PreconditionFailed(
            "The Revision Id provided does not match the latest Revision Id. Call the GetFunction/GetAlias API to \
             retrieve the latest Revision Id"
                .to_owned(),
        )),
        _ => Ok(row),
    }
}

/// Applies `change` to `$LATEST` with a new revision, and makes it the one that runs. Changes of others
/// in between are not lost: `change` is applied to what they left, unless the caller named a revision.
pub(super) async fn update(
    control: &Control,
    target: &Target,
    expected: Option<&str>,
    change: impl Fn(&mut FunctionRow) -> Result<(), ApiError>,
) -> Result<FunctionRow, ApiError> {
    let _changes = control.changes().await;
    for _ in 0..ATTEMPTS {
        let mut row = latest(control, target, expected).await?;
        let before = std::mem::replace(&mut row.revision, RevisionId::random());
        row.last_modified = control.clock().now();
        change(&mut row)?;
        match control.store().update_function(&row, &before).await.map_err(store_error)? {
            Updated::Yes => {
                control.publish_change(&row).await?;
                return Ok(row);
            }
            Updated::Stale => {}
        }
    }
    Err(ApiError::ResourceConflict(format!(
        "The operation cannot be performed at this time. An update is in progress for resource: {}",
        target.arn()
    )))
}

/// The function that a change is for.
pub(super) fn target(head: &RequestHead, function_name: &str) -> Result<Target, ApiError> {
    Target::of(head, function_name)?.unqualified()
}
