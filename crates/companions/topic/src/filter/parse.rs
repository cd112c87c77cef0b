//! Reading policies, with the limits that SNS sets.

use std::net::IpAddr;

use lambd_types::Cidr;
use serde_json::{Map, Value};

use super::condition::{Comparison, Condition, Scalar, Wildcard};
use super::{Field, Fields, FilterScope};

/// Bytes of a policy.
const MAX_BYTES: usize = 256 * 1024;
/// Names at the top of a policy.
const MAX_KEYS: usize = 5;
/// Combinations of values, each weighed by how deep it is nested.
const MAX_COMBINATIONS: usize = 150;
/// Points of all wildcards in a policy.
const MAX_WILDCARD_POINTS: usize = 100;
/// Numbers reach from minus this to this.
const MAX_NUMBER: f64 = 1e9;

/// Words that say how to match, which an alternative of `$or` must not have for a name.
const MATCHERS: [&str; 8] =
    ["prefix", "suffix", "anything-but", "equals-ignore-case", "wildcard", "numeric", "exists", "cidr"];

/// A text is no filter policy, in the words of SNS where it has any.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub(crate) enum FilterError {
    #[error("failed to parse JSON. {0}")]
    Json(String),
    #[error("Filter policy must be at most {MAX_BYTES} bytes long")]
    TooLong,
    #[error("Filter policy must be an object")]
    NotAnObject,
    #[error("Filter policy can not have more than {MAX_KEYS} keys")]
    TooManyKeys,
    #[error("Filter policy is too complex")]
    TooComplex,
    #[error("Filter policy scope MessageAttributes does not support nested filter policy")]
    NestedAttributes,
    #[error("\"{0}\" must be an object or an array")]
    NeitherObjectNorArray(String),
    #[error("Empty arrays are not allowed")]
    EmptyArray,
    #[error("Empty objects are not allowed")]
    EmptyObject,
    #[error("Match value must be String, number, true, false, or null")]
    MatchValue,
    #[error("Unrecognized match type {0}")]
    MatchType(String),
    #[error("Only one key allowed in match expression")]
    OneMatchType,
    #[error("{0} match pattern must be a string")]
    NotAString(&'static str),
    #[error("exists match pattern must be either true or false.")]
    Exists,
    #[error("Malformed CIDR, one '/' required with a valid address and number of bits")]
    Cidr,
    #[error("Value of numeric must be an array.")]
    NumericArray,
    #[error("Invalid member in numeric match: {0}")]
    NumericMember(String),
    #[error("Value of {0} must be numeric")]
    NotNumeric(String),
    #[error("Value of {0} must be between -1.0E9 and 1.0E9, inclusive")]
    NumberRange(String),
    #[error("Too many elements in numeric expression")]
    NumericTooLong,
    #[error("Bottom must be less than top")]
    NumericOrder,
    #[error("Value of anything-but must be an array or single string/number value.")]
    AnythingBut,
    #[error("Consecutive wildcard characters at pos {0}")]
    ConsecutiveWildcards(usize),
    #[error("Invalid escape character at pos {0}")]
    Escape(usize),
}

pub(super) fn policy(text: &str, scope: FilterScope) -> Result<Fields, FilterError> {
    if text.len() > MAX_BYTES {
        return Err(FilterError::TooLong);
    }
    let value: Value = serde_json::from_str(text).map_err(|error| FilterError::Json(error.to_string()))?;
    let Value::Object(object) = value else { return Err(FilterError::NotAnObject) };
    let root = fields(&object, scope)?;
    if keys(&root) > MAX_KEYS {
        return Err(FilterError::TooManyKeys);
    }
    let heavy = combinations(&root, 1) > MAX_COMBINATIONS || points(&root) > MAX_WILDCARD_POINTS;
    if heavy { Err(FilterError::TooComplex) } else { Ok(root) }
}

fn fields(object: &Map<String, Value>, scope: FilterScope) -> Result<Fields, FilterError> {
    let mut out = Fields::default();
    for (name, value) in object {
        if let Some(alternatives) = alternatives(name, value) {
            for alternative in alternatives {
                out.alternatives.push(fields(alternative, scope)?);
            }
            continue;
        }
        let field = match value {
            Value::Array(items) if items.is_empty() => return Err(FilterError::EmptyArray),
            Value::Array(items) => Field::Leaf(items.iter().map(condition).collect::<Result<_, _>>()?),
            Value::Object(_) if scope == FilterScope::Attributes => {
                return Err(FilterError::NestedAttributes);
            }
            Value::Object(nested) if nested.is_empty() => return Err(FilterError::EmptyObject),
            Value::Object(nested) => Field::Nested(fields(nested, scope)?),
            _ => return Err(FilterError::NeitherObjectNorArray(name.clone())),
        };
        out.fields.push((name.clone(), field));
    }
    Ok(out)
}

