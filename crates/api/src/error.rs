//! Errors as clients see them (API-301..327, API-707, API-708).

use http::StatusCode;
use serde::Serialize;

/// Why an invocation was throttled (API-708).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ThrottleReason {
    /// The account's concurrency in this region is used up.
    ConcurrentInvocationLimitExceeded,
    /// The function's own concurrency is used up.
    ReservedFunctionConcurrentInvocationLimitExceeded,
    /// Synchronous requests come too fast.
    FunctionInvocationRateLimitExceeded,
    /// The same for a function that has concurrency of its own.
    ReservedFunctionInvocationRateLimitExceeded,
    /// Asynchronous requests come too fast.
    CallerRateLimitExceeded,
}

/// Throttling, as a client sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Throttling {
    /// By which limit.
    pub reason: ThrottleReason,
    /// Seconds until it is worth another try.
    pub retry_after: u64,
    /// What the service has no words for.
    pub detail: Option<String>,
}

impl std::fmt::Display for Throttling {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self.reason {
            ThrottleReason::CallerRateLimitExceeded => "Rate exceeded",
            _ => "Rate Exceeded.",
        })?;
        self.detail.as_ref().map_or(Ok(()), |detail| write!(f, " {detail}"))
    }
}

impl ThrottleReason {
    fn as_str(self) -> &'static str {
        match self {
            Self::ConcurrentInvocationLimitExceeded => "ConcurrentInvocationLimitExceeded",
            Self::ReservedFunctionConcurrentInvocationLimitExceeded => {
                "ReservedFunctionConcurrentInvocationLimitExceeded"
            }
            Self::FunctionInvocationRateLimitExceeded => "FunctionInvocationRateLimitExceeded",
            Self::ReservedFunctionInvocationRateLimitExceeded => {
                "ReservedFunctionInvocationRateLimitExceeded"
            }
            Self::CallerRateLimitExceeded => "CallerRateLimitExceeded",
        }
    }
}

/// An error of the API.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ApiError {
    /// The caller may not do this.
    #[error("{0}")]
    AccessDenied(String),
    /// A value breaks a constraint of the API model; see [`crate::Violations`].
    #[error("{0}")]
    Validation(String),
    /// A value is refused by the service.
    #[error("{0}")]
    InvalidParameterValue(String),
    /// The body of an `Invoke` is not JSON.
    #[error("{0}")]
    InvalidRequestContent(String),
    /// The body of another request is not the JSON of its shape.
    #[error("{0}")]
    Serialization(String),
    /// What was named does not exist.
    #[error("{0}")]
    ResourceNotFound(String),
    /// A version or alias has no provisioned concurrency.
    #[error("No Provisioned Concurrency Config found for this function")]
    ProvisionedConcurrencyConfigNotFound,
    /// It exists already, or another operation is in progress.
    #[error("{0}")]
    ResourceConflict(String),
    /// The revision is not the latest.
    #[error("{0}")]
    PreconditionFailed(String),
    /// The account's storage for packages is full.
    #[error("{0}")]
    CodeStorageExceeded(String),
    /// A resource policy is too large.
    #[error("{0}")]
    PolicyLengthExceeded(String),
    /// A code signing configuration that a function is to have does not exist.
    #[error("{0}")]
    CodeSigningConfigNotFound(String),
    /// A function's code signing configuration forbids its code.
    #[error("{0}")]
    CodeVerificationFailed(String),
    /// The payload of an `Invoke` is too large.
    #[error("{0}")]
    RequestTooLarge(String),
    /// The body of another request is too large.
    #[error("{0}")]
    RequestEntityTooLarge(String),
    /// The body of an `Invoke` says that it is not JSON.
    #[error("{0}")]
    UnsupportedMediaType(String),
    /// A limit on concurrency or rate was reached.
    #[error("{0}")]
    TooManyRequests(Throttling),
    /// The function has caused itself too often.
    #[error("{0}")]
    RecursiveInvocation(String),
    /// The machine cannot run the function's runtime.
    #[error("{0}")]
    InvalidRuntime(String),
    /// The function's package could not be unpacked.
    #[error("{0}")]
    InvalidZipFile(String),
    /// The request carries no credential.
    #[error("Missing Authentication Token")]
    MissingAuthenticationToken,
    /// No operation has this method and path.
    #[error("{0}")]
    UnknownOperation(String),
    /// An operation of the API that lambd does not offer.
    #[error("lambd does not offer the operation {name}: {reason}; see docs/compatibility.md")]
    NotOffered {
        /// Its name.
        name: &'static str,
        /// Why not.
        reason: &'static str,
    },
    /// The daemon is stopping.
    #[error("{0}")]
    ServiceUnavailable(String),
    /// A fault of the daemon or its machine.
    #[error("{0}")]
    Service(String),
}

/// Which member of the body carries the text; the API model has both spellings (API-707).
enum TextMember {
    Upper,
    Lower,
}

