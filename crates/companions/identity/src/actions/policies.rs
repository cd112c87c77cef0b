//! Managed policies.

use lambd_store::identity::{Page, PolicyDeletion, PolicyRow};
use lambd_types::UnixMillis;

use crate::document::check_permissions;
use crate::error::IamError;
use crate::iam::{Context, Reply};
use crate::input::Input;
use crate::{managed, shapes};

/// When AWS's own policies are said to have been made: 2015-02-06.
const MANAGED_SINCE: UnixMillis = UnixMillis(1_423_180_800_000);

/// The name in the ARN of a policy of this account.
pub(super) fn local_name<'a>(cx: &Context<'_>, arn: &'a str) -> Result<&'a str, IamError> {
    let invalid = || IamError::InvalidArn(arn.to_owned());
    let fields: Vec<&str> = arn.splitn(6, ':').collect();
    let ["arn", _, "iam", "", account, resource] = fields.as_slice() else { return Err(invalid()) };
    let name = resource.strip_prefix("policy/").ok_or_else(invalid)?;
    if *account != cx.account.as_str() {
        return Err(IamError::NotAttachable(arn.to_owned()));
    }
    Ok(name.rsplit('/').next().unwrap_or(name))
}

/// The account's policy of that ARN, which must exist.
pub(super) async fn find(cx: &Context<'_>, arn: &str) -> Result<PolicyRow, IamError> {
    let found = cx.store.policy(cx.account, local_name(cx, arn)?).await?;
    found
        .filter(|p| shapes::policy_arn(cx.account, p) == arn)
        .ok_or_else(|| IamError::NoPolicy(arn.to_owned()))
}

/// A policy of AWS as if it were kept.
pub(super) fn managed_row(arn: &str) -> Option<PolicyRow> {
    let (path, name) = managed::parse(arn)?;
    Some(PolicyRow {
        name: name.to_owned(),
        path: path.to_owned(),
        id: shapes::derived_id("ANPA", arn),
        created: MANAGED_SINCE,
        updated: MANAGED_SINCE,
        description: None,
        default_version: 1,
        tags: std::collections::BTreeMap::new(),
    })
}

pub(super) async fn create(cx: &Context<'_>, mut input: Input<'_>) -> Result<Reply, IamError> {
    let now = cx.clock.now();
    let policy = PolicyRow {
        name: input.name("PolicyName", 128),
        path: input.path(),
        id: shapes::unique_id("ANPA"),
        created: now,
        updated: now,
        description: input.optional("Description", 1000),
        default_version: 1,
        tags: input.tags(),
    };
    let document = input.text("PolicyDocument", 131_072);
    input.finish()?;
    check_permissions(&document)?;
    if !cx.store.insert_policy(cx.account, &policy, &document).await? {
        return Err(IamError::PolicyExists(policy.name));
    }
    let arn = shapes::policy_arn(cx.account, &policy);
    // The answer leaves the description out, as IAM does.
    Ok(one(&arn, &PolicyRow { description: None, ..policy }, 0))
}

pub(super) async fn get(cx: &Context<'_>, mut input: Input<'_>) -> Result<Reply, IamError> {
    let arn = input.policy_arn();
    input.finish()?;
    let policy = match managed_row(&arn) {
        Some(policy) => policy,
        None => find(cx, &arn).await?,
    };
    let attachments = cx.store.attachment_count(cx.account, &arn).await?;
    Ok(one(&arn, &policy, attachments))
}

fn one(arn: &str, policy: &PolicyRow, attachments: i64) -> Reply {
    Reply::of(|xml| {
        xml.element("Policy", |xml| shapes::policy(xml, arn, policy, attachments));
    })
}

/// The account's policies come in the order of their names, AWS's known ones after them.
pub(super) async fn list(cx: &Context<'_>, mut input: Input<'_>) -> Result<Reply, IamError> {
    let scope = input.optional("Scope", 16).unwrap_or_else(|| "All".to_owned());
    let prefix = input.path_prefix();
    let only_attached = input.flag("OnlyAttached");
    let paging = input.paging();
    input.finish()?;
    let wanted = paging.limit + 1;
    let mut rows = Vec::new();
    // Keys of AWS's policies are their ARNs, which no name can be.
    if scope != "AWS" && !paging.after.starts_with("arn:") {
        let page = Page { after: &paging.after, limit: wanted as u32 };
        for policy in cx.store.policies(cx.account, &prefix, page).await? {
            rows.push((policy.name.clone(), shapes::policy_arn(cx.account, &policy), policy));
        }
    }
    if scope != "Local" {
        let beyond =
            managed::known_arns().filter(|arn| !paging.after.starts_with("arn:") || *arn > paging.after);
        let mut arns: Vec<String> = beyond.collect();
        arns.sort();
        for arn in arns {
            if let Some(policy) = managed_row(&arn).filter(|p| p.path.starts_with(&prefix)) {
                rows.push((arn.clone(), arn, policy));
            }
        }
    }
    rows.truncate(wanted);
    let mut counted = Vec::with_capacity(rows.len());
    for (key, arn, policy) in rows {
        let attachments = cx.store.attachment_count(cx.account, &arn).await?;
        if attachments > 0 || !only_attached {
            counted.push((key, arn, policy, attachments));
        }
    }
    Ok(Reply::Result(shapes::page(
        "Policies",
        counted,
        &paging,
        |(key, ..)| key,
        |xml, (_, arn, policy, n)| {
            shapes::policy(xml, arn, &PolicyRow { description: None, ..policy.clone() }, *n);
        },
    )))
}

pub(super) async fn delete(cx: &Context<'_>, mut input: Input<'_>) -> Result<Reply, IamError> {
    let arn = input.policy_arn();
    input.finish()?;
    let policy = find(cx, &arn).await?;
    match cx.store.delete_policy(cx.account, &policy.name, &arn).await? {
        PolicyDeletion::Deleted => Ok(Reply::Empty),
        PolicyDeletion::Missing => Err(IamError::NoPolicy(arn)),
        PolicyDeletion::Attached => Err(IamError::PolicyAttached),
        PolicyDeletion::HasVersions => Err(IamError::PolicyHasVersions),
    }
}
