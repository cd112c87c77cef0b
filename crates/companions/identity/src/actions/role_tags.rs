//! Tags of roles.

use lambd_store::identity::RoleRow;

use super::roles::{find, save};
use crate::error::IamError;
use crate::iam::{Context, Reply};
use crate::input::{Input, MAX_TAGS};
use crate::shapes;

pub(super) async fn tag(cx: &Context<'_>, mut input: Input<'_>) -> Result<Reply, IamError> {
    let name = input.role_name();
    let tags = input.tags();
    input.finish()?;
    let mut role = find(cx, &name).await?;
    role.tags.extend(tags);
    if role.tags.len() > MAX_TAGS {
        return Err(IamError::TooManyTags);
    }
    save(cx, &role).await?;
    Ok(Reply::Empty)
}

pub(super) async fn untag(cx: &Context<'_>, mut input: Input<'_>) -> Result<Reply, IamError> {
    let name = input.role_name();
    let keys = input.list("TagKeys");
    input.finish()?;
    let mut role: RoleRow = find(cx, &name).await?;
    role.tags.retain(|key, _| !keys.contains(key));
    save(cx, &role).await?;
    Ok(Reply::Empty)
}

pub(super) async fn list(cx: &Context<'_>, mut input: Input<'_>) -> Result<Reply, IamError> {
    let name = input.role_name();
    let paging = input.paging();
    input.finish()?;
    let role = find(cx, &name).await?;
    let beyond = role.tags.into_iter().filter(|(key, _)| *key > paging.after);
    let rows: Vec<_> = beyond.take(paging.limit + 1).collect();
    Ok(Reply::Result(shapes::page(
        "Tags",
        rows,
        &paging,
        |(key, _)| key,
        |xml, (key, value)| {
            xml.text("Key", key).text("Value", value);
        },
    )))
}
