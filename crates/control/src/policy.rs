//! Resource policies: documents that say who may do what with one function, version, alias or layer version
//! (CORE-096..118). Nothing here knows what the policy is of; whoever stores it passes the resource's ARN.

use std::collections::BTreeMap;

use lambd_api::ApiError;
use serde::{Deserialize, Serialize};

use crate::checks::is_account;

/// Largest document, in bytes: 20 KB (CORE-077).
const SIZE_MAX: usize = 20 * 1024;

/// A policy, with its members in the service's order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Policy {
    version: String,
    id: String,
    statement: Vec<Statement>,
}

/// One permission.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Statement {
    sid: String,
    effect: String,
    principal: Principal,
    action: String,
    resource: String,
    #[serde(default, skip_serializing_if = "Condition::is_empty")]
    condition: Condition,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
enum Principal {
    /// `*`.
    Everybody(String),
    /// `Service` or `AWS` to its name.
    One(BTreeMap<String, String>),
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Condition {
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    string_equals: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    arn_like: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    bool: BTreeMap<String, String>,
}

impl Condition {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// What a statement is to say.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Grant<'a> {
    /// Its name.
    pub(crate) sid: &'a str,
    /// What is allowed.
    pub(crate) action: &'a str,
    /// To whom.
    pub(crate) principal: &'a str,
    /// With what: an ARN.
    pub(crate) resource: &'a str,
    /// For callers of this organisation only.
    pub(crate) organisation: Option<&'a str>,
    /// For calls from this account only.
    pub(crate) source_account: Option<&'a str>,
    /// For calls of resources like this only.
    pub(crate) source_arn: Option<&'a str>,
    /// For calls that bring this token only.
    pub(crate) event_source_token: Option<&'a str>,
    /// For function URLs of this kind only.
    pub(crate) url_auth_type: Option<&'a str>,
    /// For calls that came through a function URL only.
    pub(crate) via_url: Option<bool>,
}

/// A change that a policy does not allow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum PolicyError {
    /// There is a statement of this name.
    Taken(String),
    /// The document would have this many bytes.
    TooLong(usize),
}

impl From<PolicyError> for ApiError {
    fn from(error: PolicyError) -> Self {
        match error {
            PolicyError::Taken(sid) => Self::ResourceConflict(format!(
                "The statement id ({sid}) provided already exists. Please provide a new statement id, or remove the \
                 existing statement."
            )),
            PolicyError::TooLong(size) => Self::PolicyLengthExceeded(format!(
                "The final policy size ({size}) is bigger than the limit ({SIZE_MAX})."
            )),
        }
    }
}

impl Policy {
    /// A policy without statements, which is none yet.
    pub(crate) fn empty() -> Self {
        Self { version: "2012-10-17".to_owned(), id: "default".to_owned(), statement: Vec::new() }
    }

    /// Reads what [`Self::text`] wrote.
    pub(crate) fn parse(text: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(text)
    }

    /// The document, as compact JSON.
    pub(crate) fn text(&self) -> Result<String, serde_json::Error> {
        serde_json::to_string(self)
    }

    /// Adds a statement behind the others; the document must stay within its limit.
    pub(crate) fn add(&mut self, statement: Statement) -> Result<(), PolicyError> {
        if self.statement.iter().any(|other| other.sid == statement.sid) {
            return Err(PolicyError::Taken(statement.sid));
        }
        self.statement.push(statement);
        // A document of strings can be written.
        let size = self.text().map_or(0, |text| text.len());
        if size > SIZE_MAX {
            self.statement.pop();
            return Err(PolicyError::TooLong(size));
        }
        Ok(())
    }

    /// Takes a statement away. `false` when there is none of this name.
    pub(crate) fn remove(&mut self, sid: &str) -> bool {
        let before = self.statement.len();
        self.statement.retain(|statement| statement.sid != sid);
        self.statement.len() < before
    }

    /// Whether the last statement is gone, and the policy with it.
    pub(crate) fn is_empty(&self) -> bool {
        self.statement.is_empty()
    }
}

