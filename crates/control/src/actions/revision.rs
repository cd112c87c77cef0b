//! Changing `$LATEST` under optimistic locking (API-010), and publishing it.

use lambd_api::ApiError;
use lambd_http::RequestHead;
use lambd_store::functions::{FunctionRow, RowChange, Updated};
use lambd_types::{Condition, FunctionKey, RevisionId, State, Version};

use super::packages;
use crate::Control;
use crate::condition::{self, Change};
use crate::context::store_error;
use crate::functions::{self, Target};
use crate::publication::{self, Published};

/// Attempts against concurrent changes before giving up.
const ATTEMPTS: usize = 10;

/// A change of `$LATEST` to be made.
pub(super) struct Wanted<'a> {
    /// The revision that it is for, if the client names one.
    pub(super) expected: Option<&'a str>,
    /// What it does.
    pub(super) change: Change,
    /// Whether a version is published with it.
    pub(super) publish: bool,
}

/// What a change did to a row, and what it left to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Effect {
    /// Other settings, which are in force at once.
    Settings,
    /// Another package or other layers, which must be unpacked first.
    Package,
}

/// The rows after a change.
pub(super) struct Changed {
    pub(super) latest: FunctionRow,
    pub(super) published: Option<FunctionRow>,
}

/// The row of `$LATEST`, when its revision is the one that the caller expects.
pub(super) async fn latest(
    control: &Control,
    target: &Target,
    expected: Option<&str>,
) -> Result<FunctionRow, ApiError> {
    let row = control.store().function(&target.latest()).await.map_err(store_error)?;
    let row = row.ok_or_else(|| target.not_found())?;
    check(expected, &row.revision)?;
    Ok(row)
}

/// Refuses a change that is for another revision.
pub(super) fn check(expected: Option<&str>, current: &RevisionId) -> Result<(), ApiError> {
    match expected {
        Some(revision) if revision != current.as_str() => Err(ApiError::PreconditionFailed(
            "The Revision Id provided does not match the latest Revision Id. Call the GetFunction/GetAlias API to \
             retrieve the latest Revision Id"
                .to_owned(),
        )),
        _ => Ok(()),
    }
}

/// Applies `apply` to `$LATEST` with a new revision. What needs no work is what runs next; the rest follows behind
/// the answer. Changes of others in between are not lost: `apply` is applied to what they left, unless the caller
/// named a revision.
pub(super) async fn update(
    control: &Control,
    target: &Target,
    wanted: Wanted<'_>,
    apply: impl Fn(&mut FunctionRow) -> Result<Effect, ApiError>,
) -> Result<Changed, ApiError> {
    let _changes = control.changes().await;
    for _ in 0..ATTEMPTS {
        let before = latest(control, target, wanted.expected).await?;
        condition::check_change(&before.condition, wanted.change, &target.unqualified_arn())?;
        let mut row = before.clone();
        row.revision = RevisionId::random();
        row.build = RevisionId::random();
        row.last_modified = control.clock().now();
        row.condition = match apply(&mut row)? {
            Effect::Settings => Condition::active(),
            Effect::Package => condition::updating(&before.condition),
        };
        if row.condition.is_unsettled() && before.condition.state == State::Active {
            row.in_force = Some(functions::as_it_is(&before));
        }
        let published = match wanted.publish {
            true => Some(publication::publish(&mut row, last_version(control, &before).await?, None)),
            false => None,
        };
        if commit(control, &row, &before, published.as_ref()).await? {
            let published = published.map(Published::row);
            let rows = || [Some(&row), published.as_ref()].into_iter().flatten();
            if rows().any(|row| row.condition.is_unsettled()) {
                control.prepare(&row);
            }
            return Ok(Changed { latest: row, published });
        }
    }
    Err(too_many_at_once(target))
}

/// A publication of `$LATEST` as it is.
pub(super) struct Publication<'a> {
    /// The revision that it is for, if the client names one.
    pub(super) expected: Option<&'a str>,
    /// The code that it is for, likewise.
    pub(super) code: Option<&'a str>,
    /// Instead of the function's description.
    pub(super) description: Option<&'a str>,
}

/// Publishes `$LATEST`, unless nothing has changed since that was done before.
pub(super) async fn publish(
    control: &Control,
    target: &Target,
    wanted: Publication<'_>,
) -> Result<FunctionRow, ApiError> {
    let _changes = control.changes().await;
    for _ in 0..ATTEMPTS {
        let before = latest(control, target, wanted.expected).await?;
        condition::check_change(&before.condition, Change::Other, &target.unqualified_arn())?;
        check_code(wanted.code, &before)?;
        let mut row = before.clone();
        let last = last_version(control, &before).await?;
        let published = publication::publish(&mut row, last, wanted.description);
        if let Published::Existing(version) = published {
            return Ok(version);
        }
        packages::check_storage(control, &target.scope, before.code_size).await?;
        // As the service does it, though nothing that runs has changed.
        row.revision = RevisionId::random();
        if commit(control, &row, &before, Some(&published)).await? {
            let version = published.row();
            if version.condition.is_unsettled() {
                control.prepare(&version);
            }
            return Ok(version);
        }
    }
    Err(too_many_at_once(target))
}

fn check_code(expected: Option<&str>, latest: &FunctionRow) -> Result<(), ApiError> {
    let current = latest.code.to_base64();
    match expected {
        Some(code) if code != current => Err(ApiError::InvalidParameterValue(format!(
            "CodeSHA256 ({code}) is different from current CodeSHA256 in $LATEST ({current}). Please try again with \
             the CodeSHA256 in $LATEST."
        ))),
        _ => Ok(()),
    }
}

/// The version with the highest number, unless it was deleted.
async fn last_version(control: &Control, latest: &FunctionRow) -> Result<Option<FunctionRow>, ApiError> {
    if latest.last_version == 0 {
        return Ok(None);
    }
    let key = FunctionKey { version: Version::Published(latest.last_version), ..latest.key.clone() };
    control.store().function(&key).await.map_err(store_error)
}

/// Stores `$LATEST` and a new version and makes them what runs. `false` when somebody else was faster.
async fn commit(
    control: &Control,
    row: &FunctionRow,
    before: &FunctionRow,
    published: Option<&Published>,
) -> Result<bool, ApiError> {
    let mut changes = vec![RowChange::Update(row, &before.revision)];
    let mut rows = vec![row];
    if let Some(Published::New(version)) = published {
        changes.push(RowChange::Insert(version));
        rows.push(version);
    }
    match control.store().change_functions(&changes).await.map_err(store_error)? {
        Updated::Yes => control.publish_change(&rows).await.map(|()| true),
        Updated::Stale => Ok(false),
    }
}

fn too_many_at_once(target: &Target) -> ApiError {
    ApiError::ResourceConflict(format!(
        "The operation cannot be performed at this time. An update is in progress for resource: {}",
        target.unqualified_arn()
    ))
}

/// The function that a change is for.
pub(super) fn target(head: &RequestHead, function_name: &str) -> Result<Target, ApiError> {
    Target::of(head, function_name)?.unqualified()
}

/// A revision that a client may leave empty.
pub(super) fn expected(revision: Option<&String>) -> Option<&str> {
    revision.map(String::as_str).filter(|revision| !revision.is_empty())
}
