//! Reading bodies within a limit.

use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::body::{Body as _, Incoming};

/// How much of an oversized body is read and thrown away before the refusal is sent. Clients write
/// their whole request before they read the answer: a connection closed earlier shows them a broken
/// pipe instead of the error.
const DISCARD: u64 = 512 * 1024 * 1024;

/// Why there is no body.
#[derive(Debug)]
pub(crate) enum BodyError {
    /// It is longer than the limit.
    TooLarge,
    /// The client went away or sent something that is not HTTP.
    Broken(hyper::Error),
}

/// Collects a body of at most `limit` bytes.
pub(crate) async fn collect(mut body: Incoming, limit: usize) -> Result<Bytes, BodyError> {
    let announced = body.size_hint();
    if announced.lower() > limit as u64 {
        discard(body).await;
        return Err(BodyError::TooLarge);
    }
    // One frame is the usual case: it is passed on without a copy.
    let mut first: Option<Bytes> = None;
    let mut rest: Vec<u8> = Vec::new();
    let mut total = 0;
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(BodyError::Broken)?.into_data() else { continue };
        total += data.len();
        if total > limit {
            discard(body).await;
            return Err(BodyError::TooLarge);
        }
        match &first {
            None => first = Some(data),
            Some(head) => {
                if rest.is_empty() {
                    rest.reserve(usize::try_from(announced.lower()).unwrap_or(0).max(total));
                    rest.extend_from_slice(head);
                }
                rest.extend_from_slice(&data);
            }
        }
    }
    Ok(if rest.is_empty() { first.unwrap_or_default() } else { Bytes::from(rest) })
}

/// Reads a body to its end, or to a limit, and throws it away.
pub(crate) async fn discard(mut body: Incoming) {
    let mut seen = 0;
    while let Some(Ok(frame)) = body.frame().await {
        seen += frame.data_ref().map_or(0, Bytes::len) as u64;
        if seen > DISCARD {
            return;
        }
    }
}
