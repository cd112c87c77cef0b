//! Putting the parts together.

use std::sync::Arc;

use lambd_store::Store;
use lambd_types::Clock;
use tokio::task::JoinHandle;

use crate::LogsService;
use crate::sweep;
use crate::writer::{self, LogWriter};

/// Starts the crate's tasks.
#[derive(Debug)]
pub struct Observe;

impl Observe {
    /// Starts writer and sweep in the current runtime. The writer is for functions' logs, the service
    /// for the listener, and the handle for whoever ends the process.
    pub fn start(store: Arc<Store>, clock: Arc<dyn Clock>) -> (LogWriter, Arc<LogsService>, ObserveHandle) {
        let (log_writer, task) = writer::start(store.clone(), clock.clone());
        let (sweep, sweep_task) = sweep::start(store.clone(), clock.clone());
        let service = Arc::new(LogsService::new(store, clock, log_writer.clone(), sweep));
        let handle = ObserveHandle { writer: log_writer.clone(), tasks: [task, sweep_task] };
        (log_writer, service, handle)
    }
}

/// Ends the crate's tasks.
#[derive(Debug)]
pub struct ObserveHandle {
    writer: LogWriter,
    tasks: [JoinHandle<()>; 2],
}

impl ObserveHandle {
    /// Writes what was appended so far, then stops. What is appended later is lost.
    pub async fn shutdown(self) {
        self.writer.flush().await;
        for task in self.tasks {
            task.abort();
            // Cancelled is what was asked for; a panic was already reported by the runtime.
            let _ = task.await;
        }
    }
}
