//! Reading bodies within a limit.

use std::sync::Arc;

use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::body::{Body as _, Incoming};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// How much of an oversized body is read and thrown away before the refusal is sent. Clients write
/// their whole request before they read the answer: a connection closed earlier shows them a broken
/// pipe instead of the error.
const DISCARD: u64 = 512 * 1024 * 1024;

/// Why there is no body.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// It is longer than the limit.
    #[error("the body is too long")]
    TooLarge,
    /// Other bodies from the same place take all the memory that it may have.
    #[error("there is no room for the body")]
    NoRoom,
    /// The client went away or sent something that is not HTTP.
    #[error("the body broke off")]
    Broken(#[source] hyper::Error),
}

/// The body of a request that is still to be read.
#[derive(Debug)]
pub struct RequestBody {
    body: Incoming,
    limit: usize,
    seen: usize,
}

impl RequestBody {
    pub(crate) fn new(body: Incoming, limit: usize) -> Self {
        Self { body, limit, seen: 0 }
    }

    /// Longest body accepted, in bytes.
    pub fn limit(&self) -> usize {
        self.limit
    }

    /// The next part; `None` after the last.
    ///
    /// # Errors
    /// It is longer than its limit, which is known before the first part if the client has announced the length; or
    /// it broke off.
    pub async fn part(&mut self) -> Result<Option<Bytes>, BodyError> {
        if self.seen as u64 + self.body.size_hint().lower() > self.limit as u64 {
            return Err(BodyError::TooLarge);
        }
        while let Some(frame) = self.body.frame().await {
            let Ok(data) = frame.map_err(BodyError::Broken)?.into_data() else { continue };
            self.seen += data.len();
            return if self.seen > self.limit { Err(BodyError::TooLarge) } else { Ok(Some(data)) };
        }
        Ok(None)
    }

    /// Reads what is left and throws it away, so that the client comes to read the answer.
    pub async fn discard(self) {
        discard(self.body).await;
    }
}

/// Memory for bodies of requests that come from one place and are not answered yet.
#[derive(Debug, Clone)]
pub(crate) struct Room(Option<Arc<Semaphore>>);

impl Room {
    pub(crate) fn unlimited() -> Self {
        Self(None)
    }

    pub(crate) fn of_bytes(bytes: usize) -> Self {
        Self(Some(Arc::new(Semaphore::new(bytes))))
    }

    /// Adds bytes to what is taken; `false` when there are none. Nobody waits for room: those who have some
    /// may be waiting for more themselves.
    fn take(&self, bytes: usize, taken: &mut Option<OwnedSemaphorePermit>) -> bool {
        let Some(room) = &self.0 else { return true };
        let Ok(bytes) = u32::try_from(bytes) else { return false };
        let Ok(more) = room.clone().try_acquire_many_owned(bytes) else { return false };
        match taken {
            Some(taken) => taken.merge(more),
            None => *taken = Some(more),
        }
        true
    }
}

/// A body, and the room it takes until this is dropped.
pub(crate) struct Collected {
    pub(crate) bytes: Bytes,
    pub(crate) taken: Option<OwnedSemaphorePermit>,
}

/// Collects a body of at most `limit` bytes.
pub(crate) async fn collect(mut body: Incoming, limit: usize, room: &Room) -> Result<Collected, BodyError> {
    let announced = body.size_hint();
    if announced.lower() > limit as u64 {
        discard(body).await;
        return Err(BodyError::TooLarge);
    }
    // One frame is the usual case: it is passed on without a copy.
    let mut first: Option<Bytes> = None;
    let mut rest: Vec<u8> = Vec::new();
    let mut total = 0;
    let mut taken = None;
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(BodyError::Broken)?.into_data() else { continue };
        total += data.len();
        if total > limit {
            discard(body).await;
            return Err(BodyError::TooLarge);
        }
        if !room.take(data.len(), &mut taken) {
            drop((first, rest, taken));
            discard(body).await;
            return Err(BodyError::NoRoom);
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
    let bytes = if rest.is_empty() { first.unwrap_or_default() } else { Bytes::from(rest) };
    Ok(Collected { bytes, taken })
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
