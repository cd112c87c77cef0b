//! What can go wrong, and how the two protocols say it.

use http::StatusCode;
use lambd_store::StoreError;

/// A kind of error, as clients tell them apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Kind {
    /// Its name in the JSON protocol, with the namespace.
    pub(crate) shape: &'static str,
    /// Its code in the Query protocol, which the JSON protocol gives as well, in a header.
    pub(crate) code: &'static str,
    /// HTTP status.
    pub(crate) status: u16,
}

macro_rules! kinds {
    ($($(#[$meta:meta])* $name:ident = $shape:literal, $code:literal, $status:literal;)+) => {
        impl Kind {
            $($(#[$meta])* pub(crate) const $name: Self = Self { shape: $shape, code: $code, status: $status };)+
        }
    };
}

kinds! {
    ACCESS_DENIED = "com.amazon.coral.service#AccessDeniedException", "AccessDenied", 403;
    BATCH_IDS_NOT_DISTINCT =
        "com.amazonaws.sqs#BatchEntryIdsNotDistinct", "AWS.SimpleQueueService.BatchEntryIdsNotDistinct", 400;
    BATCH_TOO_LONG = "com.amazonaws.sqs#BatchRequestTooLong", "AWS.SimpleQueueService.BatchRequestTooLong", 400;
    EMPTY_BATCH = "com.amazonaws.sqs#EmptyBatchRequest", "AWS.SimpleQueueService.EmptyBatchRequest", 400;
    INTERNAL = "com.amazon.coral.service#InternalFailure", "InternalFailure", 500;
    INVALID_ACTION = "com.amazon.coral.service#UnknownOperationException", "InvalidAction", 400;
    INVALID_ADDRESS = "com.amazonaws.sqs#InvalidAddress", "InvalidAddress", 404;
    INVALID_ATTRIBUTE_NAME = "com.amazonaws.sqs#InvalidAttributeName", "InvalidAttributeName", 400;
    INVALID_ATTRIBUTE_VALUE = "com.amazonaws.sqs#InvalidAttributeValue", "InvalidAttributeValue", 400;
    INVALID_BATCH_ID = "com.amazonaws.sqs#InvalidBatchEntryId", "AWS.SimpleQueueService.InvalidBatchEntryId", 400;
    INVALID_CONTENTS = "com.amazonaws.sqs#InvalidMessageContents", "InvalidMessageContents", 400;
    INVALID_VALUE = "com.amazon.coral.service#InvalidParameterValueException", "InvalidParameterValue", 400;
    MALFORMED = "com.amazon.coral.service#SerializationException", "MalformedInput", 400;
    MISSING = "com.amazon.coral.service#MissingRequiredParameterException", "MissingParameter", 400;
    MISSING_TOKEN = "com.amazon.coral.service#MissingAuthenticationTokenException", "MissingAuthenticationToken", 403;
    OVER_LIMIT = "com.amazonaws.sqs#OverLimit", "OverLimit", 403;
    PURGE_IN_PROGRESS = "com.amazonaws.sqs#PurgeQueueInProgress", "AWS.SimpleQueueService.PurgeQueueInProgress", 403;
    QUEUE_DELETED_RECENTLY =
        "com.amazonaws.sqs#QueueDeletedRecently", "AWS.SimpleQueueService.QueueDeletedRecently", 400;
    QUEUE_DOES_NOT_EXIST = "com.amazonaws.sqs#QueueDoesNotExist", "AWS.SimpleQueueService.NonExistentQueue", 400;
    QUEUE_EXISTS = "com.amazonaws.sqs#QueueNameExists", "QueueAlreadyExists", 400;
    RECEIPT_INVALID = "com.amazonaws.sqs#ReceiptHandleIsInvalid", "ReceiptHandleIsInvalid", 404;
    RESOURCE_NOT_FOUND = "com.amazonaws.sqs#ResourceNotFoundException", "ResourceNotFoundException", 404;
    TOO_MANY_IN_BATCH =
        "com.amazonaws.sqs#TooManyEntriesInBatchRequest", "AWS.SimpleQueueService.TooManyEntriesInBatchRequest", 400;
    UNSUPPORTED = "com.amazonaws.sqs#UnsupportedOperation", "AWS.SimpleQueueService.UnsupportedOperation", 400;
}

/// Why an action failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}: {message}", kind.code)]
pub(crate) struct SqsError {
    pub(crate) kind: Kind,
    pub(crate) message: String,
}

impl SqsError {
    pub(crate) fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }

    /// A value that is not allowed, with a whole sentence about it.
    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::new(Kind::INVALID_VALUE, message)
    }

    /// `Value X for parameter Y is invalid. Reason: Z`
    pub(crate) fn value(value: impl std::fmt::Display, parameter: &str, reason: &str) -> Self {
        Self::invalid(format!("Value {value} for parameter {parameter} is invalid. Reason: {reason}"))
    }

    pub(crate) fn missing(parameter: &str) -> Self {
        Self::new(Kind::MISSING, format!("The request must contain the parameter {parameter}."))
    }

    pub(crate) fn no_queue() -> Self {
        Self::new(Kind::QUEUE_DOES_NOT_EXIST, "The specified queue does not exist.")
    }

    pub(crate) fn unknown_attribute(name: &str) -> Self {
        Self::new(Kind::INVALID_ATTRIBUTE_NAME, format!("Unknown Attribute {name}."))
    }

    /// A value of an attribute that is not allowed.
    pub(crate) fn attribute(name: &str) -> Self {
        Self::new(Kind::INVALID_ATTRIBUTE_VALUE, format!("Invalid value for the parameter {name}."))
    }

    /// A stored message that cannot be written or read.
    pub(crate) fn damaged(error: &serde_json::Error) -> Self {
        tracing::error!(%error, "the details of a message are damaged");
        Self::new(Kind::INTERNAL, "lambd failed to serve the request; its log tells why")
    }

    /// Whether the caller is at fault.
    pub(crate) fn is_senders(&self) -> bool {
        self.kind.status < 500
    }

    pub(crate) fn status(&self) -> StatusCode {
        StatusCode::from_u16(self.kind.status).unwrap_or(StatusCode::BAD_REQUEST)
    }
}

impl From<StoreError> for SqsError {
    fn from(error: StoreError) -> Self {
        if error.is_disk_full() {
            return Self::new(Kind::INTERNAL, "lambd cannot store anything more: its disk is full");
        }
        tracing::error!(error = &error as &dyn std::error::Error, "the store of queues failed");
        Self::new(Kind::INTERNAL, "lambd failed to serve the request; its log tells why")
    }
}
