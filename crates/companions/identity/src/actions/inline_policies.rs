//! Policies that are part of a role.

use lambd_store::identity::{InlinePolicyRow, Page};

use super::roles::find;
use crate::document::check_permissions;
use crate::error::IamError;
use crate::iam::{Context, Reply};
use crate::input::Input;
use crate::shapes;

pub(super) async fn put(cx: &Context<'_>, mut input: Input<'_>) -> Result<Reply, IamError> {
    let role = input.role_name();
    let policy = InlinePolicyRow {
        name: input.name("PolicyName", 128),
        document: input.text("PolicyDocument", 131_072),
    };
    input.finish()?;
    check_permissions(&policy.document)?;
    if cx.store.put_role_policy(cx.account, &role, &policy).await? {
        Ok(Reply::Empty)
    } else {
        Err(IamError::NoRole(role))
    }
}

pub(super) async fn get(cx: &Context<'_>, mut input: Input<'_>) -> Result<Reply, IamError> {
    let (role, name) = (input.role_name(), input.name("PolicyName", 128));
    input.finish()?;
    let role = find(cx, &role).await?;
    let policy = cx.store.role_policy(cx.account, &role.name, &name).await?;
    let policy = policy.ok_or(IamError::NoRolePolicy(name))?;
    Ok(Reply::of(|xml| {
        xml.text("RoleName", &role.name).text("PolicyName", &policy.name);
        xml.text("PolicyDocument", shapes::encoded(&policy.document));
    }))
}

pub(super) async fn list(cx: &Context<'_>, mut input: Input<'_>) -> Result<Reply, IamError> {
    let role = input.role_name();
    let paging = input.paging();
    input.finish()?;
    find(cx, &role).await?;
    let page = Page { after: &paging.after, limit: paging.limit as u32 + 1 };
    let names = cx.store.role_policy_names(cx.account, &role, page).await?;
    Ok(Reply::Result(shapes::page(
        "PolicyNames",
        names,
        &paging,
        |name| name,
        |xml, name| {
            xml.value(name);
        },
    )))
}

pub(super) async fn delete(cx: &Context<'_>, mut input: Input<'_>) -> Result<Reply, IamError> {
    let (role, name) = (input.role_name(), input.name("PolicyName", 128));
    input.finish()?;
    find(cx, &role).await?;
    if cx.store.delete_role_policy(cx.account, &role, &name).await? {
        Ok(Reply::Empty)
    } else {
        Err(IamError::NoRolePolicy(name))
    }
}