impl Statement {
    /// The statement for a grant; `None` when nobody can be called like its principal.
    pub(crate) fn of(grant: Grant<'_>) -> Option<Self> {
        let pairs = |pairs: &[(&str, Option<&str>)]| {
            pairs.iter().filter_map(|(key, value)| Some(((*key).to_owned(), (*value)?.to_owned()))).collect()
        };
        let condition = Condition {
            string_equals: pairs(&[
                ("AWS:SourceAccount", grant.source_account),
                ("aws:PrincipalOrgID", grant.organisation),
                ("lambda:EventSourceToken", grant.event_source_token),
                ("lambda:FunctionUrlAuthType", grant.url_auth_type),
            ]),
            arn_like: pairs(&[("AWS:SourceArn", grant.source_arn)]),
            bool: pairs(&[(
                "lambda:InvokedViaFunctionUrl",
                grant.via_url.map(|via| if via { "true" } else { "false" }),
            )]),
        };
        Some(Self {
            sid: grant.sid.to_owned(),
            effect: "Allow".to_owned(),
            principal: principal(grant.principal, grant.resource)?,
            action: grant.action.to_owned(),
            resource: grant.resource.to_owned(),
            condition,
        })
    }

    /// The statement, as compact JSON.
    pub(crate) fn text(&self) -> Result<String, serde_json::Error> {
        serde_json::to_string(self)
    }
}

/// Everybody, a service, an account by number, or an identity by ARN (CORE-103, CORE-104, CORE-112).
fn principal(text: &str, resource: &str) -> Option<Principal> {
    let one = |kind: &str, name: String| Some(Principal::One(BTreeMap::from([(kind.to_owned(), name)])));
    if text == "*" {
        return Some(Principal::Everybody(text.to_owned()));
    }
    if is_account(text) {
        // In the partition of the resource.
        let partition = resource.split(':').nth(1).unwrap_or("aws");
        return one("AWS", format!("arn:{partition}:iam::{text}:root"));
    }
    if text.starts_with("arn:") {
        return is_identity(text).then(|| one("AWS", text.to_owned())).flatten();
    }
    // Skills of Alexa come from amazon.com itself.
    let domains = [".amazonaws.com", ".amazonaws.com.cn", ".amazon.com"];
    let is_service =
        domains.iter().any(|domain| text.strip_suffix(domain).is_some_and(|name| !name.is_empty()));
    is_service.then(|| one("Service", text.to_owned())).flatten()
}

