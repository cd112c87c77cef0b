//! Policies of layer versions: who else may use them (CORE-096..115). Documents are written as the service writes
//! them, to the order of their members.

use lambd_store::layers::StoredPolicy;
use lambd_types::{AccountId, RevisionId, limits};
use serde::{Deserialize, Serialize};

/// The one thing that a layer policy allows.
pub(crate) const ACTION: &str = "lambda:GetLayerVersion";

/// Why a policy stays as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Unchanged {
    /// It has a statement of this id already.
    Taken,
    /// It has none of this id.
    NoStatement,
    /// It would have this many bytes.
    TooLong(usize),
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Statement {
    sid: String,
    effect: String,
    principal: Principal,
    action: String,
    resource: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    condition: Option<Condition>,
}

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Principal {
    Everybody(String),
    Account {
        #[serde(rename = "AWS")]
        arn: String,
    },
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Condition {
    string_equals: OfOrganization,
}

#[derive(Serialize, Deserialize)]
struct OfOrganization {
    #[serde(rename = "aws:PrincipalOrgID")]
    id: String,
}

/// What a new statement is to say. All of it was checked.
pub(crate) struct Grant<'a> {
    /// Names it.
    pub(crate) id: &'a str,
    /// An account, the ARN of its root, or `*`.
    pub(crate) principal: &'a str,
    /// Only for accounts of this organisation.
    pub(crate) organization: Option<&'a str>,
    /// ARN of the layer version.
    pub(crate) resource: &'a str,
}

/// The statement of a grant (EX-14, EX-15).
pub(crate) fn statement(grant: &Grant<'_>) -> String {
    let principal = match AccountId::parse(grant.principal) {
        Some(account) => Principal::Account { arn: format!("arn:aws:iam::{account}:root") },
        None if grant.principal == "*" => Principal::Everybody("*".to_owned()),
        None => Principal::Account { arn: grant.principal.to_owned() },
    };
    let condition =
        grant.organization.map(|id| Condition { string_equals: OfOrganization { id: id.to_owned() } });
    text(&Statement {
        sid: grant.id.to_owned(),
        effect: "Allow".to_owned(),
        principal,
        action: ACTION.to_owned(),
        resource: grant.resource.to_owned(),
        condition,
    })
}

/// The policy with one more statement, under a new revision.
pub(crate) fn add(
    policy: Option<&StoredPolicy>,
    id: &str,
    statement: String,
) -> Result<StoredPolicy, Unchanged> {
    let mut statements = policy.map(|policy| policy.statements.clone()).unwrap_or_default();
    if statements.iter().any(|other| has_id(other, id)) {
        return Err(Unchanged::Taken);
    }
    statements.push(statement);
    let policy = StoredPolicy { revision: RevisionId::random(), statements };
    match document(&policy).len() {
        length if length > limits::POLICY => Err(Unchanged::TooLong(length)),
        _ => Ok(policy),
    }
}

/// The policy without a statement, under a new revision; `None` when it was the only one.
pub(crate) fn remove(policy: &StoredPolicy, id: &str) -> Result<Option<StoredPolicy>, Unchanged> {
    let mut statements = policy.statements.clone();
    statements.retain(|statement| !has_id(statement, id));
    if statements.len() == policy.statements.len() {
        return Err(Unchanged::NoStatement);
    }
    Ok((!statements.is_empty()).then(|| StoredPolicy { revision: RevisionId::random(), statements }))
}