impl ApiError {
    /// The error's name.
    pub fn code(&self) -> &'static str {
        self.row().0
    }

    /// The HTTP status.
    pub fn status(&self) -> StatusCode {
        self.row().1
    }

    fn row(&self) -> (&'static str, StatusCode, TextMember) {
        use TextMember::{Lower, Upper};
        match self {
            Self::AccessDenied(_) => ("AccessDeniedException", StatusCode::FORBIDDEN, Upper),
            Self::Validation(_) => ("ValidationException", StatusCode::BAD_REQUEST, Lower),
            Self::InvalidParameterValue(_) => {
                ("InvalidParameterValueException", StatusCode::BAD_REQUEST, Lower)
            }
            Self::InvalidRequestContent(_) => {
                ("InvalidRequestContentException", StatusCode::BAD_REQUEST, Lower)
            }
            Self::Serialization(_) => ("SerializationException", StatusCode::BAD_REQUEST, Upper),
            Self::ResourceNotFound(_) => ("ResourceNotFoundException", StatusCode::NOT_FOUND, Upper),
            Self::ProvisionedConcurrencyConfigNotFound => {
                ("ProvisionedConcurrencyConfigNotFoundException", StatusCode::NOT_FOUND, Lower)
            }
            Self::ResourceConflict(_) => ("ResourceConflictException", StatusCode::CONFLICT, Lower),
            Self::PreconditionFailed(_) => {
                ("PreconditionFailedException", StatusCode::PRECONDITION_FAILED, Lower)
            }
            Self::CodeStorageExceeded(_) => ("CodeStorageExceededException", StatusCode::BAD_REQUEST, Lower),
            Self::PolicyLengthExceeded(_) => {
                ("PolicyLengthExceededException", StatusCode::BAD_REQUEST, Lower)
            }
            Self::CodeSigningConfigNotFound(_) => {
                ("CodeSigningConfigNotFoundException", StatusCode::NOT_FOUND, Upper)
            }
            Self::CodeVerificationFailed(_) => {
                ("CodeVerificationFailedException", StatusCode::BAD_REQUEST, Upper)
            }
            Self::RequestTooLarge(_) => ("RequestTooLargeException", StatusCode::PAYLOAD_TOO_LARGE, Lower),
            Self::RequestEntityTooLarge(_) => {
                ("RequestEntityTooLargeException", StatusCode::PAYLOAD_TOO_LARGE, Upper)
            }
            Self::UnsupportedMediaType(_) => {
                ("UnsupportedMediaTypeException", StatusCode::UNSUPPORTED_MEDIA_TYPE, Lower)
            }
            Self::TooManyRequests(_) => ("TooManyRequestsException", StatusCode::TOO_MANY_REQUESTS, Lower),
            Self::RecursiveInvocation(_) => ("RecursiveInvocationException", StatusCode::BAD_REQUEST, Upper),
            Self::InvalidRuntime(_) => ("InvalidRuntimeException", StatusCode::BAD_GATEWAY, Upper),
            Self::InvalidZipFile(_) => ("InvalidZipFileException", StatusCode::BAD_GATEWAY, Upper),
            Self::MissingAuthenticationToken => {
                ("MissingAuthenticationTokenException", StatusCode::FORBIDDEN, Lower)
            }
            Self::UnknownOperation(_) => ("UnknownOperationException", StatusCode::NOT_FOUND, Lower),
            Self::NotOffered { .. } => ("OperationNotOffered", StatusCode::NOT_IMPLEMENTED, Lower),
            Self::ServiceUnavailable(_) => {
                ("ServiceUnavailableException", StatusCode::SERVICE_UNAVAILABLE, Upper)
            }
            Self::Service(_) => ("ServiceException", StatusCode::INTERNAL_SERVER_ERROR, Upper),
        }
    }

    /// The JSON body.
    pub fn body(&self) -> ErrorBody {
        let text = Some(self.to_string());
        let (_, status, member) = self.row();
        let (upper, lower) = match member {
            TextMember::Upper => (text, None),
            TextMember::Lower => (None, text),
        };
        let reason = match self {
            Self::TooManyRequests(throttling) => Some(throttling.reason.as_str()),
            _ => None,
        };
        let ours = status.is_server_error() && status != StatusCode::NOT_IMPLEMENTED;
        ErrorBody { fault: if ours { "Service" } else { "User" }, upper, lower, reason }
    }
}

/// The JSON of an error.
#[derive(Debug, Serialize)]
pub struct ErrorBody {
    #[serde(rename = "Type")]
    fault: &'static str,
    #[serde(rename = "Message", skip_serializing_if = "Option::is_none")]
    upper: Option<String>,
    #[serde(rename = "message", skip_serializing_if = "Option::is_none")]
    lower: Option<String>,
    #[serde(rename = "Reason", skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn throttled(reason: ThrottleReason, detail: Option<&str>) -> ApiError {
        let detail = detail.map(str::to_owned);
        ApiError::TooManyRequests(Throttling { reason, retry_after: 1, detail })
    }

    /// API-707: the member's case depends on the error.
    #[test]
    fn bodies_have_the_member_of_the_model() {
        let body = |e: ApiError| serde_json::to_string(&e.body()).unwrap();
        assert_eq!(body(ApiError::ResourceNotFound("x".into())), r#"{"Type":"User","Message":"x"}"#);
        assert_eq!(body(ApiError::ResourceConflict("x".into())), r#"{"Type":"User","message":"x"}"#);
        assert_eq!(
            body(throttled(ThrottleReason::ConcurrentInvocationLimitExceeded, None)),
            r#"{"Type":"User","message":"Rate Exceeded.","Reason":"ConcurrentInvocationLimitExceeded"}"#
        );
        assert_eq!(
            body(throttled(ThrottleReason::CallerRateLimitExceeded, None)),
            r#"{"Type":"User","message":"Rate exceeded","Reason":"CallerRateLimitExceeded"}"#
        );
        assert_eq!(
            throttled(ThrottleReason::ConcurrentInvocationLimitExceeded, Some("full")).to_string(),
            "Rate Exceeded. full"
        );
        assert_eq!(body(ApiError::Service("x".into())), r#"{"Type":"Service","Message":"x"}"#);
    }
}
