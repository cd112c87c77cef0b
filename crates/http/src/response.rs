//! Building responses.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_util::Stream;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Response, StatusCode};
use hyper::body::{Body, Frame, SizeHint};
use tokio::io::{AsyncRead, ReadBuf};

/// Bytes of a streamed body that are read at once.
const PART: usize = 64 * 1024;

/// A response.
pub type AwsResponse = Response<ResponseBody>;

/// The body of a response: bytes in memory, or what is read or made while it is sent.
#[derive(Default)]
pub struct ResponseBody(Source);

enum Source {
    Whole(Bytes),
    Read {
        from: Pin<Box<dyn AsyncRead + Send>>,
        /// Bytes still to be read.
        left: u64,
        part: Box<[u8]>,
    },
    Made(Pin<Box<dyn Stream<Item = Bytes> + Send>>),
}

impl Default for Source {
    fn default() -> Self {
        Self::Whole(Bytes::new())
    }
}

impl ResponseBody {
    /// The first `length` bytes of a reader. They are read as the client takes them, and a client that goes away drops
    /// the reader. One that fails or ends early breaks the response off, which clients notice by its length.
    pub fn read_from(from: impl AsyncRead + Send + 'static, length: u64) -> Self {
        let part = usize::try_from(length).unwrap_or(PART).min(PART);
        Self(Source::Read { from: Box::pin(from), left: length, part: vec![0; part].into() })
    }

    /// What a stream makes, of a length that nobody knows yet. Each piece is sent as soon as it is there, and the next
    /// one is asked for when there is room; a client that goes away drops the stream.
    pub fn made_by(stream: impl Stream<Item = Bytes> + Send + 'static) -> Self {
        Self(Source::Made(Box::pin(stream)))
    }
}

impl From<Bytes> for ResponseBody {
    fn from(bytes: Bytes) -> Self {
        Self(Source::Whole(bytes))
    }
}

impl fmt::Debug for ResponseBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Source::Whole(bytes) => write!(f, "{} bytes", bytes.len()),
            Source::Read { left, .. } => write!(f, "{left} bytes to be read"),
            Source::Made(_) => f.write_str("a stream"),
        }
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        match &mut self.0 {
            Source::Whole(bytes) if bytes.is_empty() => Poll::Ready(None),
            Source::Whole(bytes) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes))))),
            Source::Read { left: 0, .. } => Poll::Ready(None),
            Source::Read { from, left, part } => {
                let most = usize::try_from(*left).unwrap_or(PART).min(part.len());
                let mut buffer = ReadBuf::new(&mut part[..most]);
                ready!(from.as_mut().poll_read(context, &mut buffer))?;
                let read = buffer.filled();
                if read.is_empty() {
                    return Poll::Ready(Some(Err(io::ErrorKind::UnexpectedEof.into())));
                }
                *left -= read.len() as u64;
                Poll::Ready(Some(Ok(Frame::data(Bytes::copy_from_slice(read)))))
            }
            Source::Made(stream) => {
                let piece = ready!(stream.as_mut().poll_next(context));
                Poll::Ready(piece.map(|piece| Ok(Frame::data(piece))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.length() == Some(0)
    }

    fn size_hint(&self) -> SizeHint {
        self.length().map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

impl ResponseBody {
    /// Bytes still to come, where that is known.
    fn length(&self) -> Option<u64> {
        match &self.0 {
            Source::Whole(bytes) => Some(bytes.len() as u64),
            Source::Read { left, .. } => Some(*left),
            Source::Made(_) => None,
        }
    }
}

/// A response without a body.
pub fn empty(status: StatusCode) -> AwsResponse {
    let mut response = Response::new(ResponseBody::default());
    *response.status_mut() = status;
    response
}

/// A response with a body of the given content type.
pub fn text(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> AwsResponse {
    of_type(status, content_type, body.into().into())
}

/// A response of the given content type whose body is whatever it is.
pub fn of_type(status: StatusCode, content_type: &'static str, body: ResponseBody) -> AwsResponse {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

/// A JSON response.
pub fn json(status: StatusCode, body: &impl serde::Serialize) -> AwsResponse {
    match serde_json::to_vec(body) {
        Ok(bytes) => text(status, "application/json", bytes),
        Err(error) => {
            tracing::error!(%error, "a response could not be written as JSON");
            empty(StatusCode::INTERNAL_SERVER_ERROR)
        }
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;

    use super::*;

    #[tokio::test]
    async fn as_much_is_read_as_was_announced() {
        let body = ResponseBody::read_from(&[7_u8; 3 * PART][..], 2 * PART as u64 + 1);
        assert_eq!(body.size_hint().exact(), Some(2 * PART as u64 + 1));
        assert!(!body.is_end_stream());
        assert_eq!(body.collect().await.unwrap().to_bytes().len(), 2 * PART + 1);
        assert!(ResponseBody::read_from(&b"more"[..], 0).is_end_stream());
    }

    #[tokio::test]
    async fn what_is_made_has_no_length() {
        let pieces = [Bytes::from_static(b"a"), Bytes::from_static(b"b")];
        let body = ResponseBody::made_by(futures_util::stream::iter(pieces));
        assert_eq!(body.size_hint().exact(), None);
        assert!(!body.is_end_stream());
        assert_eq!(body.collect().await.unwrap().to_bytes(), "ab");
    }

    #[tokio::test]
    async fn what_ends_early_breaks_off() {
        let body = ResponseBody::read_from(&b"half"[..], 8);
        assert_eq!(body.collect().await.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }

    #[tokio::test]
    async fn what_is_in_memory_is_sent_as_it_is() {
        let body = ResponseBody::from(Bytes::from_static(b"whole"));
        assert_eq!(body.size_hint().exact(), Some(5));
        assert_eq!(body.collect().await.unwrap().to_bytes(), "whole");
        assert!(ResponseBody::default().is_end_stream());
    }
}
