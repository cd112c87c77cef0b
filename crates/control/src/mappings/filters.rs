//! Patterns of filters: whether a text is one. What they match is for pollers to find out.

use serde_json::Value;

/// Nested objects deeper than this are no pattern of anybody.
const DEPTH: usize = 32;

/// Whether a text is a pattern: a JSON object whose leaves are lists of what is to be matched.
pub(super) fn is_pattern(text: &str) -> bool {
    match serde_json::from_str::<Value>(text) {
        Ok(Value::Object(members)) => is_object(&members, 0),
        Ok(_) | Err(_) => false,
    }
}

fn is_object(members: &serde_json::Map<String, Value>, depth: usize) -> bool {
    depth < DEPTH
        && members.iter().all(|(name, value)| match value {
            Value::Object(inner) => !inner.is_empty() && is_object(inner, depth + 1),
            Value::Array(list) if name == "$or" => {
                list.len() > 1
                    && list.iter().all(|one| one.as_object().is_some_and(|one| is_object(one, depth + 1)))
            }
            Value::Array(list) => !list.is_empty() && list.iter().all(is_match),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
        })
}

/// One of the values that a leaf lists.
fn is_match(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => true,
        Value::Array(_) => false,
        Value::Object(operator) => {
            let mut members = operator.iter();
            match (members.next(), members.next()) {
                (Some((name, operand)), None) => is_operator(name, operand),
                _ => false,
            }
        }
    }
}

fn is_operator(name: &str, operand: &Value) -> bool {
    let text_or_case = |operand: &Value| match operand {
        Value::String(_) => true,
        Value::Object(inner) => {
            inner.len() == 1 && inner.get("equals-ignore-case").is_some_and(Value::is_string)
        }
        _ => false,
    };
    match name {
        "prefix" | "suffix" => text_or_case(operand),
        "equals-ignore-case" => operand.is_string(),
        "exists" => operand.is_boolean(),
        "anything-but" => match operand {
            Value::String(_) | Value::Number(_) => true,
            Value::Array(list) => {
                !list.is_empty() && (list.iter().all(Value::is_string) || list.iter().all(Value::is_number))
            }
            Value::Object(inner) => {
                inner.len() == 1
                    && inner.iter().all(|(name, operand)| {
                        matches!(name.as_str(), "prefix" | "suffix" | "equals-ignore-case")
                            && operand.is_string()
                    })
            }
            Value::Null | Value::Bool(_) => false,
        },
        "numeric" => operand.as_array().is_some_and(|list| {
            matches!(list.len(), 2 | 4)
                && list.chunks(2).all(|pair| {
                    pair[0].as_str().is_some_and(|sign| ["=", "<", "<=", ">", ">="].contains(&sign))
                        && pair[1].is_number()
                })
        }),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_objects_of_lists() {
        for good in [
            "{}",
            r#"{"a":["b",1,null,true]}"#,
            r#"{"body":{"temperature":[{"numeric":[">",0,"<=",100]}],"name":[{"prefix":"x"},{"exists":false}]}}"#,
            r#"{"a":[{"anything-but":["x","y"]}],"b":[{"anything-but":{"prefix":"p"}}]}"#,
            r#"{"$or":[{"a":["x"]},{"b":[{"equals-ignore-case":"Y"}]}]}"#,
            r#"{"a":[{"suffix":{"equals-ignore-case":".PNG"}}]}"#,
        ] {
            assert!(is_pattern(good), "{good}");
        }
        for bad in [
            "",
            "no json",
            "[]",
            "\"a\"",
            r#"{"a":"b"}"#,
            r#"{"a":1}"#,
            r#"{"a":[]}"#,
            r#"{"a":{}}"#,
            r#"{"a":[["b"]]}"#,
            r#"{"a":[{}]}"#,
            r#"{"a":[{"numeric":[">"]}]}"#,
            r#"{"a":[{"numeric":["!",1]}]}"#,
            r#"{"a":[{"like":"x"}]}"#,
            r#"{"a":[{"exists":"yes"}]}"#,
            r#"{"a":[{"prefix":1}]}"#,
            r#"{"$or":[{"a":["x"]}]}"#,
        ] {
            assert!(!is_pattern(bad), "{bad}");
        }
        let deep = format!("{}[1]{}", "{\"a\":".repeat(40), "}".repeat(40));
        assert!(!is_pattern(&deep));
    }
}
