//! Policies of queues: as much of them as lambd decides by, and as `AddPermission` writes.
//!
//! Within an account everything is allowed. Another account needs a statement of the queue's policy that allows the
//! action to it; statements with conditions are not counted on, and a denial holds whatever its conditions say.

use lambd_types::AccountId;
use serde_json::{Value, json};

/// Whether a queue's policy lets another account do something.
pub(crate) fn allows(policy: Option<&str>, account: &AccountId, action: &str) -> bool {
    let Some(policy) = policy.and_then(|text| serde_json::from_str::<Value>(text).ok()) else { return false };
    let statements = listed(policy.get("Statement"));
    let about = |statement: &&Value| is_about(statement, account, action);
    let effect =
        |statement: &Value, effect: &str| statement.get("Effect").and_then(Value::as_str) == Some(effect);
    let mut about = statements.into_iter().filter(about).peekable();
    let mut allowed = false;
    for statement in about.by_ref() {
        if effect(statement, "Deny") {
            return false;
        }
        allowed |= effect(statement, "Allow") && statement.get("Condition").is_none();
    }
    allowed
}

fn is_about(statement: &Value, account: &AccountId, action: &str) -> bool {
    let actions = listed(statement.get("Action"));
    let matches_action = actions.iter().filter_map(|a| a.as_str()).any(|pattern| {
        let Some((service, pattern)) = pattern.split_once(':') else { return pattern == "*" };
        service.eq_ignore_ascii_case("sqs") && matches(&pattern.to_lowercase(), &action.to_lowercase())
    });
    let principal = statement.get("Principal");
    let named = match principal {
        Some(Value::Object(kinds)) => listed(kinds.get("AWS")),
        other => listed(other),
    };
    let is_named = |principal: &str| {
        principal == "*"
            || principal == account.as_str()
            || principal.split(':').nth(4).is_some_and(|named| named == account.as_str())
    };
    matches_action && named.iter().filter_map(|principal| principal.as_str()).any(is_named)
}

/// A value that may be one or a list of them.
fn listed(value: Option<&Value>) -> Vec<&Value> {
    match value {
        None => Vec::new(),
        Some(Value::Array(values)) => values.iter().collect(),
        Some(value) => vec![value],
    }
}

/// Whether `text` matches a pattern with `*` and `?`.
fn matches(pattern: &str, text: &str) -> bool {
    match pattern.chars().next() {
        None => text.is_empty(),
        Some('*') => {
            let rest = &pattern[1..];
            text.char_indices().map(|(at, _)| at).chain([text.len()]).any(|at| matches(rest, &text[at..]))
        }
        Some(first) => {
            let mut chars = text.chars();
            chars.next().is_some_and(|c| first == '?' || c == first)
                && matches(&pattern[first.len_utf8()..], chars.as_str())
        }
    }
}

/// The policy with one more statement; `None` if there is one of that label.
pub(crate) fn with(
    policy: Option<&str>,
    arn: &str,
    label: &str,
    accounts: &[String],
    actions: &[String],
) -> Option<String> {
    let one_or_all =
        |mut values: Vec<Value>| if values.len() == 1 { values.remove(0) } else { Value::from(values) };
    let mut policy = policy.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_else(
        || json!({"Version": "2008-10-17", "Id": format!("{arn}/SQSDefaultPolicy"), "Statement": []}),
    );
    let mut statements: Vec<Value> = listed(policy.get("Statement")).into_iter().cloned().collect();
    if statements.iter().any(|statement| statement.get("Sid").and_then(Value::as_str) == Some(label)) {
        return None;
    }
    let partition = arn.split(':').nth(1).unwrap_or("aws");
    let accounts = accounts.iter().map(|id| Value::from(format!("arn:{partition}:iam::{id}:root"))).collect();
    let actions = actions.iter().map(|action| Value::from(format!("SQS:{action}"))).collect();
    statements.push(json!({
        "Sid": label,
        "Effect": "Allow",
        "Principal": {"AWS": one_or_all(accounts)},
        "Action": one_or_all(actions),
        "Resource": arn,
    }));
    policy["Statement"] = Value::from(statements);
    Some(policy.to_string())
}

/// The policy without the statement of that label, empty if it was the last; `None` if there is no such statement.
pub(crate) fn without(policy: Option<&str>, label: &str) -> Option<String> {
    let mut policy: Value = serde_json::from_str(policy?).ok()?;
    let mut statements: Vec<Value> = listed(policy.get("Statement")).into_iter().cloned().collect();
    let before = statements.len();
    statements.retain(|statement| statement.get("Sid").and_then(Value::as_str) != Some(label));
    if statements.len() == before {
        return None;
    }
    if statements.is_empty() {
        return Some(String::new());
    }
    policy["Statement"] = Value::from(statements);
    Some(policy.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account() -> AccountId {
        AccountId::parse("111111111111").unwrap()
    }

    #[test]
    fn other_accounts_need_a_statement() {
        let statement = |effect: &str, principal: &str, action: &str| {
            format!(
                "{{\"Effect\":\"{effect}\",\"Principal\":{principal},\"Action\":{action},\"Resource\":\"*\"}}"
            )
        };
        let policy = |statements: &[String]| format!("{{\"Statement\":[{}]}}", statements.join(","));
        let root = "{\"AWS\":\"arn:aws:iam::111111111111:root\"}";
        for (statements, expected) in [
            (vec![statement("Allow", root, "\"sqs:SendMessage\"")], true),
            (vec![statement("Allow", "\"*\"", "\"SQS:*\"")], true),
            (vec![statement("Allow", "{\"AWS\":[\"111111111111\"]}", "[\"sqs:Send*\"]")], true),
            (vec![statement("Allow", root, "\"sqs:ReceiveMessage\"")], false),
            (vec![statement("Allow", "{\"AWS\":\"arn:aws:iam::222222222222:root\"}", "\"*\"")], false),
            (
                vec![statement("Allow", "\"*\"", "\"*\""), statement("Deny", root, "\"sqs:SendMessage\"")],
                false,
            ),
            (vec![], false),
        ] {
            assert_eq!(
                allows(Some(&policy(&statements)), &account(), "SendMessage"),
                expected,
                "{statements:?}"
            );
        }
        let conditional = "{\"Statement\":{\"Effect\":\"Allow\",\"Principal\":\"*\",\"Action\":\"sqs:*\",\
            \"Condition\":{\"ArnEquals\":{\"aws:SourceArn\":\"x\"}}}}";
        assert!(!allows(Some(conditional), &account(), "SendMessage"));
        assert!(!allows(None, &account(), "SendMessage"));
    }

    #[test]
    fn permissions_come_and_go_by_label() {
        let accounts = ["111111111111".to_owned()];
        let one = with(None, "arn:aws:sqs:r:0:q", "a", &accounts, &["SendMessage".to_owned()]).unwrap();
        assert!(allows(Some(&one), &account(), "SendMessage"));
        assert!(one.contains("\"Id\":\"arn:aws:sqs:r:0:q/SQSDefaultPolicy\""), "{one}");
        assert_eq!(with(Some(&one), "arn", "a", &accounts, &["*".to_owned()]), None);
        let two =
            with(Some(&one), "arn:aws:sqs:r:0:q", "b", &accounts, &["DeleteMessage".to_owned()]).unwrap();
        let rest = without(Some(&two), "a").unwrap();
        assert!(
            !allows(Some(&rest), &account(), "SendMessage")
                && allows(Some(&rest), &account(), "DeleteMessage")
        );
        assert_eq!(without(Some(&rest), "a"), None);
        assert_eq!(without(Some(&rest), "b").as_deref(), Some(""));
    }
}
