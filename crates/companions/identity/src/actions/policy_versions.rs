//! Versions of managed policies.

use lambd_http::protocol::query::Xml;
use lambd_store::identity::{PolicyVersionRow, VersionDeletion};

use super::policies::{find, managed_row};
use crate::document::check_permissions;
use crate::error::IamError;
use crate::iam::{Context, Reply};
use crate::input::Input;
use crate::{managed, shapes};

const MAX_VERSIONS: usize = 5;

pub(super) async fn create(cx: &Context<'_>, mut input: Input<'_>) -> Result<Reply, IamError> {
    let arn = input.policy_arn();
    let document = input.text("PolicyDocument", 131_072);
    let set_default = input.flag("SetAsDefault");
    input.finish()?;
    check_permissions(&document)?;
    let policy = find(cx, &arn).await?;
    if cx.store.policy_versions(cx.account, &policy.name).await?.len() >= MAX_VERSIONS {
        return Err(IamError::TooManyVersions);
    }
    let now = cx.clock.now();
    let added = cx.store.add_policy_version(cx.account, &policy.name, &document, now, set_default).await?;
    let version = added.ok_or(IamError::NoPolicy(arn))?;
    Ok(Reply::of(|xml| {
        xml.element("PolicyVersion", |xml| members(xml, &version, set_default));
    }))
}

pub(super) async fn get(cx: &Context<'_>, mut input: Input<'_>) -> Result<Reply, IamError> {
    let (arn, id) = (input.policy_arn(), input.text("VersionId", 16));
    input.finish()?;
    let (versions, default) = versions(cx, &arn).await?;
    let wanted = number(&id);
    let found = versions.into_iter().find(|v| Some(v.version) == wanted);
    let version = found.ok_or(IamError::NoPolicyVersion(arn, id))?;
    Ok(Reply::of(|xml| {
        xml.element("PolicyVersion", |xml| {
            xml.text("Document", shapes::encoded(&version.document));
            members(xml, &version, version.version == default);
        });
    }))
}

pub(super) async fn list(cx: &Context<'_>, mut input: Input<'_>) -> Result<Reply, IamError> {
    let arn = input.policy_arn();
    input.finish()?;
    let (versions, default) = versions(cx, &arn).await?;
    Ok(Reply::of(|xml| {
        xml.list("Versions", versions.iter().rev(), |xml, v| members(xml, v, v.version == default));
        xml.text("IsTruncated", false);
    }))
}

pub(super) async fn set_default(cx: &Context<'_>, mut input: Input<'_>) -> Result<Reply, IamError> {
    let (arn, id) = (input.policy_arn(), input.text("VersionId", 16));
    input.finish()?;
    let policy = find(cx, &arn).await?;
    let version = number(&id).unwrap_or_default();
    if cx.store.set_default_policy_version(cx.account, &policy.name, version, cx.clock.now()).await? {
        Ok(Reply::Empty)
    } else {
        Err(IamError::NoPolicyVersion(arn, id))
    }
}

pub(super) async fn delete(cx: &Context<'_>, mut input: Input<'_>) -> Result<Reply, IamError> {
    let (arn, id) = (input.policy_arn(), input.text("VersionId", 16));
    input.finish()?;
    let policy = find(cx, &arn).await?;
    match cx.store.delete_policy_version(cx.account, &policy.name, number(&id).unwrap_or_default()).await? {
        VersionDeletion::Deleted => Ok(Reply::Empty),
        VersionDeletion::Missing => Err(IamError::NoPolicyVersion(arn, id)),
        VersionDeletion::Default => Err(IamError::DefaultVersion),
    }
}

/// All versions of a policy, oldest first, and which is in force.
async fn versions(cx: &Context<'_>, arn: &str) -> Result<(Vec<PolicyVersionRow>, i64), IamError> {
    if let Some(policy) = managed_row(arn) {
        let document = managed::document(&policy.path, &policy.name);
        let document = document.ok_or_else(|| IamError::NoDocument(arn.to_owned()))?;
        return Ok((vec![PolicyVersionRow { version: 1, created: policy.created, document }], 1));
    }
    let policy = find(cx, arn).await?;
    Ok((cx.store.policy_versions(cx.account, &policy.name).await?, policy.default_version))
}

fn members(xml: &mut Xml, version: &PolicyVersionRow, default: bool) {
    xml.text("VersionId", format_args!("v{}", version.version)).text("IsDefaultVersion", default);
    xml.text("CreateDate", shapes::date(version.created));
}

/// The number in `v1`.
fn number(id: &str) -> Option<i64> {
    id.strip_prefix('v')?.parse().ok()
}
