//! Functions that take one event at a time.

use std::collections::HashMap;
use std::sync::Arc;

use lambd_types::FunctionName;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Who may begin. Most functions need not ask.
#[derive(Default)]
pub(crate) struct Turns(HashMap<FunctionName, Arc<Semaphore>>);

/// An event's turn; the next one's begins when it is dropped.
pub(crate) type Turn = OwnedSemaphorePermit;

impl Turns {
    pub(crate) fn of(functions: &[FunctionName]) -> Self {
        Self(functions.iter().map(|name| (name.clone(), Arc::new(Semaphore::new(1)))).collect())
    }

    /// Waits for the turn of an event, in the order in which they come; `None` where there are no turns.
    pub(crate) async fn take(&self, function: &FunctionName) -> Option<Turn> {
        let turns = self.0.get(function)?;
        // Never closed.
        turns.clone().acquire_owned().await.ok()
    }
}
