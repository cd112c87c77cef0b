//! Managed policies of roles (CORE-054).

use lambd_store::identity::Page;

use super::policies;
use super::roles::find;
use crate::error::IamError;
use crate::iam::{Context, Reply};
use crate::input::Input;
use crate::{managed, shapes};

pub(super) async fn attach(cx: &Context<'_>, mut input: Input<'_>) -> Result<Reply, IamError> {
    let (role, arn) = (input.role_name(), input.policy_arn());
    input.finish()?;
    if managed::parse(&arn).is_none() {
        let name = policies::local_name(cx, &arn)?;
        let found = cx.store.policy(cx.account, name).await?;
        if found.is_none_or(|p| shapes::policy_arn(cx.account, &p) != arn) {
            return Err(IamError::NotAttachable(arn));
        }
    }
    if cx.store.attach_role_policy(cx.account, &role, &arn).await? {
        Ok(Reply::Empty)
    } else {
        Err(IamError::NoRole(role))
    }
}

pub(super) async fn detach(cx: &Context<'_>, mut input: Input<'_>) -> Result<Reply, IamError> {
    let (role, arn) = (input.role_name(), input.policy_arn());
    input.finish()?;
    find(cx, &role).await?;
    if cx.store.detach_role_policy(cx.account, &role, &arn).await? {
        Ok(Reply::Empty)
    } else {
        Err(IamError::NoPolicy(arn))
    }
}

pub(super) async fn list(cx: &Context<'_>, mut input: Input<'_>) -> Result<Reply, IamError> {
    let role = input.role_name();
    let prefix = input.path_prefix();
    let paging = input.paging();
    input.finish()?;
    find(cx, &role).await?;
    let page = Page { after: &paging.after, limit: paging.limit as u32 + 1 };
    let mut arns = cx.store.attached_policies(cx.account, &role, page).await?;
    if prefix != "/" {
        // A role has few policies: those of other paths make a page shorter, never wrong.
        arns.retain(|arn| path_of(arn).starts_with(&prefix));
    }
    Ok(Reply::Result(shapes::page(
        "AttachedPolicies",
        arns,
        &paging,
        |arn| arn,
        |xml, arn| {
            xml.text("PolicyName", arn.rsplit('/').next().unwrap_or(arn)).text("PolicyArn", arn);
        },
    )))
}

/// What is between `policy` and the name, slashes included.
fn path_of(arn: &str) -> &str {
    let resource = arn.split_once(":policy").map_or("/", |(_, resource)| resource);
    &resource[..resource.rfind('/').map_or(0, |at| at + 1)]
}