/// The ARN of a user, a role, a whole account or a session.
fn is_identity(arn: &str) -> bool {
    let parts: Vec<&str> = arn.splitn(6, ':').collect();
    let [_, partition, service, "", account, resource] = parts[..] else { return false };
    partition.starts_with("aws")
        && matches!(service, "iam" | "sts")
        && (is_account(account) || account == "cloudfront")
        && !resource.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    const FUNCTION: &str = "arn:aws:lambda:us-east-2:123456789012:function:my-function";

    fn grant<'a>() -> Grant<'a> {
        Grant {
            sid: "sns",
            action: "lambda:InvokeFunction",
            principal: "sns.amazonaws.com",
            resource: FUNCTION,
            ..Grant::default()
        }
    }

    fn text(grant: Grant<'_>) -> String {
        Statement::of(grant).unwrap().text().unwrap()
    }

    /// CORE-100, CORE-103, CORE-111, to the letter: EX-12, EX-13, EX-15.
    #[test]
    fn statements_are_the_guide_s() {
        assert_eq!(
            text(grant()),
            r#"{"Sid":"sns","Effect":"Allow","Principal":{"Service":"sns.amazonaws.com"},"Action":"lambda:InvokeFunction","Resource":"arn:aws:lambda:us-east-2:123456789012:function:my-function"}"#
        );
        assert_eq!(
            text(Grant { sid: "xaccount", principal: "210987654321", ..grant() }),
            r#"{"Sid":"xaccount","Effect":"Allow","Principal":{"AWS":"arn:aws:iam::210987654321:root"},"Action":"lambda:InvokeFunction","Resource":"arn:aws:lambda:us-east-2:123456789012:function:my-function"}"#
        );
        let layer = Grant {
            sid: "engineering-org",
            action: "lambda:GetLayerVersion",
            principal: "*",
            resource: "arn:aws:lambda:us-east-2:123456789012:layer:my-layer:3",
            organisation: Some("o-t194hfs8cz"),
            ..Grant::default()
        };
        assert_eq!(
            text(layer),
            r#"{"Sid":"engineering-org","Effect":"Allow","Principal":"*","Action":"lambda:GetLayerVersion","Resource":"arn:aws:lambda:us-east-2:123456789012:layer:my-layer:3","Condition":{"StringEquals":{"aws:PrincipalOrgID":"o-t194hfs8cz"}}}"#
        );
    }

    /// CORE-097: EX-11.
    #[test]
    fn a_policy_survives_being_written() {
        let s3 = Grant {
            principal: "s3.amazonaws.com",
            source_account: Some("123456789012"),
            source_arn: Some("arn:aws:s3:::my-bucket"),
            ..grant()
        };
        let mut policy = Policy::empty();
        policy.add(Statement::of(s3).unwrap()).unwrap();
        let text = policy.text().unwrap();
        assert_eq!(
            text,
            r#"{"Version":"2012-10-17","Id":"default","Statement":[{"Sid":"sns","Effect":"Allow","Principal":{"Service":"s3.amazonaws.com"},"Action":"lambda:InvokeFunction","Resource":"arn:aws:lambda:us-east-2:123456789012:function:my-function","Condition":{"StringEquals":{"AWS:SourceAccount":"123456789012"},"ArnLike":{"AWS:SourceArn":"arn:aws:s3:::my-bucket"}}}]}"#
        );
        assert_eq!(Policy::parse(&text).unwrap(), policy);
    }

    /// CORE-103, CORE-104, CORE-112: and nobody else.
    #[test]
    fn principals_have_four_forms() {
        for good in [
            "*",
            "s3.amazonaws.com",
            "alexa-appkit.amazon.com",
            "apigateway.amazonaws.com.cn",
            "123456789012",
            "arn:aws:iam::123456789012:user/developer",
            "arn:aws:sts::123456789012:assumed-role/r/s",
        ] {
            assert!(Statement::of(Grant { principal: good, ..grant() }).is_some(), "{good}");
        }
        for bad in
            ["", "s3", ".amazonaws.com", "12345", "arn:aws:s3:::bucket", "arn:aws:iam::1:user/x", "evil.com"]
        {
            assert!(Statement::of(Grant { principal: bad, ..grant() }).is_none(), "{bad}");
        }
    }

    #[test]
    fn names_of_statements_are_taken_once() {
        let mut policy = Policy::empty();
        let statement = Statement::of(grant()).unwrap();
        policy.add(statement.clone()).unwrap();
        assert_eq!(policy.add(statement), Err(PolicyError::Taken("sns".into())));
        assert!(!policy.remove("other"));
        assert!(policy.remove("sns") && policy.is_empty());
    }

    /// CORE-077: the last byte that fits, and the first that does not.
    #[test]
    fn a_policy_has_at_most_20_kilobytes() {
        let mut policy = Policy::empty();
        policy.add(Statement::of(grant()).unwrap()).unwrap();
        let empty = Statement::of(Grant { sid: "", ..grant() }).unwrap().text().unwrap().len();
        let room = 20 * 1024 - policy.text().unwrap().len() - ",".len() - empty;
        let long = |n| Statement::of(Grant { sid: &"x".repeat(n), ..grant() }).unwrap();
        let before = policy.clone();
        assert_eq!(policy.add(long(room + 1)), Err(PolicyError::TooLong(20 * 1024 + 1)));
        assert_eq!(policy, before);
        assert_eq!(policy.add(long(room)), Ok(()));
    }
}
