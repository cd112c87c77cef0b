//! The parts of a message: its body, its attributes, and what is kept beside them.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use crate::error::{Kind, SqsError};

/// Most attributes of one message.
const MOST_ATTRIBUTES: usize = 10;

/// The attribute that systems send along.
pub(crate) const TRACE_HEADER: &str = "AWSTraceHeader";

/// A value of a message attribute as it comes over the wire.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct WireValue {
    pub(crate) data_type: Option<String>,
    pub(crate) string_value: Option<String>,
    pub(crate) binary_value: Option<String>,
    pub(crate) string_list_values: Vec<String>,
    pub(crate) binary_list_values: Vec<String>,
}

/// A value of a message attribute, checked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct AttributeValue {
    #[serde(rename = "t")]
    pub(crate) data_type: String,
    #[serde(rename = "v")]
    pub(crate) content: Content,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Content {
    #[serde(rename = "s")]
    Text(String),
    #[serde(rename = "b", with = "base64_text")]
    Binary(Vec<u8>),
}

impl AttributeValue {
    /// Bytes that count for the size of a message.
    fn size(&self) -> usize {
        let content = match &self.content {
            Content::Text(text) => text.len(),
            Content::Binary(bytes) => bytes.len(),
        };
        self.data_type.len() + content
    }
}

/// A value as it goes over the wire.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ValueOut {
    #[serde(skip_serializing_if = "Option::is_none")]
    string_value: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    binary_value: Option<String>,
    data_type: String,
}

impl From<AttributeValue> for ValueOut {
    fn from(value: AttributeValue) -> Self {
        let (string_value, binary_value) = match value.content {
            Content::Text(text) => (Some(text), None),
            Content::Binary(bytes) => (None, Some(STANDARD.encode(bytes))),
        };
        Self { string_value, binary_value, data_type: value.data_type }
    }
}

/// Attributes by name.
pub(crate) type Attributes = BTreeMap<String, AttributeValue>;

/// What is kept of a message beside its body.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Details {
    /// Who sent it.
    #[serde(rename = "s")]
    pub(crate) sender: String,
    #[serde(rename = "g", default, skip_serializing_if = "Option::is_none")]
    pub(crate) group: Option<String>,
    #[serde(rename = "d", default, skip_serializing_if = "Option::is_none")]
    pub(crate) dedup: Option<String>,
    #[serde(rename = "h", default, skip_serializing_if = "Option::is_none")]
    pub(crate) trace_header: Option<String>,
    #[serde(rename = "a", default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) attributes: Attributes,
}

impl Details {
    pub(crate) fn to_bytes(&self) -> Result<Vec<u8>, SqsError> {
        serde_json::to_vec(self).map_err(|error| SqsError::damaged(&error))
    }

    pub(crate) fn from_bytes(bytes: &[u8]) -> Result<Self, SqsError> {
        serde_json::from_slice(bytes).map_err(|error| SqsError::damaged(&error))
    }
}

/// Bytes that count for the size of a message.
pub(crate) fn size(body: &str, attributes: &Attributes) -> usize {
    body.len() + attributes.iter().map(|(name, value)| name.len() + value.size()).sum::<usize>()
}

/// A body, checked.
pub(crate) fn check_body(body: &str) -> Result<(), SqsError> {
    if body.is_empty() {
        return Err(SqsError::missing("MessageBody"));
    }
    check_characters(body)
}

/// Characters that XML could not carry are refused in both protocols.
fn check_characters(text: &str) -> Result<(), SqsError> {
    let allowed =
        |c: char| matches!(c, '\t' | '\n' | '\r') || (c >= ' ' && c != '\u{fffe}' && c != '\u{ffff}');
    if text.chars().all(allowed) {
        return Ok(());
    }
    Err(SqsError::new(
        Kind::INVALID_CONTENTS,
        "Invalid characters found. Valid unicode characters are \
         #x9 | #xA | #xD | #x20 to #xD7FF | #xE000 to #xFFFD | #x10000 to #x10FFFF",
    ))
}

/// Attributes that a user gave a message, checked.
pub(crate) fn check_attributes(given: BTreeMap<String, WireValue>) -> Result<Attributes, SqsError> {
    if given.len() > MOST_ATTRIBUTES {
        return Err(SqsError::invalid(format!(
            "Number of message attributes [{}] exceeds the allowed maximum [{MOST_ATTRIBUTES}].",
            given.len()
        )));
    }
    given
        .into_iter()
        .map(|(name, value)| {
            check_name(&name)?;
            let value = check_value(&name, value, "(user)")?;
            Ok((name, value))
        })
        .collect()
}

