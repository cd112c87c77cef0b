//! What can go wrong, and how the API says it.

use lambd_http::protocol::json::JsonError;
use lambd_store::StoreError;

use crate::ports::CapacityError;
use crate::resource::{DIMENSION, NAMESPACE};

/// Why an action failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ScalingError {
    /// The message says which parameter and why.
    #[error("{0}")]
    Validation(String),
    #[error("Unsupported service namespace, resource type or scalable dimension")]
    Unsupported,
    /// What is missing is named as AWS names it.
    #[error(
        "No {what} for service namespace: {NAMESPACE}, resource ID: {resource}, scalable dimension: {DIMENSION}{more}"
    )]
    ObjectNotFound { what: &'static str, resource: String, more: String },
    #[error("No scalable target found with resource ARN: {0}")]
    ResourceNotFound(String),
    #[error("{0}")]
    LimitExceeded(String),
    #[error("The number of tags exceeds the limit of {0}")]
    TooManyTags(usize),
    #[error("The next token is not valid")]
    InvalidNextToken,
    #[error("the store failed")]
    Store(#[from] StoreError),
    #[error("the capacity could not be read")]
    Capacity(#[from] CapacityError),
    /// A stored setting cannot be read.
    #[error("a stored setting is damaged: {0}")]
    Damaged(String),
}

impl ScalingError {
    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::Validation(message.into())
    }

    pub(crate) fn not_registered(resource: &str) -> Self {
        Self::not_found("scalable target registered", resource, String::new())
    }

    pub(crate) fn not_found(what: &'static str, resource: &str, more: String) -> Self {
        Self::ObjectNotFound { what, resource: resource.to_owned(), more }
    }
}

impl From<serde_json::Error> for ScalingError {
    fn from(error: serde_json::Error) -> Self {
        Self::Damaged(error.to_string())
    }
}

impl From<ScalingError> for JsonError {
    fn from(error: ScalingError) -> Self {
        let code = match &error {
            ScalingError::Validation(_) | ScalingError::Unsupported => "ValidationException",
            ScalingError::ObjectNotFound { .. } => "ObjectNotFoundException",
            ScalingError::ResourceNotFound(_) => "ResourceNotFoundException",
            ScalingError::LimitExceeded(_) => "LimitExceededException",
            ScalingError::TooManyTags(_) => "TooManyTagsException",
            ScalingError::InvalidNextToken => "InvalidNextTokenException",
            ScalingError::Store(_) | ScalingError::Capacity(_) | ScalingError::Damaged(_) => {
                tracing::error!(error = &error as &dyn std::error::Error, "scaling failed");
                return Self { code: "InternalServiceException".into(), ..Self::internal() };
            }
        };
        Self::sender(code, error.to_string())
    }
}
