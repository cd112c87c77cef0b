//! AWS JSON 1.0 and 1.1: the action is in `X-Amz-Target`, bodies are JSON both ways.
//!
//! A success is status 200 with the output as JSON, or with no body at all when the operation has no
//! output. An error is a JSON object with `__type` (the error code) and `message`.

use std::borrow::Cow;

use http::{HeaderValue, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{AwsResponse, Refusal, RequestHead, text};

/// The two versions differ in their content type only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JsonVersion {
    /// `application/x-amz-json-1.0`
    V1_0,
    /// `application/x-amz-json-1.1`
    V1_1,
}

impl JsonVersion {
    /// The content type of requests and responses.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::V1_0 => "application/x-amz-json-1.0",
            Self::V1_1 => "application/x-amz-json-1.1",
        }
    }

    /// A success with an output.
    pub fn reply(self, output: &impl Serialize) -> AwsResponse {
        match serde_json::to_vec(output) {
            Ok(bytes) => text(StatusCode::OK, self.content_type(), bytes),
            Err(error) => {
                tracing::error!(%error, "a response could not be written as JSON");
                self.error(&JsonError::internal())
            }
        }
    }

    /// A success without an output.
    pub fn reply_empty(self) -> AwsResponse {
        text(StatusCode::OK, self.content_type(), "")
    }

    /// An error.
    pub fn error(self, error: &JsonError) -> AwsResponse {
        #[derive(Serialize)]
        struct Body<'a> {
            #[serde(rename = "__type")]
            code: &'a str,
            message: &'a str,
        }
        let body = Body { code: &error.code, message: &error.message };
        let bytes = serde_json::to_vec(&body).unwrap_or_default();
        let mut response = text(error.status, self.content_type(), bytes);
        if let Ok(code) = HeaderValue::from_str(&error.code) {
            response.headers_mut().insert("x-amzn-errortype", code);
        }
        response
    }
}

/// An error of a JSON service.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct JsonError {
    /// HTTP status.
    pub status: StatusCode,
    /// Error code, such as `ResourceNotFoundException`.
    pub code: Cow<'static, str>,
    /// What the caller is told.
    pub message: String,
}

impl JsonError {
    /// A mistake of the caller: status 400.
    pub fn sender(code: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        Self { status: StatusCode::BAD_REQUEST, code: code.into(), message: message.into() }
    }

    /// A fault of ours, whose cause is in the log.
    pub fn internal() -> Self {
        Self {
            status: StatusCode::INTERNAL_SERVER_ERROR,
            code: Cow::Borrowed("InternalFailure"),
            message: "lambd failed to serve the request; its log tells why".to_owned(),
        }
    }

    /// An operation that the service does not have, or that lambd does not offer.
    pub fn unknown_operation(service: &str, operation: &str) -> Self {
        let message = if operation.is_empty() {
            "the request names no operation in its X-Amz-Target header".to_owned()
        } else {
            format!(
                "lambd does not offer the operation {operation} of the service {service}; \
                 see docs/compatibility.md for what it offers"
            )
        };
        Self::sender("UnknownOperationException", message)
    }

    /// Why a request was turned away before it was read.
    pub fn refused(why: Refusal) -> Self {
        let (status, code, message) = match why {
            Refusal::BodyTooLarge { limit } => (
                StatusCode::PAYLOAD_TOO_LARGE,
                "RequestEntityTooLargeException",
                format!("The request body must not be longer than {limit} bytes"),
            ),
            Refusal::NotSigned => (
                StatusCode::BAD_REQUEST,
                "MissingAuthenticationTokenException",
                "Missing Authentication Token".into(),
            ),
        };
        Self { status, code: Cow::Borrowed(code), message }
    }
}

/// The operation in `X-Amz-Target` (`Prefix.Operation`), when the prefix is the service's.
pub fn operation<'a>(head: &'a RequestHead, prefix: &str) -> Option<&'a str> {
    operation_of(head.header("x-amz-target")?, prefix)
}

fn operation_of<'a>(target: &'a str, prefix: &str) -> Option<&'a str> {
    target.strip_prefix(prefix)?.strip_prefix('.')
}

/// Reads the input of an operation. An empty body is an input without members.
pub fn decode<T: DeserializeOwned>(body: &[u8]) -> Result<T, JsonError> {
    let body = if body.iter().all(u8::is_ascii_whitespace) { b"{}" } else { body };
    serde_json::from_slice(body)
        .map_err(|error| JsonError::sender("SerializationException", error.to_string()))
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;

    use super::*;

    #[derive(serde::Deserialize, Debug)]
    #[serde(rename_all = "camelCase")]
    struct Input {
        log_group_name: Option<String>,
        limit: Option<i64>,
    }

    async fn body(response: AwsResponse) -> String {
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        String::from_utf8(bytes.to_vec()).unwrap()
    }

    #[test]
    fn targets_are_split_at_the_prefix() {
        assert_eq!(operation_of("Logs_20140328.GetLogEvents", "Logs_20140328"), Some("GetLogEvents"));
        assert_eq!(operation_of("Logs_20140328", "Logs_20140328"), None);
        assert_eq!(operation_of("Other.GetLogEvents", "Logs_20140328"), None);
    }

    #[test]
    fn bodies_are_typed_and_members_optional() {
        let input: Input = decode(br#"{"logGroupName":"g","unknown":1}"#).unwrap();
        assert_eq!((input.log_group_name.as_deref(), input.limit), (Some("g"), None));
        assert!(decode::<Input>(b" ").unwrap().limit.is_none());
        for bad in [&b"{"[..], b"[]x", br#"{"limit":"five"}"#] {
            let error = decode::<Input>(bad).unwrap_err();
            assert_eq!((error.status.as_u16(), &*error.code), (400, "SerializationException"));
        }
    }

    #[tokio::test]
    async fn errors_carry_their_type_in_body_and_header() {
        let error = JsonError::sender("ResourceNotFoundException", "The specified log group does not exist.");
        let response = JsonVersion::V1_1.error(&error);
        assert_eq!(response.status(), 400);
        assert_eq!(response.headers()["content-type"], "application/x-amz-json-1.1");
        assert_eq!(response.headers()["x-amzn-errortype"], "ResourceNotFoundException");
        assert_eq!(
            body(response).await,
            r#"{"__type":"ResourceNotFoundException","message":"The specified log group does not exist."}"#
        );
    }

    #[tokio::test]
    async fn replies_without_output_have_no_body() {
        assert_eq!(body(JsonVersion::V1_0.reply_empty()).await, "");
        assert_eq!(body(JsonVersion::V1_0.reply(&[1])).await, "[1]");
    }

    #[test]
    fn unknown_operations_point_to_the_documentation() {
        assert!(JsonError::unknown_operation("logs", "StartQuery").message.contains("docs/compatibility.md"));
    }
}
