//! What can go wrong, and how the API says it.

use lambd_http::protocol::json::JsonError;
use lambd_store::StoreError;

/// Why an action failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LogsError {
    #[error("The specified log group does not exist.")]
    GroupNotFound,
    #[error("The specified log stream does not exist.")]
    StreamNotFound,
    #[error("The specified log group already exists")]
    GroupExists,
    #[error("The specified log stream already exists")]
    StreamExists,
    #[error("The specified resource has too many tags.")]
    TooManyTags,
    /// The message says which parameter and why.
    #[error("{0}")]
    InvalidParameter(String),
    #[error("the log store failed")]
    Store(#[from] StoreError),
}

impl LogsError {
    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::InvalidParameter(message.into())
    }
}

impl From<LogsError> for JsonError {
    fn from(error: LogsError) -> Self {
        let code = match &error {
            LogsError::GroupNotFound | LogsError::StreamNotFound => "ResourceNotFoundException",
            LogsError::GroupExists | LogsError::StreamExists => "ResourceAlreadyExistsException",
            LogsError::TooManyTags => "TooManyTagsException",
            LogsError::InvalidParameter(_) => "InvalidParameterException",
            LogsError::Store(source) => {
                tracing::error!(error = source as &dyn std::error::Error, "the log store failed");
                return Self::internal();
            }
        };
        Self::sender(code, error.to_string())
    }
}
