//! Filter policies: which messages a subscription wants.
//!
//! A policy is parsed once, when it is set or first used, and then matched against attributes or bodies.

mod condition;
mod parse;
#[cfg(test)]
mod tests;

use serde_json::{Map, Value};

use condition::Condition;
pub(crate) use parse::FilterError;

use crate::message::{Attribute, AttributeType};

/// What a policy is matched against.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FilterScope {
    Attributes,
    Body,
}

impl FilterScope {
    /// The value of `FilterPolicyScope`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        match text {
            "MessageAttributes" => Some(Self::Attributes),
            "MessageBody" => Some(Self::Body),
            _ => None,
        }
    }
}

/// A policy, parsed.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct FilterPolicy {
    root: Fields,
    scope: FilterScope,
}

/// All of these must match, and one of the alternatives if there are any.
#[derive(Debug, Clone, PartialEq, Default)]
struct Fields {
    fields: Vec<(String, Field)>,
    alternatives: Vec<Fields>,
}

#[derive(Debug, Clone, PartialEq)]
enum Field {
    /// One of these.
    Leaf(Vec<Condition>),
    Nested(Fields),
}

impl FilterPolicy {
    /// Reads a policy; `None` for the empty one, which everything passes.
    pub(crate) fn parse(text: &str, scope: FilterScope) -> Result<Option<Self>, FilterError> {
        let root = parse::policy(text, scope)?;
        let empty = root.fields.is_empty() && root.alternatives.is_empty();
        Ok((!empty).then_some(Self { root, scope }))
    }

    /// Whether a message passes.
    pub(crate) fn accepts(&self, attributes: &[Attribute], body: &str) -> bool {
        match self.scope {
            FilterScope::Attributes => self.root.accept(&attributes.iter().filter_map(value_of).collect()),
            FilterScope::Body => match serde_json::from_str(body) {
                Ok(Value::Object(body)) => self.root.accept(&body),
                _ => false,
            },
        }
    }
}

/// An attribute as policies see it; binary ones they do not see.
fn value_of(attribute: &Attribute) -> Option<(String, Value)> {
    let value = match attribute.kind() {
        AttributeType::String => Value::from(attribute.value.as_str()),
        AttributeType::Number => attribute.value.parse::<f64>().ok()?.into(),
        AttributeType::StringArray => serde_json::from_str(&attribute.value).ok()?,
        AttributeType::Binary => return None,
    };
    Some((attribute.name.clone(), value))
}

impl Fields {
    fn accept(&self, object: &Map<String, Value>) -> bool {
        self.fields.iter().all(|(name, field)| field.accepts(object.get(name)))
            && (self.alternatives.is_empty() || self.alternatives.iter().any(|fields| fields.accept(object)))
    }
}

impl Field {
    fn accepts(&self, value: Option<&Value>) -> bool {
        match (self, value) {
            (Self::Leaf(conditions), value) => conditions.iter().any(|condition| condition.accepts(value)),
            (Self::Nested(fields), Some(Value::Object(object))) => fields.accept(object),
            // One element must match as a whole.
            (Self::Nested(fields), Some(Value::Array(items))) => {
                items.iter().any(|item| item.as_object().is_some_and(|object| fields.accept(object)))
            }
            // What is to be absent inside of it is.
            (Self::Nested(fields), _) => fields.accept(&Map::new()),
        }
    }
}
