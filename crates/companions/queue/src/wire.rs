//! Answers in the two protocols.

use http::HeaderValue;
use lambd_http::AwsResponse;
use lambd_http::protocol::json::{JsonError, JsonVersion};
use lambd_http::protocol::query::{QueryError, QueryService, Xml};
use serde::Serialize;
use serde_json::Value;

use crate::error::{Kind, SqsError};

const JSON: JsonVersion = JsonVersion::V1_0;
const QUERY: QueryService = QueryService { namespace: "http://queue.amazonaws.com/doc/2012-11-05/" };

/// The protocol of a request, and of its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    Json,
    Query,
}

impl Protocol {
    /// A success with an output.
    pub(crate) fn reply(self, action: &str, id: &str, output: &impl Serialize) -> AwsResponse {
        match self {
            Self::Json => JSON.reply(output),
            Self::Query => match serde_json::to_value(output) {
                Ok(output) => QUERY.reply(action, id, |xml| structure(xml, action, &output)),
                Err(error) => {
                    tracing::error!(%error, "a response could not be written");
                    self.error(&SqsError::new(Kind::INTERNAL, "lambd failed to write its answer"), id)
                }
            },
        }
    }

    /// A success without an output.
    pub(crate) fn reply_empty(self, action: &str, id: &str) -> AwsResponse {
        match self {
            Self::Json => JSON.reply_empty(),
            Self::Query => QUERY.reply_empty(action, id),
        }
    }

    /// An error.
    pub(crate) fn error(self, error: &SqsError, id: &str) -> AwsResponse {
        match self {
            Self::Json => {
                let Kind { shape, code, .. } = error.kind;
                let body =
                    JsonError { status: error.status(), code: shape.into(), message: error.message.clone() };
                let mut response = JSON.error(&body);
                // Clients that knew the other protocol before go on seeing its codes.
                let fault = if error.is_senders() { "Sender" } else { "Receiver" };
                if let Ok(value) = HeaderValue::from_str(&format!("{code};{fault}")) {
                    response.headers_mut().insert("x-amzn-query-error", value);
                }
                response
            }
            Self::Query => {
                let mut message = error.message.clone();
                if error.kind == Kind::QUEUE_DOES_NOT_EXIST {
                    message = "The specified queue does not exist for this wsdl version.".to_owned();
                }
                QUERY.error(&QueryError { status: error.status(), code: error.kind.code.into(), message }, id)
            }
        }
    }
}

/// Members of the JSON output that are lists, and what the elements of each are called.
fn element_of(action: &str, member: &str) -> Option<String> {
    Some(match member {
        "QueueUrls" | "queueUrls" => "QueueUrl".to_owned(),
        "Messages" => "Message".to_owned(),
        "Successful" => format!("{action}ResultEntry"),
        "Failed" => "BatchResultErrorEntry".to_owned(),
        "Results" => "ListMessageMoveTasksResultEntry".to_owned(),
        _ => return None,
    })
}

/// Those that are maps: the element, and those of key and value.
fn entry_of(member: &str) -> Option<(&'static str, &'static str)> {
    Some(match member {
        "Attributes" => ("Attribute", "Name"),
        "MessageAttributes" => ("MessageAttribute", "Name"),
        "Tags" => ("Tag", "Key"),
        _ => return None,
    })
}

fn structure(xml: &mut Xml, action: &str, value: &Value) {
    let Value::Object(members) = value else { return };
    for (name, value) in members {
        match value {
            Value::Array(items) => {
                let element = element_of(action, name).unwrap_or_else(|| name.clone());
                for item in items {
                    xml.element(&element, |xml| content(xml, action, item));
                }
            }
            Value::Object(map) if entry_of(name).is_some() => {
                let (element, key) = entry_of(name).unwrap_or_default();
                for (name, value) in map {
                    xml.element(element, |xml| {
                        xml.text(key, name).element("Value", |xml| content(xml, action, value));
                    });
                }
            }
            value => {
                xml.element(name, |xml| content(xml, action, value));
            }
        }
    }
}

fn content(xml: &mut Xml, action: &str, value: &Value) {
    match value {
        Value::Object(_) => structure(xml, action, value),
        Value::String(text) => {
            xml.value(text);
        }
        Value::Null => {}
        other => {
            xml.value(other);
        }
    }
}
