//! One invocation after a deploy, and what it took.

use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::client::{Client, ClientError, Invocation, InvocationMode};

/// An invocation and the time that it took from the caller's side.
#[derive(Debug)]
pub(super) struct Tried {
    pub(super) done: Invocation,
    pub(super) round_trip: Duration,
}

impl Tried {
    pub(super) fn succeeded(&self) -> bool {
        self.done.function_error.is_none()
    }
}

/// Sends `event` to a function and waits for the response with the end of the log.
pub(super) async fn try_event(client: &Client, name: &str, event: &[u8]) -> Result<Tried, ClientError> {
    let started = Instant::now();
    let payload = Bytes::copy_from_slice(event);
    let done = client.invoke(name, None, InvocationMode::Wait { log_tail: true }, payload).await?;
    Ok(Tried { done, round_trip: started.elapsed() })
}
