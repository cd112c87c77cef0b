//! A response that is passed on while its function still makes it.

use std::fmt;
use std::pin::Pin;

use bytes::Bytes;

/// A piece of such a response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ResponsePart {
    /// Its beginning, before any of its bytes.
    Begin {
        /// The content type that the function gave it; `application/octet-stream` if none.
        content_type: String,
    },
    /// Some of its bytes, never none.
    Data(Bytes),
}

/// Nobody takes the response any more. Its function runs on to its end all the same, as on AWS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NobodyListens;

/// The future of [`ResponseSink::send`].
pub type Sent<'a> = Pin<Box<dyn Future<Output = Result<(), NobodyListens>> + Send + 'a>>;

/// Takes a response in parts. How it ends, and whether well, is in the event's outcome.
pub trait ResponseSink: fmt::Debug + Send + Sync {
    /// Takes the next part; resolves when there is room for another, so that a caller who reads slowly slows the
    /// function down.
    fn send(&self, part: ResponsePart) -> Sent<'_>;
}
