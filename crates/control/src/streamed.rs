//! An event whose response is passed on while its function makes it.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use lambd_types::FunctionSnapshot;
use lambd_types::invocation::{Event, LogType, Outcome, Wants};
use lambd_types::streaming::{NobodyListens, ResponsePart, ResponseSink, Sent};
use tokio::sync::mpsc;

use crate::ports::{Engine, EngineError};

/// Parts that wait for a caller who reads slowly. Each is at most what was read from the runtime at once, less than
/// half a megabyte.
const WAITING: usize = 2;

/// Such an event. Dropping it leaves the function to run on to its end.
pub(crate) struct Streamed {
    parts: mpsc::Receiver<ResponsePart>,
    running: BoxFuture<'static, Result<Outcome, EngineError>>,
    ended: Option<Result<Outcome, EngineError>>,
}

impl Streamed {
    /// Hands an event to the engine; it runs while [`Self::next`] is waited for.
    pub(crate) fn start(
        engine: Arc<dyn Engine>,
        function: Arc<FunctionSnapshot>,
        event: Event,
        log_type: LogType,
    ) -> Self {
        let (sender, parts) = mpsc::channel(WAITING);
        let wants = Wants { log_type, stream: Some(Arc::new(Sender(sender))) };
        let running = Box::pin(async move { engine.invoke(function, event, wants).await });
        Self { parts, running, ended: None }
    }

    /// The next part of the response; `None` after the last, when [`Self::end`] says how it ended. A function that
    /// does not stream has none.
    pub(crate) async fn next(&mut self) -> Option<ResponsePart> {
        if self.ended.is_none() {
            tokio::select! {
                biased;
                Some(part) = self.parts.recv() => return Some(part),
                outcome = &mut self.running => self.ended = Some(outcome),
            }
            // What was sent before the end is still there; a part that found no room comes too late.
            self.parts.close();
        }
        self.parts.recv().await
    }

    /// How it ended, once [`Self::next`] has no more.
    pub(crate) fn end(self) -> Option<Result<Outcome, EngineError>> {
        self.ended
    }
}

#[derive(Debug)]
struct Sender(mpsc::Sender<ResponsePart>);

impl ResponseSink for Sender {
    fn send(&self, part: ResponsePart) -> Sent<'_> {
        Box::pin(async move { self.0.send(part).await.map_err(|_| NobodyListens) })
    }
}
