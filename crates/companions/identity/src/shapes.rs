//! The structures of the API as XML.

use std::collections::BTreeMap;

use lambd_http::protocol::query::Xml;
use lambd_store::identity::{PolicyRow, RoleRow};
use lambd_types::{AccountId, Sha256Digest, UnixMillis, random};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::input::{Paging, mark};

/// IAM's unique ids are these characters.
const ID_CHARACTERS: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/// What RFC 3986 leaves as it is.
const ENCODED: AsciiSet = NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A fresh unique id: a prefix that tells the kind, and 17 characters.
pub(crate) fn unique_id(prefix: &str) -> String {
    id_of(prefix, &random::bytes::<17>())
}

/// The id of something that lambd does not keep: always the same for the same ARN.
pub(crate) fn derived_id(prefix: &str, arn: &str) -> String {
    let digest = Sha256Digest::of(arn.as_bytes()).to_hex();
    id_of(prefix, &digest.as_bytes()[..17])
}

fn id_of(prefix: &str, bytes: &[u8]) -> String {
    let characters = bytes.iter().map(|b| char::from(ID_CHARACTERS[usize::from(b % 32)]));
    prefix.chars().chain(characters).collect()
}

/// `2020-01-17T23:19:12Z`
pub(crate) fn date(at: UnixMillis) -> String {
    let ((y, mo, d), (h, mi, s, _)) = (at.date(), at.time());
    format!("{y:04}-{mo:02}-{d:02}T{h:02}:{mi:02}:{s:02}Z")
}

/// Policy documents travel URL-encoded.
pub(crate) fn encoded(document: &str) -> String {
    utf8_percent_encode(document, &ENCODED).to_string()
}

/// The ARN of a role.
pub(crate) fn role_arn(account: &AccountId, role: &RoleRow) -> String {
    format!("arn:aws:iam::{account}:role{}{}", role.path, role.name)
}

/// The ARN of a policy of an account.
pub(crate) fn policy_arn(account: &AccountId, policy: &PolicyRow) -> String {
    format!("arn:aws:iam::{account}:policy{}{}", policy.path, policy.name)
}

/// How much of a role an action shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RoleView {
    /// `CreateRole`: what was just given (EX-4).
    Created,
    /// `GetRole`: all of it.
    Full,
    /// `ListRoles`: without tags and boundary.
    Listed,
}

/// The members of `Role`.
pub(crate) fn role(xml: &mut Xml, account: &AccountId, role: &RoleRow, view: RoleView) {
    xml.text("Path", &role.path).text("RoleName", &role.name).text("RoleId", &role.id);
    xml.text("Arn", role_arn(account, role)).text("CreateDate", date(role.created));
    xml.text("AssumeRolePolicyDocument", encoded(&role.trust_policy));
    xml.optional("Description", role.description.as_ref());
    if view != RoleView::Created {
        xml.text("MaxSessionDuration", role.max_session);
    }
    if view == RoleView::Listed {
        return;
    }
    if let Some(arn) = &role.permissions_boundary {
        xml.element("PermissionsBoundary", |xml| {
            xml.text("PermissionsBoundaryType", "Policy").text("PermissionsBoundaryArn", arn);
        });
    }
    if !role.tags.is_empty() {
        tags(xml, &role.tags);
    }
    if view == RoleView::Full {
        // Nothing in lambd assumes a role in a way that is recorded.
        xml.element("RoleLastUsed", |_| {});
    }
}

/// The member `Tags`.
pub(crate) fn tags(xml: &mut Xml, tags: &BTreeMap<String, String>) {
    xml.list("Tags", tags, |xml, (key, value)| {
        xml.text("Key", key).text("Value", value);
    });
}

/// The members of `Policy`.
pub(crate) fn policy(xml: &mut Xml, arn: &str, policy: &PolicyRow, attachments: i64) {
    xml.text("PolicyName", &policy.name).text("PolicyId", &policy.id).text("Arn", arn);
    xml.text("Path", &policy.path).text("DefaultVersionId", format_args!("v{}", policy.default_version));
    xml.text("AttachmentCount", attachments)
        .text("PermissionsBoundaryUsageCount", 0)
        .text("IsAttachable", true);
    xml.optional("Description", policy.description.as_ref());
    xml.text("CreateDate", date(policy.created)).text("UpdateDate", date(policy.updated));
    if !policy.tags.is_empty() {
        tags(xml, &policy.tags);
    }
}

/// One page of a listing. `rows` has one more than asked for when there is a next page.
pub(crate) fn page<T>(
    name: &str,
    mut rows: Vec<T>,
    paging: &Paging,
    key: impl Fn(&T) -> &str,
    each: impl Fn(&mut Xml, &T),
) -> Xml {
    let mut xml = Xml::default();
    let truncated = rows.len() > paging.limit;
    rows.truncate(paging.limit);
    xml.list(name, &rows, |xml, row| each(xml, row)).text("IsTruncated", truncated);
    xml.optional("Marker", rows.last().filter(|_| truncated).map(|row| mark(key(row))));
    xml
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_dates_and_documents() {
        let id = unique_id("AROA");
        assert!(id.len() == 21 && id.starts_with("AROA"));
        assert!(id.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit()));
        assert_ne!(id, unique_id("AROA"));
        assert_eq!(derived_id("ANPA", "x"), derived_id("ANPA", "x"));
        assert_eq!(date(UnixMillis(1_579_303_152_999)), "2020-01-17T23:19:12Z");
        assert_eq!(encoded(r#"{"a": "*"}"#), "%7B%22a%22%3A%20%22%2A%22%7D");
    }
}
