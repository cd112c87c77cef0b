//! The form of policy documents. What they allow is nobody's business here.

use serde_json::{Map, Value};

use crate::error::IamError;

/// Checks a trust policy: who may assume a role.
pub(crate) fn check_trust_policy(text: &str) -> Result<(), IamError> {
    for statement in statements(text, "This policy contains invalid Json")? {
        if !has_either(&statement, "Principal", "NotPrincipal") {
            return Err(IamError::MalformedDocument("Missing required field Principal"));
        }
        if !has_either(&statement, "Action", "NotAction") {
            return Err(IamError::MalformedDocument("Missing required field Action"));
        }
        if has_either(&statement, "Resource", "NotResource") {
            return Err(IamError::MalformedDocument("Has prohibited field Resource"));
        }
    }
    Ok(())
}

/// Checks a permissions policy: what whoever has it may do.
pub(crate) fn check_permissions(text: &str) -> Result<(), IamError> {
    for statement in statements(text, "The policy is not in the valid JSON format.")? {
        if has_either(&statement, "Principal", "NotPrincipal") {
            return Err(IamError::MalformedDocument("Policy document should not specify a principal."));
        }
        if !has_either(&statement, "Action", "NotAction") {
            return Err(IamError::MalformedDocument("Policy statement must contain actions."));
        }
        if !has_either(&statement, "Resource", "NotResource") {
            return Err(IamError::MalformedDocument("Policy statement must contain resources."));
        }
    }
    Ok(())
}

fn has_either(statement: &Map<String, Value>, one: &str, other: &str) -> bool {
    statement.contains_key(one) || statement.contains_key(other)
}

fn statements(text: &str, not_json: &'static str) -> Result<Vec<Map<String, Value>>, IamError> {
    let syntax = || IamError::MalformedDocument("Syntax errors in policy.");
    let document: Value = serde_json::from_str(text).map_err(|_| IamError::MalformedDocument(not_json))?;
    let Value::Object(mut document) = document else { return Err(syntax()) };
    if let Some(version) = document.get("Version")
        && !matches!(version.as_str(), Some("2012-10-17" | "2008-10-17"))
    {
        return Err(IamError::MalformedDocument("The policy must contain a valid version string"));
    }
    let list = match document.remove("Statement") {
        Some(Value::Array(list)) => list,
        Some(one @ Value::Object(_)) => vec![one],
        _ => return Err(syntax()),
    };
    let statement = |value: Value| match value {
        Value::Object(s) if matches!(s.get("Effect").and_then(Value::as_str), Some("Allow" | "Deny")) => {
            Ok(s)
        }
        _ => Err(syntax()),
    };
    list.into_iter().map(statement).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(result: Result<(), IamError>) -> String {
        result.map_or_else(|e| e.to_string(), |()| "ok".into())
    }

    #[test]
    fn trust_policies_name_principal_and_action() {
        for (text, expected) in [
            (
                r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"lambda.amazonaws.com"},"Action":"sts:AssumeRole"}]}"#,
                "ok",
            ),
            (r#"{"Statement":{"Effect":"Deny","NotPrincipal":"*","NotAction":"x"}}"#, "ok"),
            ("{", "This policy contains invalid Json"),
            ("[]", "Syntax errors in policy."),
            ("{}", "Syntax errors in policy."),
            (r#"{"Version":"2020-01-01","Statement":[]}"#, "The policy must contain a valid version string"),
            (r#"{"Statement":[{"Effect":"Maybe"}]}"#, "Syntax errors in policy."),
            (r#"{"Statement":[{"Effect":"Allow","Action":"x"}]}"#, "Missing required field Principal"),
            (
                r#"{"Statement":[{"Effect":"Allow","Principal":"*","Action":"x","Resource":"*"}]}"#,
                "Has prohibited field Resource",
            ),
        ] {
            assert_eq!(message(check_trust_policy(text)), expected, "{text}");
        }
    }

    #[test]
    fn permissions_name_action_and_resource() {
        for (text, expected) in [
            (r#"{"Statement":[{"Effect":"Allow","Action":["a:b"],"Resource":"*"}]}"#, "ok"),
            ("x", "The policy is not in the valid JSON format."),
            (
                r#"{"Statement":[{"Effect":"Allow","Resource":"*"}]}"#,
                "Policy statement must contain actions.",
            ),
            (
                r#"{"Statement":[{"Effect":"Allow","Action":"a:b"}]}"#,
                "Policy statement must contain resources.",
            ),
        ] {
            assert_eq!(message(check_permissions(text)), expected, "{text}");
        }
    }
}