/// The whole document.
pub(crate) fn document(policy: &StoredPolicy) -> String {
    let statements = policy.statements.join(",");
    format!(r#"{{"Version":"2012-10-17","Id":"default","Statement":[{statements}]}}"#)
}

/// Whether an account other than the layer's may use the version. What is for an organisation permits nobody here:
/// lambd knows of none, so no account is known to be in one.
pub(crate) fn permits(policy: Option<&StoredPolicy>, account: &AccountId) -> bool {
    let statements = policy.map(|policy| policy.statements.as_slice()).unwrap_or_default();
    statements.iter().filter_map(|text| read(text)).any(|statement| {
        let is_meant = match &statement.principal {
            Principal::Everybody(everybody) => everybody == "*",
            // arn:aws:iam::123456789012:root
            Principal::Account { arn } => arn.split(':').nth(4) == Some(account.as_str()),
        };
        is_meant && statement.condition.is_none()
    })
}

fn has_id(statement: &str, id: &str) -> bool {
    read(statement).is_some_and(|statement| statement.sid == id)
}

fn read(statement: &str) -> Option<Statement> {
    serde_json::from_str(statement).ok()
}

fn text(statement: &Statement) -> String {
    match serde_json::to_string(statement) {
        Ok(text) => text,
        Err(_) => unreachable!("texts alone are always JSON"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RESOURCE: &str = "arn:aws:lambda:us-east-2:123456789012:layer:my-layer:3";

    fn grant(id: &'static str, principal: &'static str, organization: Option<&'static str>) -> String {
        statement(&Grant { id, principal, organization, resource: RESOURCE })
    }

    fn account(text: &str) -> AccountId {
        AccountId::parse(text).unwrap()
    }

    /// CORE-109, EX-14, EX-15, RT-80: to the byte.
    #[test]
    fn statements_are_the_service_s() {
        assert_eq!(
            grant("xaccount", "210987654321", None),
            r#"{"Sid":"xaccount","Effect":"Allow","Principal":{"AWS":"arn:aws:iam::210987654321:root"},"Action":"lambda:GetLayerVersion","Resource":"arn:aws:lambda:us-east-2:123456789012:layer:my-layer:3"}"#
        );
        assert_eq!(
            grant("engineering-org", "*", Some("o-t194hfs8cz")),
            r#"{"Sid":"engineering-org","Effect":"Allow","Principal":"*","Action":"lambda:GetLayerVersion","Resource":"arn:aws:lambda:us-east-2:123456789012:layer:my-layer:3","Condition":{"StringEquals":{"aws:PrincipalOrgID":"o-t194hfs8cz"}}}"#
        );
        let root = "arn:aws-cn:iam::210987654321:root";
        assert!(grant("s", root, None).contains(&format!(r#""Principal":{{"AWS":"{root}"}}"#)));
    }

    #[test]
    fn statements_come_and_go_by_their_ids() {
        let one = add(None, "one", grant("one", "*", None)).unwrap();
        assert_eq!(add(Some(&one), "one", grant("one", "*", None)), Err(Unchanged::Taken));
        let two = add(Some(&one), "two", grant("two", "210987654321", None)).unwrap();
        assert_ne!(one.revision, two.revision);
        assert_eq!(
            document(&two),
            format!(
                r#"{{"Version":"2012-10-17","Id":"default","Statement":[{},{}]}}"#,
                grant("one", "*", None),
                grant("two", "210987654321", None)
            )
        );
        assert_eq!(remove(&two, "three"), Err(Unchanged::NoStatement));
        let left = remove(&two, "one").unwrap().unwrap();
        assert_eq!(left.statements, [grant("two", "210987654321", None)]);
        assert_eq!(remove(&left, "two"), Ok(None));
    }

    /// CORE-077 for functions; layers have the same limit.
    #[test]
    fn a_policy_has_a_limit() {
        let mut policy = None;
        let refused = (0..1000).find_map(|n: u32| {
            let id = n.to_string();
            let text = statement(&Grant { id: &id, principal: "*", organization: None, resource: RESOURCE });
            match add(policy.as_ref(), &id, text) {
                Ok(longer) => policy = Some(longer),
                Err(unchanged) => return Some(unchanged),
            }
            None
        });
        assert!(document(&policy.unwrap()).len() <= 20 * 1024);
        assert!(matches!(refused, Some(Unchanged::TooLong(length)) if length > 20 * 1024));
    }

    #[test]
    fn accounts_are_permitted_by_number_or_all_at_once() {
        let of = |statements: &[String]| StoredPolicy {
            revision: RevisionId::random(),
            statements: statements.to_vec(),
        };
        let (friend, stranger) = (account("210987654321"), account("111111111111"));
        assert!(!permits(None, &friend));
        let for_friend = of(&[grant("a", "210987654321", None)]);
        assert!(permits(Some(&for_friend), &friend) && !permits(Some(&for_friend), &stranger));
        let for_root = of(&[grant("a", "arn:aws:iam::210987654321:root", None)]);
        assert!(permits(Some(&for_root), &friend) && !permits(Some(&for_root), &stranger));
        assert!(permits(Some(&of(&[grant("a", "*", None)])), &stranger));
        let for_members = of(&[grant("a", "*", Some("o-t194hfs8cz"))]);
        assert!(!permits(Some(&for_members), &friend), "nobody is known to be a member");
    }
}
