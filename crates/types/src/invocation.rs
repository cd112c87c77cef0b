//! One event on its way to a function and back.

use std::sync::Arc;

use bytes::Bytes;

use crate::streaming::ResponseSink;
use crate::{RequestId, UnixMillis};

/// An event as the Runtime API hands it to a function.
#[derive(Debug, Clone)]
pub struct Event {
    /// Identity of the invocation; the same for all attempts of an asynchronous event.
    pub request_id: RequestId,
    /// The payload, passed on untouched.
    pub payload: Bytes,
    /// The ARN as the caller named it, alias or version included (RT-61).
    pub invoked_arn: String,
    /// X-Ray tracing header (RT-62).
    pub trace_id: String,
    /// Decoded JSON of `X-Amz-Client-Context`, if the caller sent one (RT-63).
    pub client_context: Option<String>,
}

/// What the caller of an invocation gets.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// The function's response or the error document.
    pub payload: Bytes,
    /// Whether the payload is an error document.
    pub error: Option<FunctionError>,
    /// The last 4 KB of this invocation's log, when asked for.
    pub log_tail: Option<Bytes>,
}

/// The value of `X-Amz-Function-Error`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FunctionError {
    /// The function's code or its runtime failed.
    Unhandled,
}

impl FunctionError {
    /// The header's value.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unhandled => "Unhandled",
        }
    }
}

/// Why an instance is started: the value of `AWS_LAMBDA_INITIALIZATION_TYPE`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum InitializationType {
    /// An event needs it.
    #[default]
    OnDemand,
    /// It is kept ready for events to come.
    Provisioned,
    /// An event needs it, and its version has SnapStart; or it is initialised for the image of such a version.
    SnapStart,
}

impl InitializationType {
    /// The variable's value.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::OnDemand => "on-demand",
            Self::Provisioned => "provisioned-concurrency",
            Self::SnapStart => "snap-start",
        }
    }
}

/// Whether the caller wants the end of the log back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogType {
    /// No.
    #[default]
    None,
    /// The last 4 KB.
    Tail,
}

/// What the caller of an event asks for beside its outcome.
#[derive(Debug, Clone, Default)]
pub struct Wants {
    /// Whether the end of the log is part of the outcome.
    pub log_type: LogType,
    /// Takes the response of a function that streams, while it is made; the outcome's payload is then empty, but for an
    /// error's document. Without one it is collected.
    pub stream: Option<Arc<dyn ResponseSink>>,
}

impl From<LogType> for Wants {
    fn from(log_type: LogType) -> Self {
        Self { log_type, stream: None }
    }
}

/// One line of a log, newline included.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogEvent {
    /// When it was written.
    pub timestamp: UnixMillis,
    /// Its text.
    pub message: String,
}