/// Attributes that a system gave a message, checked: a trace header, or nothing.
pub(crate) fn check_system_attributes(given: BTreeMap<String, WireValue>) -> Result<Attributes, SqsError> {
    given
        .into_iter()
        .map(|(name, value)| {
            if name != TRACE_HEADER {
                return Err(SqsError::invalid(format!("Message system attribute name '{name}' is invalid.")));
            }
            let value = check_value(&name, value, "(system)")?;
            if !matches!(&value.content, Content::Text(_)) || value.data_type != "String" {
                return Err(SqsError::invalid(format!(
                    "Message (system) attribute '{name}' must have the type 'String'."
                )));
            }
            Ok((name, value))
        })
        .collect()
}

fn check_name(name: &str) -> Result<(), SqsError> {
    let fault = |message: &str| Err(SqsError::invalid(message));
    if name.is_empty() || name.len() > 256 {
        return fault("Message (user) attribute names must be shorter than 256 Bytes");
    }
    let allowed = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.');
    if !name.chars().all(allowed) {
        return fault(
            "Message (user) attributes name can only contain upper and lower score characters, digits, periods, \
             hyphens and underscores. ",
        );
    }
    let lower = name.to_ascii_lowercase();
    if lower.starts_with("aws.")
        || lower.starts_with("amazon.")
        || name.starts_with('.')
        || name.ends_with('.')
    {
        return fault(
            "You can't use message attribute names beginning with 'AWS.' or 'Amazon.'. \
             These strings are reserved for internal use. Additionally, they cannot start or end with '.'.",
        );
    }
    Ok(())
}

fn check_value(name: &str, value: WireValue, whose: &str) -> Result<AttributeValue, SqsError> {
    let fault = |message: String| Err(SqsError::invalid(message));
    if !value.string_list_values.is_empty() || !value.binary_list_values.is_empty() {
        return Err(SqsError::new(
            Kind::UNSUPPORTED,
            "Message attribute list values in SendMessage operation are not supported.",
        ));
    }
    let Some(data_type) = value.data_type.filter(|t| !t.is_empty()) else {
        return fault(format!("Message {whose} attribute '{name}' must contain a non-empty attribute type."));
    };
    if data_type.len() >= 256 {
        return fault("Message (user) attribute types must be shorter than 256 Bytes".to_owned());
    }
    let base = data_type.split('.').next().unwrap_or_default().to_owned();
    let empty = || {
        SqsError::invalid(format!(
            "Message {whose} attribute '{name}' must contain a non-empty value of type '{base}'."
        ))
    };
    let content = match base.as_str() {
        "String" | "Number" => {
            if value.binary_value.is_some() {
                return fault(format!(
                    "Message {whose} attribute '{name}' has a binary value and the type '{base}'."
                ));
            }
            let text = value.string_value.filter(|text| !text.is_empty()).ok_or_else(empty)?;
            check_characters(&text).map_err(|error| SqsError::invalid(error.message))?;
            if base == "Number" && !is_number(&text) {
                return fault(format!(
                    "Can't cast the value of message {whose} attribute '{name}' to a number."
                ));
            }
            Content::Text(text)
        }
        "Binary" => {
            let text = value.binary_value.filter(|text| !text.is_empty()).ok_or_else(empty)?;
            let Ok(bytes) = STANDARD.decode(&text) else {
                return fault(format!("The value of message {whose} attribute '{name}' is not base64."));
            };
            Content::Binary(bytes)
        }
        _ => {
            return fault(format!(
                "The type of message {whose} attribute '{name}' is invalid. \
                 You must use only the following supported type prefixes: Binary, Number, String."
            ));
        }
    };
    Ok(AttributeValue { data_type, content })
}

fn is_number(text: &str) -> bool {
    // `f64` reads what decimal numbers look like, and words for what is none.
    text.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'+' | b'-' | b'.' | b'e' | b'E'))
        && text.parse::<f64>().is_ok_and(f64::is_finite)
}

/// The attributes that a receiver asks for: by name, by a prefix (`foo.*`), or all of them.
#[derive(Debug)]
pub(crate) struct Wanted(Vec<String>);

impl Wanted {
    pub(crate) fn new(names: Vec<String>) -> Self {
        Self(names)
    }

    pub(crate) fn includes(&self, name: &str) -> bool {
        self.0.iter().any(|wanted| match wanted.strip_suffix(".*") {
            _ if wanted == "All" => true,
            Some("") => true,
            Some(prefix) => {
                name.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
            }
            None => wanted == name,
        })
    }
}

mod base64_text {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use serde::de::Error as _;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(bytes))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        STANDARD.decode(String::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}
