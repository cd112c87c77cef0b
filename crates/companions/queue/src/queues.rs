//! Putting the parts together.

use std::sync::Arc;

use lambd_store::{Store, StoreError};
use lambd_types::Clock;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::mover::{self, Mover};
use crate::registry::Registry;
use crate::service::QueueService;
use crate::sweeper::{self, Sweeper};

/// Starts the crate's tasks.
#[derive(Debug)]
pub struct Queues;

/// What an operator may want otherwise.
#[derive(Debug, Clone)]
pub struct QueueOptions {
    /// Most messages of one queue that are in flight.
    pub most_in_flight: i64,
}

impl Default for QueueOptions {
    /// As AWS has it.
    fn default() -> Self {
        Self { most_in_flight: 120_000 }
    }
}

/// What the parts of the crate share.
pub(crate) struct Shared {
    pub(crate) store: Arc<Store>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) registry: Registry,
    pub(crate) sweeper: Sweeper,
    pub(crate) mover: Mover,
    pub(crate) options: QueueOptions,
    /// Becomes true when nobody may wait for messages any more.
    pub(crate) closing: watch::Receiver<bool>,
}

impl Queues {
    /// Reads the queues that there are and starts what works on them in the background. The service is for the listener,
    /// the handle for whoever ends the process.
    ///
    /// # Errors
    /// The store fails.
    pub async fn start(
        store: Arc<Store>,
        clock: Arc<dyn Clock>,
        options: QueueOptions,
    ) -> Result<(Arc<QueueService>, QueueHandle), StoreError> {
        let registry = Registry::of(store.queues().all().await?)?;
        let (close, closing) = watch::channel(false);
        let (sweeper, mover) = (Sweeper::default(), Mover::default());
        let shared = Arc::new(Shared { store, clock, registry, sweeper, mover, options, closing });
        let tasks =
            vec![tokio::spawn(sweeper::run(shared.clone())), tokio::spawn(mover::run(shared.clone()))];
        Ok((Arc::new(QueueService::new(shared)), QueueHandle { close, tasks }))
    }
}

/// Ends the crate's tasks.
#[derive(Debug)]
pub struct QueueHandle {
    close: watch::Sender<bool>,
    tasks: Vec<JoinHandle<()>>,
}

impl QueueHandle {
    /// Ends all long polls, and those that come later at once: each answers with what there is.
    pub fn end_waits(&self) {
        // Nobody listens any more when the service is gone already.
        let _ = self.close.send(true);
    }

    /// Ends the work in the background; a move of messages goes on with the next start.
    pub async fn shutdown(self) {
        self.end_waits();
        for task in self.tasks {
            task.abort();
            // Cancelled is what was asked for; a panic was already reported by the runtime.
            let _ = task.await;
        }
    }
}