/// The alternatives of `$or`, which is an ordinary name unless it has at least two objects of names.
fn alternatives<'a>(name: &str, value: &'a Value) -> Option<Vec<&'a Map<String, Value>>> {
    let items = value.as_array().filter(|items| name == "$or" && items.len() >= 2)?;
    let names = |item: &'a Value| {
        let object = item.as_object()?;
        let reserved = object.keys().any(|key| MATCHERS.contains(&key.as_str()));
        (!reserved && !object.is_empty()).then_some(object)
    };
    items.iter().map(names).collect()
}

fn condition(value: &Value) -> Result<Condition, FilterError> {
    match value {
        Value::Object(object) => {
            let mut entries = object.iter();
            match (entries.next(), entries.next()) {
                (Some((name, pattern)), None) => matcher(name, pattern),
                _ => Err(FilterError::OneMatchType),
            }
        }
        value => Ok(Condition::Equals(scalar(value)?)),
    }
}

fn scalar(value: &Value) -> Result<Scalar, FilterError> {
    Ok(match value {
        Value::String(text) => Scalar::Text(text.clone()),
        Value::Number(_) => Scalar::Number(number(value, "equals")?),
        Value::Bool(flag) => Scalar::Flag(*flag),
        Value::Null => Scalar::Null,
        Value::Array(_) | Value::Object(_) => return Err(FilterError::MatchValue),
    })
}

fn matcher(name: &str, pattern: &Value) -> Result<Condition, FilterError> {
    match name {
        "exists" => pattern.as_bool().map(Condition::Exists).ok_or(FilterError::Exists),
        "numeric" => numeric(pattern).map(Condition::Numeric),
        "cidr" => cidr(text("cidr", pattern)?).map(Condition::Cidr),
        "anything-but" => anything_but(pattern).map(Condition::AnythingBut),
        name => textual(name, pattern)?.ok_or_else(|| FilterError::MatchType(name.to_owned())),
    }
}

/// Conditions on texts, which `anything-but` takes too.
fn textual(name: &str, pattern: &Value) -> Result<Option<Condition>, FilterError> {
    Ok(Some(match name {
        "prefix" => Condition::Prefix(text("prefix", pattern)?.to_owned()),
        "suffix" => Condition::Suffix(text("suffix", pattern)?.to_owned()),
        "equals-ignore-case" => {
            Condition::EqualsIgnoringCase(text("equals-ignore-case", pattern)?.to_lowercase())
        }
        "wildcard" => Condition::Wildcard(wildcard(text("wildcard", pattern)?)?),
        _ => return Ok(None),
    }))
}

fn text<'a>(name: &'static str, pattern: &'a Value) -> Result<&'a str, FilterError> {
    pattern.as_str().ok_or(FilterError::NotAString(name))
}

fn number(value: &Value, of: &str) -> Result<f64, FilterError> {
    let number = value.as_f64().ok_or_else(|| FilterError::NotNumeric(of.to_owned()))?;
    let valid = number.abs() <= MAX_NUMBER;
    if valid { Ok(number) } else { Err(FilterError::NumberRange(of.to_owned())) }
}

fn anything_but(pattern: &Value) -> Result<Vec<Condition>, FilterError> {
    let plain = |value: &Value| match value {
        Value::String(_) | Value::Number(_) => Ok(Condition::Equals(scalar(value)?)),
        _ => Err(FilterError::AnythingBut),
    };
    match pattern {
        Value::Array(items) if items.is_empty() => Err(FilterError::EmptyArray),
        Value::Array(items) => items.iter().map(plain).collect(),
        Value::Object(object) => {
            let mut entries = object.iter();
            let (Some((name, pattern)), None) = (entries.next(), entries.next()) else {
                return Err(FilterError::OneMatchType);
            };
            let one =
                |pattern: &Value| textual(name, pattern)?.ok_or_else(|| FilterError::MatchType(name.clone()));
            match pattern {
                Value::Array(items) if items.is_empty() => Err(FilterError::EmptyArray),
                Value::Array(items) => items.iter().map(one).collect(),
                pattern => Ok(vec![one(pattern)?]),
            }
        }
        value => Ok(vec![plain(value)?]),
    }
}

