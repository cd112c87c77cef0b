//! Roles (CORE-053).

use lambd_store::identity::{Page, RoleDeletion, RoleRow};

use crate::document::check_trust_policy;
use crate::error::IamError;
use crate::iam::{Context, Reply};
use crate::input::Input;
use crate::shapes::{self, RoleView};

const MAX_DOCUMENT: usize = 131_072;
const SESSION: (i64, i64) = (3600, 43_200);

/// The role of that name, which must exist.
pub(super) async fn find(cx: &Context<'_>, name: &str) -> Result<RoleRow, IamError> {
    cx.store.role(cx.account, name).await?.ok_or_else(|| IamError::NoRole(name.to_owned()))
}

pub(super) async fn create(cx: &Context<'_>, mut input: Input<'_>) -> Result<Reply, IamError> {
    let role = RoleRow {
        name: input.role_name(),
        path: input.path(),
        id: shapes::unique_id("AROA"),
        created: cx.clock.now(),
        trust_policy: input.text("AssumeRolePolicyDocument", MAX_DOCUMENT),
        description: input.optional("Description", 1000),
        max_session: input.number("MaxSessionDuration", SESSION.0, SESSION.0, SESSION.1),
        permissions_boundary: input.optional("PermissionsBoundary", 2048),
        tags: input.tags(),
    };
    input.finish()?;
    check_trust_policy(&role.trust_policy)?;
    if !cx.store.insert_role(cx.account, &role).await? {
        return Err(IamError::RoleExists(role.name));
    }
    Ok(one(cx, &role, RoleView::Created))
}

pub(super) async fn get(cx: &Context<'_>, mut input: Input<'_>) -> Result<Reply, IamError> {
    let name = input.role_name();
    input.finish()?;
    Ok(one(cx, &find(cx, &name).await?, RoleView::Full))
}

fn one(cx: &Context<'_>, role: &RoleRow, view: RoleView) -> Reply {
    Reply::of(|xml| {
        xml.element("Role", |xml| shapes::role(xml, cx.account, role, view));
    })
}

pub(super) async fn list(cx: &Context<'_>, mut input: Input<'_>) -> Result<Reply, IamError> {
    let prefix = input.path_prefix();
    let paging = input.paging();
    input.finish()?;
    let page = Page { after: &paging.after, limit: paging.limit as u32 + 1 };
    let rows = cx.store.roles(cx.account, &prefix, page).await?;
    let each = |xml: &mut _, role: &RoleRow| shapes::role(xml, cx.account, role, RoleView::Listed);
    Ok(Reply::Result(shapes::page("Roles", rows, &paging, |role| &role.name, each)))
}

pub(super) async fn delete(cx: &Context<'_>, mut input: Input<'_>) -> Result<Reply, IamError> {
    let name = input.role_name();
    input.finish()?;
    match cx.store.delete_role(cx.account, &name).await? {
        RoleDeletion::Deleted => Ok(Reply::Empty),
        RoleDeletion::Missing => Err(IamError::NoRole(name)),
        RoleDeletion::HasAttachments => Err(IamError::HasAttachments),
        RoleDeletion::HasInlinePolicies => Err(IamError::HasInlinePolicies),
    }
}

pub(super) async fn update(cx: &Context<'_>, mut input: Input<'_>) -> Result<Reply, IamError> {
    let name = input.role_name();
    let description = input.optional("Description", 1000);
    let session = input.number("MaxSessionDuration", 0, SESSION.0, SESSION.1);
    input.finish()?;
    let mut role = find(cx, &name).await?;
    role.description = description.or(role.description);
    if session > 0 {
        role.max_session = session;
    }
    save(cx, &role).await?;
    Ok(Reply::of(|_| {}))
}

pub(super) async fn update_trust_policy(cx: &Context<'_>, mut input: Input<'_>) -> Result<Reply, IamError> {
    let name = input.role_name();
    let document = input.text("PolicyDocument", MAX_DOCUMENT);
    input.finish()?;
    check_trust_policy(&document)?;
    let role = RoleRow { trust_policy: document, ..find(cx, &name).await? };
    save(cx, &role).await?;
    Ok(Reply::Empty)
}

/// Writes a changed role back.
pub(super) async fn save(cx: &Context<'_>, role: &RoleRow) -> Result<(), IamError> {
    if cx.store.update_role(cx.account, role).await? {
        Ok(())
    } else {
        Err(IamError::NoRole(role.name.clone()))
    }
}

/// There are none; Terraform asks before it deletes a role.
pub(super) async fn list_instance_profiles(
    cx: &Context<'_>,
    mut input: Input<'_>,
) -> Result<Reply, IamError> {
    let name = input.role_name();
    input.finish()?;
    find(cx, &name).await?;
    Ok(Reply::of(|xml| {
        xml.element("InstanceProfiles", |_| {}).text("IsTruncated", false);
    }))
}
