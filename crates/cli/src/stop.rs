//! The wish to stop, from signals or from a test.

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

/// Tells when the user wants a long-running command to stop. The second wish, during a stop that takes
/// too long, means at once.
#[derive(Debug)]
pub struct Stop(mpsc::UnboundedReceiver<()>);

impl Stop {
    /// Stops on SIGINT (Ctrl-C) and SIGTERM. Must be called inside a tokio runtime.
    ///
    /// Where a handler cannot be installed the signal keeps its default action.
    pub fn on_signals() -> Self {
        let (sender, receiver) = mpsc::unbounded_channel();
        for kind in [SignalKind::interrupt(), SignalKind::terminate()] {
            let sender = sender.clone();
            let Ok(mut signals) = signal(kind) else { continue };
            tokio::spawn(async move { while signals.recv().await.is_some() && sender.send(()).is_ok() {} });
        }
        Self(receiver)
    }

    /// Never stops.
    pub fn never() -> Self {
        Self(mpsc::unbounded_channel().1)
    }

    /// Stops whenever the sender sends.
    pub fn on_message() -> (mpsc::UnboundedSender<()>, Self) {
        let (sender, receiver) = mpsc::unbounded_channel();
        (sender, Self(receiver))
    }

    /// Waits for the next wish to stop.
    pub(crate) async fn wanted(&mut self) {
        if self.0.recv().await.is_none() {
            std::future::pending::<()>().await;
        }
    }
}
