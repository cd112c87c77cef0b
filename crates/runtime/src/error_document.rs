//! Error documents that the platform itself makes (the function's own come from its runtime).

use std::borrow::Cow;

use bytes::Bytes;
use lambd_types::RequestId;
use serde::Serialize;

use crate::extensions::Failure;
use crate::ports::Exit;

/// An error document with the field order of the service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct ErrorDocument {
    #[serde(rename = "errorType")]
    pub(crate) error_type: String,
    #[serde(rename = "errorMessage")]
    pub(crate) message: String,
}

impl ErrorDocument {
    fn new(error_type: &str, request_id: &RequestId, text: impl std::fmt::Display) -> Self {
        Self { error_type: error_type.to_owned(), message: format!("RequestId: {request_id} Error: {text}") }
    }

    /// The function took longer than its timeout.
    pub(crate) fn timed_out(request_id: &RequestId, seconds: f64) -> Self {
        Self::new("Sandbox.Timedout", request_id, format_args!("Task timed out after {seconds:.2} seconds"))
    }

    /// The process ended before it answered.
    pub(crate) fn ended(request_id: &RequestId, exit: &Exit) -> Self {
        let text: Cow<'_, str> = match exit {
            Exit::Exited(0) => "Runtime exited without providing a reason".into(),
            Exit::Exited(status) => format!("Runtime exited with error: exit status {status}").into(),
            Exit::Signaled(signal) => {
                format!("Runtime exited with error: signal: {}", signal_text(*signal)).into()
            }
            Exit::OutOfMemory => "Runtime exited with error: signal: killed".into(),
            Exit::NotStarted(reason) => reason.into(),
            Exit::Lost => "The execution environment was lost".into(),
        };
        Self::new(exit_type(exit), request_id, text)
    }

    /// An extension failed.
    pub(crate) fn extension(request_id: &RequestId, failure: &Failure) -> Self {
        Self::new(failure.kind, request_id, &failure.message)
    }

    /// The response is over the limit.
    pub(crate) fn response_too_large(size: u64, limit: u64) -> Self {
        Self {
            error_type: "Function.ResponseSizeTooLarge".to_owned(),
            message: format!(
                "Response payload size ({size} bytes) exceeded maximum allowed payload size ({limit} bytes)."
            ),
        }
    }

    /// The response broke off after its beginning.
    pub(crate) fn truncated(request_id: &RequestId) -> Self {
        Self::new("Runtime.TruncatedResponse", request_id, "The response broke off before its end")
    }

    /// The runtime reported an error without a readable document (RT-68, S-13).
    pub(crate) fn of_type(error_type: &str) -> Self {
        Self { error_type: error_type.to_owned(), message: String::new() }
    }

    pub(crate) fn to_bytes(&self) -> Bytes {
        serde_json::to_vec(self).unwrap_or_default().into()
    }
}

/// The end of an extension's process.
pub(crate) fn exit_text(exit: &Exit) -> String {
    match exit {
        Exit::Exited(0) => "exit code 0".to_owned(),
        Exit::Exited(status) => format!("exit status {status}"),
        Exit::Signaled(signal) => format!("signal: {}", signal_text(*signal)),
        Exit::OutOfMemory => "signal: killed".to_owned(),
        Exit::NotStarted(reason) => reason.clone(),
        Exit::Lost => "The execution environment was lost".to_owned(),
    }
}

/// The error type of a process's end.
pub(crate) fn exit_type(exit: &Exit) -> &'static str {
    match exit {
        Exit::Exited(_) | Exit::Signaled(_) => "Runtime.ExitError",
        Exit::OutOfMemory => "Runtime.OutOfMemory",
        Exit::NotStarted(_) => "Runtime.InvalidEntrypoint",
        Exit::Lost => "Sandbox.Failure",
    }
}

/// The type of an error that a runtime reported, as the platform's lines show it: the service puts only
/// types of its own form there.
pub(crate) fn shown_type(reported: &str) -> &str {
    let has_form = ["Runtime.", "Function."].iter().any(|family| {
        reported.match_indices(family).any(|(at, _)| {
            let name = &reported.as_bytes()[at + family.len()..];
            matches!(name, [first, second, ..] if first.is_ascii_uppercase() && second.is_ascii_alphabetic())
        })
    });
    match has_form {
        true => reported,
        false if reported.starts_with("Function.") => "Function.Unknown",
        false => "Runtime.Unknown",
    }
}

/// Signals as Go's runtime, and so the service, words them.
fn signal_text(signal: i32) -> String {
    match signal {
        1 => "hangup".into(),
        2 => "interrupt".into(),
        3 => "quit".into(),
        4 => "illegal instruction".into(),
        6 => "aborted".into(),
        7 => "bus error".into(),
        8 => "floating point exception".into(),
        9 => "killed".into(),
        11 => "segmentation fault".into(),
        13 => "broken pipe".into(),
        15 => "terminated".into(),
        31 => "bad system call".into(),
        n => format!("signal {n}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_types_of_the_service_s_form_are_shown() {
        for (reported, shown) in [
            ("Runtime.ImportModuleError", "Runtime.ImportModuleError"),
            ("Function.MyError", "Function.MyError"),
            ("Function.my error", "Function.Unknown"),
            ("Unhandled", "Runtime.Unknown"),
            ("Runtime.", "Runtime.Unknown"),
            ("", "Runtime.Unknown"),
        ] {
            assert_eq!(shown_type(reported), shown, "{reported}");
        }
    }

    #[test]
    fn endings_have_the_service_s_texts() {
        let id = RequestId::from_stored("r".into());
        let text = |exit| String::from_utf8(ErrorDocument::ended(&id, &exit).to_bytes().to_vec()).unwrap();
        assert_eq!(
            text(Exit::Exited(1)),
            r#"{"errorType":"Runtime.ExitError","errorMessage":"RequestId: r Error: Runtime exited with error: exit status 1"}"#
        );
        assert!(text(Exit::Exited(0)).contains("Runtime exited without providing a reason"));
        assert!(text(Exit::Signaled(11)).contains("signal: segmentation fault"));
        assert!(text(Exit::OutOfMemory).contains("Runtime.OutOfMemory"));
        assert_eq!(
            ErrorDocument::timed_out(&id, 3.0).message,
            "RequestId: r Error: Task timed out after 3.00 seconds"
        );
    }
}
