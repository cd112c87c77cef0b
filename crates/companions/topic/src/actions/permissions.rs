//! Who may use a topic. Its own account may do everything; of others, whom its policy names.

use lambd_store::topics::TopicRow;
use lambd_types::AccountId;
use serde_json::{Value, json};

use super::topics::{find, save};
use crate::error::SnsError;
use crate::names::TopicArn;
use crate::service::{Context, Reply};

/// What others can be allowed.
const ACTIONS: [&str; 10] = [
    "GetTopicAttributes",
    "SetTopicAttributes",
    "AddPermission",
    "RemovePermission",
    "DeleteTopic",
    "Subscribe",
    "ListSubscriptionsByTopic",
    "Publish",
    "Receive",
    "GetDataProtectionPolicy",
];

/// The policy of a topic whose owner made none.
pub(super) fn default_policy(arn: &TopicArn) -> String {
    let actions: Vec<_> = ACTIONS[..8].iter().map(|action| format!("SNS:{action}")).collect();
    json!({
        "Version": "2008-10-17",
        "Id": "__default_policy_ID",
        "Statement": [{
            "Sid": "__default_statement_ID",
            "Effect": "Allow",
            "Principal": { "AWS": "*" },
            "Action": actions,
            "Resource": arn.to_string(),
            "Condition": { "StringEquals": { "AWS:SourceOwner": arn.scope.account.as_str() } },
        }],
    })
    .to_string()
}

/// Whether the caller may do with a topic what it asks for.
pub(super) fn check(cx: &Context<'_>, topic: &TopicRow) -> Result<(), SnsError> {
    let account = cx.account();
    // Who follows a link has its token or its id.
    if *account == topic.scope.account || !cx.head.caller.is_signed() {
        return Ok(());
    }
    let action = match cx.params.action() {
        "PublishBatch" => "Publish",
        action => action,
    };
    let policy = topic.attributes.get("Policy");
    if policy.is_some_and(|policy| permits(policy, account, action)) {
        return Ok(());
    }
    let arn = TopicArn { scope: topic.scope.clone(), name: topic.name.clone() };
    Err(SnsError::Denied(account.clone(), action.to_owned(), arn.to_string()))
}

/// Whether a policy allows an action to an account. Statements with conditions that lambd does not know allow nothing.
fn permits(policy: &str, account: &AccountId, action: &str) -> bool {
    let policy: Value = serde_json::from_str(policy).unwrap_or_default();
    let statements = texts_or_one(policy.get("Statement"));
    statements.into_iter().any(|statement| {
        let is_of = |principal: &Value| {
            texts_or_one(Some(principal)).into_iter().filter_map(Value::as_str).any(|name| {
                let root = name.split(':').nth(4).unwrap_or(name);
                name == "*" || root == account.as_str()
            })
        };
        let principal = match statement.get("Principal") {
            Some(Value::Object(kinds)) => kinds.get("AWS").is_some_and(is_of),
            Some(any) => any.as_str() == Some("*"),
            None => false,
        };
        let allowed =
            texts_or_one(statement.get("Action")).into_iter().filter_map(Value::as_str).any(|name| {
                let name = name.to_ascii_lowercase();
                name == "*"
                    || name == "sns:*"
                    || name.strip_prefix("sns:") == Some(&action.to_ascii_lowercase())
            });
        let unconditional = match statement.get("Condition") {
            None => true,
            Some(condition) => condition.as_object().is_some_and(|operators| {
                operators.iter().all(|(operator, keys)| {
                    operator == "StringEquals"
                        && keys.as_object().is_some_and(|keys| {
                            keys.iter().all(|(key, value)| {
                                let of_account =
                                    ["aws:sourceowner", "aws:sourceaccount", "aws:principalaccount"];
                                of_account.contains(&key.to_ascii_lowercase().as_str()) && is_of(value)
                            })
                        })
                })
            }),
        };
        statement.get("Effect").and_then(Value::as_str) == Some("Allow")
            && principal
            && allowed
            && unconditional
    })
}

fn texts_or_one(value: Option<&Value>) -> Vec<&Value> {
    match value {
        None => Vec::new(),
        Some(Value::Array(items)) => items.iter().collect(),
        Some(one) => vec![one],
    }
}