/// `["=", 5]`, `["<", 5]` or a range `[">", 0, "<=", 100]`, from below.
fn numeric(pattern: &Value) -> Result<Vec<(Comparison, f64)>, FilterError> {
    use Comparison::{Equal, Greater, GreaterOrEqual, Less, LessOrEqual};
    let items = pattern.as_array().ok_or(FilterError::NumericArray)?;
    let mut bounds = Vec::new();
    for pair in items.chunks(2) {
        let shown = || pair[0].as_str().map_or_else(|| pair[0].to_string(), str::to_owned);
        let comparison = pair[0].as_str().and_then(Comparison::parse);
        let comparison = comparison.ok_or_else(|| FilterError::NumericMember(shown()))?;
        let bound = pair.get(1).ok_or_else(|| FilterError::NotNumeric(shown()))?;
        bounds.push((comparison, number(bound, &shown())?));
    }
    match bounds.as_slice() {
        [] => Err(FilterError::EmptyArray),
        [_] => Ok(bounds),
        [(Greater | GreaterOrEqual, bottom), (Less | LessOrEqual, top)] => {
            if bottom < top {
                Ok(bounds)
            } else {
                Err(FilterError::NumericOrder)
            }
        }
        [(Equal | Less | LessOrEqual, _), ..] => Err(FilterError::NumericTooLong),
        [_, (Equal | Greater | GreaterOrEqual, _)] => {
            Err(FilterError::NumericMember(items[2].as_str().unwrap_or_default().to_owned()))
        }
        _ => Err(FilterError::NumericTooLong),
    }
}

fn cidr(text: &str) -> Result<Cidr, FilterError> {
    let read = || {
        let (address, bits) = text.split_once('/')?;
        Cidr::around(address.parse::<IpAddr>().ok()?, bits.parse().ok()?)
    };
    read().ok_or(FilterError::Cidr)
}

/// Stars divide the pattern, unless a backslash stands before them.
fn wildcard(pattern: &str) -> Result<Wildcard, FilterError> {
    let mut parts = vec![String::new()];
    let mut star_before = false;
    let mut characters = pattern.chars().enumerate();
    while let Some((at, character)) = characters.next() {
        if character == '*' {
            if star_before {
                return Err(FilterError::ConsecutiveWildcards(at - 1));
            }
            parts.push(String::new());
        } else {
            let literal = match character {
                '\\' => match characters.next() {
                    Some((_, escaped @ ('*' | '\\'))) => escaped,
                    _ => return Err(FilterError::Escape(at)),
                },
                other => other,
            };
            if let Some(part) = parts.last_mut() {
                part.push(literal);
            }
        }
        star_before = character == '*';
    }
    Ok(Wildcard(parts))
}

fn keys(fields: &Fields) -> usize {
    fields.fields.len() + fields.alternatives.iter().map(keys).max().unwrap_or(0)
}

fn combinations(fields: &Fields, depth: usize) -> usize {
    let each = fields.fields.iter().map(|(_, field)| match field {
        Field::Leaf(conditions) => conditions.len().saturating_mul(depth),
        Field::Nested(nested) => combinations(nested, depth + 1),
    });
    let alternatives = fields.alternatives.iter().map(|fields| combinations(fields, depth));
    let alternatives = alternatives.fold(0usize, usize::saturating_add).max(1);
    each.fold(alternatives, usize::saturating_mul)
}

/// A wildcard with one star costs one point, with more three; within `anything-but` each costs one.
fn points(fields: &Fields) -> usize {
    let of_condition = |condition: &Condition| match condition {
        Condition::Wildcard(pattern) if pattern.0.len() > 2 => 3,
        Condition::Wildcard(_) => 1,
        Condition::AnythingBut(these) => {
            these.iter().filter(|condition| matches!(condition, Condition::Wildcard(_))).count()
        }
        _ => 0,
    };
    let each = fields.fields.iter().map(|(_, field)| match field {
        Field::Leaf(conditions) => conditions.iter().map(of_condition).sum(),
        Field::Nested(nested) => points(nested),
    });
    each.sum::<usize>() + fields.alternatives.iter().map(points).sum::<usize>()
}
