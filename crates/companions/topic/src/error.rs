//! What can go wrong, and how the API says it.

use std::borrow::Cow;

use http::StatusCode;
use lambd_http::protocol::query::QueryError;
use lambd_store::StoreError;

/// Why an action failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SnsError {
    #[error("Invalid parameter: {0}")]
    Parameter(Cow<'static, str>),
    #[error("{0}")]
    ParameterValue(String),
    #[error("Topic does not exist")]
    NoTopic,
    #[error("Subscription does not exist")]
    NoSubscription,
    #[error("Statement does not exist")]
    NoStatement,
    #[error("Resource does not exist")]
    NoResource,
    #[error("Could not complete request: tag quota of per resource exceeded")]
    TooManyTags,
    #[error("User: arn:aws:iam::{0}:root is not authorized to perform: SNS:{1} on resource: {2}")]
    Denied(lambd_types::AccountId, String, String),
    #[error(
        "a function cannot subscribe a web server: lambd would post to it from a network that the function may not \
         reach. Subscribe it from outside; see docs/topic.md"
    )]
    WebFromFunction,
    #[error("You cannot unsubscribe a subscription that requires authentication to be ended")]
    AuthenticateOnUnsubscribe,
    #[error("{0} is not supported by lambd: it has no {1}. See docs/topic.md for what it delivers to.")]
    Unsupported(&'static str, &'static str),
    #[error("The batch request doesn't contain any entries.")]
    EmptyBatch,
    #[error("The batch request contains more entries than permissible.")]
    TooManyEntries,
    #[error("Two or more batch entries in the request have the same Id.")]
    EntryIdsNotDistinct,
    #[error("The Id of a batch entry in a batch request doesn't abide by the specification.")]
    EntryId,
    #[error("The length of all the messages put together is more than the limit.")]
    BatchTooLong,
    #[error("the database failed")]
    Store(#[from] StoreError),
}

impl SnsError {
    /// A parameter that is not valid.
    pub(crate) fn parameter(message: impl Into<Cow<'static, str>>) -> Self {
        Self::Parameter(message.into())
    }

    /// `Invalid parameter: X Reason: ...`
    pub(crate) fn reason(name: &str, reason: impl std::fmt::Display) -> Self {
        Self::Parameter(format!("{name} Reason: {reason}").into())
    }

    /// The code on the wire.
    pub(crate) fn code(&self) -> &'static str {
        match self {
            Self::Parameter(_) => "InvalidParameter",
            Self::ParameterValue(_) => "ParameterValueInvalid",
            Self::NoTopic | Self::NoSubscription | Self::NoStatement => "NotFound",
            Self::NoResource => "ResourceNotFound",
            Self::TooManyTags => "TagLimitExceeded",
            Self::AuthenticateOnUnsubscribe | Self::Denied(..) | Self::WebFromFunction => {
                "AuthorizationError"
            }
            Self::Unsupported(..) => "UnsupportedOperation",
            Self::EmptyBatch => "EmptyBatchRequest",
            Self::TooManyEntries => "TooManyEntriesInBatchRequest",
            Self::EntryIdsNotDistinct => "BatchEntryIdsNotDistinct",
            Self::EntryId => "InvalidBatchEntryId",
            Self::BatchTooLong => "BatchRequestTooLong",
            Self::Store(_) => "InternalError",
        }
    }

    /// Whether the caller is at fault.
    pub(crate) fn is_senders(&self) -> bool {
        !matches!(self, Self::Store(_))
    }

    fn status(&self) -> StatusCode {
        match self {
            Self::NoTopic | Self::NoSubscription | Self::NoStatement | Self::NoResource => {
                StatusCode::NOT_FOUND
            }
            Self::AuthenticateOnUnsubscribe | Self::Denied(..) | Self::WebFromFunction => {
                StatusCode::FORBIDDEN
            }
            Self::Store(_) => StatusCode::INTERNAL_SERVER_ERROR,
            _ => StatusCode::BAD_REQUEST,
        }
    }
}

impl From<SnsError> for QueryError {
    fn from(error: SnsError) -> Self {
        let message = match &error {
            SnsError::Store(cause) => {
                tracing::error!(error = cause as &dyn std::error::Error, "a request for SNS failed");
                if cause.is_disk_full() {
                    "the disk of lambd's data directory is full".to_owned()
                } else {
                    "lambd failed to serve the request; its log tells why".to_owned()
                }
            }
            error => error.to_string(),
        };
        Self::new(error.status(), error.code(), message)
    }
}