pub(super) async fn add(cx: &Context<'_>) -> Result<Reply, SnsError> {
    let arn = cx.topic_arn("TopicArn")?;
    let label = cx.required("Label")?;
    let accounts = cx.params.list("AWSAccountId");
    let actions = cx.params.list("ActionName");
    if accounts.is_empty() || accounts.iter().any(|id| AccountId::parse(id).is_none()) {
        return Err(SnsError::parameter("AWSAccountId"));
    }
    if actions.is_empty() || actions.iter().any(|action| *action != "*" && !ACTIONS.contains(action)) {
        return Err(SnsError::parameter("Policy statement action out of service scope!"));
    }
    let one_or_all = |mut texts: Vec<Value>| match texts.len() {
        1 => texts.remove(0),
        _ => Value::Array(texts),
    };
    let principals = accounts.iter().map(|id| format!("arn:aws:iam::{id}:root").into()).collect();
    let statement = json!({
        "Sid": label,
        "Effect": "Allow",
        "Principal": { "AWS": one_or_all(principals) },
        "Action": one_or_all(actions.iter().map(|action| format!("SNS:{action}").into()).collect()),
        "Resource": arn.to_string(),
    });
    change(cx, &arn, |statements| {
        if statements.iter().any(|other| other.get("Sid").and_then(Value::as_str) == Some(label)) {
            return Err(SnsError::parameter("Statement already exists"));
        }
        statements.push(statement);
        Ok(())
    })
    .await
}

pub(super) async fn remove(cx: &Context<'_>) -> Result<Reply, SnsError> {
    let arn = cx.topic_arn("TopicArn")?;
    let label = cx.required("Label")?;
    change(cx, &arn, |statements| {
        let before = statements.len();
        statements.retain(|statement| statement.get("Sid").and_then(Value::as_str) != Some(label));
        if statements.len() < before { Ok(()) } else { Err(SnsError::NoStatement) }
    })
    .await
}

async fn change(
    cx: &Context<'_>,
    arn: &TopicArn,
    change: impl FnOnce(&mut Vec<Value>) -> Result<(), SnsError>,
) -> Result<Reply, SnsError> {
    let _one_at_a_time = cx.service.changes.lock().await;
    let mut topic = find(cx, arn).await?;
    let policy = topic.attributes.get("Policy").cloned().unwrap_or_else(|| default_policy(arn));
    let mut policy: Value = serde_json::from_str(&policy).unwrap_or_default();
    let mut statements = match policy.get_mut("Statement").map(Value::take) {
        Some(Value::Array(statements)) => statements,
        Some(Value::Null) | None => Vec::new(),
        Some(only) => vec![only],
    };
    change(&mut statements)?;
    policy["Statement"] = statements.into();
    topic.attributes.insert("Policy".to_owned(), policy.to_string());
    save(cx, arn, &topic).await?;
    Ok(Reply::Empty)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_accounts_may_do_what_the_policy_allows_them() {
        let account = AccountId::parse("123456789012").unwrap();
        let policy = |principal: &str, action: &str, rest: &str| {
            format!(
                "{{\"Statement\": [{{\"Effect\": \"Allow\", \"Principal\": {principal}, \"Action\": {action}{rest}}}]}}"
            )
        };
        let named = r#"{"AWS": "arn:aws:iam::123456789012:root"}"#;
        let condition = |text: &str| format!(", \"Condition\": {text}");
        let own = condition(r#"{"StringEquals": {"AWS:SourceOwner": "123456789012"}}"#);
        let other = condition(r#"{"StringEquals": {"AWS:SourceOwner": "000000000000"}}"#);
        let source = condition(r#"{"ArnLike": {"aws:SourceArn": "*"}}"#);
        for (text, expected) in [
            (policy(named, r#""SNS:Publish""#, ""), true),
            (policy(named, r#"["sns:Subscribe", "sns:publish"]"#, ""), true),
            (policy(named, r#""SNS:*""#, ""), true),
            (policy(named, r#""SNS:Subscribe""#, ""), false),
            (policy(r#"{"AWS": ["000000000000", "123456789012"]}"#, r#""SNS:Publish""#, ""), true),
            (policy(r#"{"AWS": "arn:aws:iam::000000000000:root"}"#, r#""SNS:Publish""#, ""), false),
            (policy(r#""*""#, r#""SNS:Publish""#, ""), true),
            (policy(r#"{"Service": "s3.amazonaws.com"}"#, r#""SNS:Publish""#, ""), false),
            (policy(r#"{"AWS": "*"}"#, r#""SNS:Publish""#, &own), true),
            (policy(r#"{"AWS": "*"}"#, r#""SNS:Publish""#, &other), false),
            (policy(r#"{"AWS": "*"}"#, r#""SNS:Publish""#, &source), false),
            (policy(named, r#""SNS:Publish""#, "").replace("Allow", "Deny"), false),
        ] {
            assert_eq!(permits(&text, &account, "Publish"), expected, "{text}");
        }
    }
}
