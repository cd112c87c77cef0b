//! Instances that are being ended.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::task::JoinSet;

use crate::ports::Instance;

/// How long the end of the daemon waits for instances: the kernel may be unable to end a process.
const PATIENCE: Duration = Duration::from_secs(10);

/// Ends instances in the background. Clones are handles to the same.
#[derive(Clone, Default)]
pub(crate) struct Retiring {
    tasks: Arc<Mutex<JoinSet<()>>>,
}

impl Retiring {
    /// Begins to end instances; must be called inside a tokio runtime.
    pub(crate) fn retire(&self, instances: impl IntoIterator<Item = Arc<dyn Instance>>) {
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        while tasks.try_join_next().is_some() {}
        for instance in instances {
            tasks.spawn(async move { instance.retire().await });
        }
    }

    /// Waits until nothing is left of all of them, within reason.
    pub(crate) async fn all_gone(&self) {
        let mut tasks = std::mem::take(&mut *self.tasks.lock().unwrap_or_else(PoisonError::into_inner));
        let all_gone = async { while tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(PATIENCE, all_gone).await.is_err() {
            tracing::warn!("some instances have not ended");
        }
    }
}
