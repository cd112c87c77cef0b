//! Responses that a runtime streams: `Lambda-Runtime-Function-Response-Mode: streaming`.
//!
//! What arrives goes on at once to the event's sink, part by part: a sink without room leaves the rest with the
//! runtime, whose writes then wait. An event without a sink has its response collected, as any other. An error after
//! the first bytes comes in trailers.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, Request};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use lambd_types::streaming::{ResponsePart, ResponseSink};

use super::mailbox::{Reply, ReportedError};
use super::server::RESPONSE_MAX;
use crate::error_document::ErrorDocument;

const MODE: &str = "lambda-runtime-function-response-mode";
const ERROR_TYPE: &str = "lambda-runtime-function-error-type";
const ERROR_BODY: &str = "lambda-runtime-function-error-body";

/// The content type of a response whose runtime gives none.
const CONTENT_TYPE_DEFAULT: &str = "application/octet-stream";

/// How a runtime says that it answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    Buffered,
    Streaming,
    /// With a word that nobody knows.
    Invalid,
}

impl Mode {
    pub(super) fn of(headers: &HeaderMap) -> Self {
        match headers.get(MODE).map(http::HeaderValue::as_bytes) {
            None | Some(b"") => Self::Buffered,
            Some(b"streaming") => Self::Streaming,
            Some(_) => Self::Invalid,
        }
    }
}

/// What becomes of an event whose answer has a mode that nobody knows.
pub(super) fn invalid_mode() -> ReportedError {
    reported("Runtime.InvalidResponseModeHeader", None)
}

/// Takes a streamed response in to its end, of which `limit` bytes reach the sink. What is over that is counted and
/// thrown away, so that the runtime comes to read the answer.
pub(super) async fn receive(
    request: Request<Incoming>,
    sink: Option<&dyn ResponseSink>,
    limit: u64,
) -> Reply {
    let content_type = request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let content_type = content_type.unwrap_or(CONTENT_TYPE_DEFAULT).to_owned();
    let body = request.into_body();
    match sink {
        Some(sink) => forward(body, content_type, sink, limit).await,
        None => collect(body).await,
    }
}

async fn forward(mut body: Incoming, content_type: String, sink: &dyn ResponseSink, limit: u64) -> Reply {
    let mut size = 0;
    let mut trailers = None;
    let mut listens = sink.send(ResponsePart::Begin { content_type }).await.is_ok();
    while let Some(frame) = body.frame().await {
        let Ok(frame) = frame else { return Reply::Truncated };
        match frame.into_data() {
            Ok(data) => {
                let room = usize::try_from(limit.saturating_sub(size)).unwrap_or(usize::MAX);
                size += data.len() as u64;
                let part = data.slice(..data.len().min(room));
                if listens && !part.is_empty() {
                    listens = sink.send(ResponsePart::Data(part)).await.is_ok();
                }
            }
            Err(other) => trailers = other.into_trailers().ok(),
        }
    }
    if size > limit {
        return Reply::TooLarge { size, limit };
    }
    trailers.and_then(|trailers| error(&trailers)).map_or(Reply::Streamed, Reply::Error)
}

async fn collect(mut body: Incoming) -> Reply {
    let (mut whole, mut size) = (Vec::new(), 0);
    let mut trailers = None;
    while let Some(frame) = body.frame().await {
        let Ok(frame) = frame else { return Reply::Truncated };
        match frame.into_data() {
            Ok(data) => {
                size += data.len();
                match size > RESPONSE_MAX {
                    true => whole = Vec::new(),
                    false => whole.extend_from_slice(&data),
                }
            }
            Err(other) => trailers = other.into_trailers().ok(),
        }
    }
    if size > RESPONSE_MAX {
        return Reply::TooLarge { size: size as u64, limit: RESPONSE_MAX as u64 };
    }
    let error = trailers.and_then(|trailers| error(&trailers));
    error.map_or_else(|| Reply::Response(whole.into()), Reply::Error)
}

/// The error that a response ends with, if its trailers have one.
fn error(trailers: &HeaderMap) -> Option<ReportedError> {
    let error_type = trailers.get(ERROR_TYPE)?.to_str().ok().filter(|text| !text.is_empty())?;
    Some(reported(error_type, trailers.get(ERROR_BODY).map(http::HeaderValue::as_bytes)))
}

/// An error with the document that came in base64; with one of its type alone if that is unreadable.
fn reported(error_type: &str, body: Option<&[u8]>) -> ReportedError {
    let document = body
        .and_then(|body| STANDARD.decode(body).ok())
        .filter(|document| serde_json::from_slice::<serde::de::IgnoredAny>(document).is_ok());
    ReportedError {
        document: document.map_or_else(|| ErrorDocument::of_type(error_type).to_bytes(), Bytes::from),
        error_type: error_type.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderValue};

    use super::*;

    fn trailers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value))).collect()
    }

    #[test]
    fn only_one_word_means_streaming() {
        for (value, mode) in [
            (None, Mode::Buffered),
            (Some(""), Mode::Buffered),
            (Some("streaming"), Mode::Streaming),
            (Some("Streaming"), Mode::Invalid),
            (Some("buffered"), Mode::Invalid),
        ] {
            let headers = value.map(|value| trailers(&[(MODE, value)])).unwrap_or_default();
            assert_eq!(Mode::of(&headers), mode, "{value:?}");
        }
    }

    #[test]
    fn trailers_tell_of_an_error() {
        assert_eq!(error(&HeaderMap::new()), None);
        assert_eq!(
            error(&trailers(&[(ERROR_TYPE, ""), (ERROR_BODY, "")])),
            None,
            "announced, and left empty"
        );
        let document = r#"{"errorType":"E","errorMessage":"m"}"#;
        let encoded = STANDARD.encode(document);
        let told = trailers(&[(ERROR_TYPE, "E"), (ERROR_BODY, encoded.leak())]);
        assert_eq!(error(&told).unwrap().document, document);
    }

    #[test]
    fn an_unreadable_document_leaves_the_type() {
        for body in ["not base64!", "bm90IEpTT04="] {
            let error = error(&trailers(&[(ERROR_TYPE, "Runtime.X"), (ERROR_BODY, body)])).unwrap();
            assert_eq!(error.document, r#"{"errorType":"Runtime.X","errorMessage":""}"#, "{body}");
        }
    }
}
