//! The parts of a running daemon, and the order in which they end.

use std::sync::Arc;
use std::time::Duration;

use lambd_invoke::{AsyncQueue, Invoker};
use lambd_observe::{ObserveHandle, Traces};
use lambd_queue::QueueHandle;
use lambd_sandbox::Spawner;
use lambd_scaling::ScalingHandle;
use lambd_store::Store;
use lambd_topic::TopicsHandle;
use tokio::sync::oneshot;
use tokio::task::{AbortHandle, JoinHandle};

use crate::shared::Shared;

/// How long requests in flight may take when the daemon is told to stop.
pub(crate) const GRACE: Duration = Duration::from_secs(30);

/// What must be ended in order.
pub(crate) struct Parts {
    pub(crate) stop_serving: oneshot::Sender<()>,
    pub(crate) serving: JoinHandle<()>,
    pub(crate) queue: Arc<AsyncQueue>,
    pub(crate) scaling: ScalingHandle,
    pub(crate) queues: QueueHandle,
    pub(crate) topics: TopicsHandle,
    pub(crate) invoker: Invoker,
    pub(crate) observe: ObserveHandle,
    pub(crate) traces: Traces,
    pub(crate) spawner: Spawner,
    pub(crate) watch: AbortHandle,
    pub(crate) store: Arc<Store>,
    pub(crate) beside: Option<Shared>,
}

impl Parts {
    pub(crate) async fn stop(self) {
        let _ = self.stop_serving.send(());
        self.queues.end_waits();
        let (served, (), ()) = tokio::join!(self.serving, self.queue.stop(GRACE), self.topics.shutdown());
        if let Err(error) = served {
            tracing::error!(%error, "the listener failed");
        }
        self.scaling.shutdown().await;
        self.invoker.shutdown().await;
        self.watch.abort();
        // The last instances go with the spawner, and their last lines into the log.
        self.spawner.shutdown().await;
        if self.traces.segments() > 0 {
            tracing::info!(segments = self.traces.segments(), "trace segments came from functions");
        }
        self.observe.shutdown().await;
        self.queues.shutdown().await;
        self.store.close().await;
        if let Some(beside) = &self.beside
            && let Err(error) = lambd_sandbox::remove_tree(beside.path())
        {
            tracing::warn!(directory = %beside.path().display(), %error, "cannot remove");
        }
    }
}

/// A daemon that can start no function any more is of no use, and whoever supervises it should know.
pub(crate) async fn end_with(spawner: Spawner) {
    spawner.ended().await;
    tracing::error!("lambd-spawner was killed, and all functions with it; start lambd again");
    std::process::exit(1);
}
