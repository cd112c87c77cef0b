//! Messages, as they are kept until they are delivered.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

/// What a message is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Kind {
    /// Somebody published it.
    Notification,
    /// An endpoint is asked whether it wants to be one.
    SubscriptionConfirmation,
    /// An endpoint is told that it is none any more.
    UnsubscribeConfirmation,
}

impl Kind {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Notification => "Notification",
            Self::SubscriptionConfirmation => "SubscriptionConfirmation",
            Self::UnsubscribeConfirmation => "UnsubscribeConfirmation",
        }
    }
}

/// A message.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Message {
    pub(crate) kind: Kind,
    /// The ARN of its topic.
    pub(crate) topic: String,
    /// Its text, or with `structured` a JSON object of texts by protocol.
    pub(crate) text: String,
    #[serde(default)]
    pub(crate) structured: bool,
    #[serde(default)]
    pub(crate) subject: Option<String>,
    #[serde(default)]
    pub(crate) attributes: Vec<Attribute>,
    #[serde(default)]
    pub(crate) group: Option<String>,
    #[serde(default)]
    pub(crate) deduplication: Option<String>,
    /// When it was published, in milliseconds since 1970.
    pub(crate) at: i64,
    /// The version of its signature.
    pub(crate) signature_version: SignatureVersion,
    /// The trace that it belongs to.
    #[serde(default)]
    pub(crate) trace: Option<String>,
    /// What confirms the subscription that it is about.
    #[serde(default)]
    pub(crate) token: Option<String>,
}

/// How messages are signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) enum SignatureVersion {
    /// With SHA-1.
    One,
    /// With SHA-256.
    Two,
}

impl SignatureVersion {
    /// The value of the topic's setting; version 1 is what topics have unless they say otherwise.
    pub(crate) fn of(setting: Option<&str>) -> Self {
        if setting == Some("2") { Self::Two } else { Self::One }
    }

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::One => "1",
            Self::Two => "2",
        }
    }
}

impl Message {
    /// The text for subscribers of a protocol.
    pub(crate) fn text_for(&self, protocol: &str) -> Cow<'_, str> {
        if !self.structured {
            return Cow::Borrowed(&self.text);
        }
        let texts: serde_json::Value = serde_json::from_str(&self.text).unwrap_or_default();
        let text = |name: &str| texts.get(name)?.as_str().map(str::to_owned);
        Cow::Owned(text(protocol).or_else(|| text("default")).unwrap_or_default())
    }
}

/// An attribute of a message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Attribute {
    pub(crate) name: String,
    /// `String`, `String.Array`, `Number` or `Binary`.
    pub(crate) data_type: String,
    /// Its text, or the base64 of its bytes.
    pub(crate) value: String,
}

/// What kind of value an attribute has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AttributeType {
    String,
    StringArray,
    Number,
    Binary,
}

impl AttributeType {
    /// `None` for a type that SNS does not have.
    pub(crate) fn parse(data_type: &str) -> Option<Self> {
        match data_type.split('.').next()? {
            "String" if data_type == "String.Array" => Some(Self::StringArray),
            "String" => Some(Self::String),
            "Number" => Some(Self::Number),
            "Binary" => Some(Self::Binary),
            _ => None,
        }
    }
}

impl Attribute {
    /// Its kind; a stored one has a valid type.
    pub(crate) fn kind(&self) -> AttributeType {
        AttributeType::parse(&self.data_type).unwrap_or(AttributeType::String)
    }
}
