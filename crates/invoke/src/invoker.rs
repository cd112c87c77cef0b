//! The one way to a function.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use lambd_types::invocation::{Event, LogType, Outcome};
use lambd_types::{FunctionName, FunctionSnapshot, Scope};
use tokio::time::Instant;

use crate::concurrency::{Concurrency, Permit};
use crate::machine::pool::Pools;
use crate::ports::{Instance, Instances};
use crate::{InvokeError, InvokeOptions};

/// Invokes functions. Clones share their instances.
#[derive(Clone)]
pub struct Invoker {
    inner: Arc<Inner>,
}

struct Inner {
    instances: Arc<dyn Instances>,
    pools: Mutex<Pools<Arc<dyn Instance>>>,
    concurrency: Concurrency,
}

impl Invoker {
    /// An engine over `instances`. Idle instances are stopped in the background while it lives; must be
    /// called inside a tokio runtime.
    pub fn start(instances: Arc<dyn Instances>, options: &InvokeOptions) -> Self {
        let concurrency = Concurrency::new(options.concurrent_executions);
        let inner = Arc::new(Inner { instances, pools: Mutex::default(), concurrency });
        tokio::spawn(expire(Arc::downgrade(&inner), options.idle_timeout));
        Self { inner }
    }

    /// Processes one event. The function runs to its end even if the caller stops waiting, as on AWS.
    pub async fn invoke(
        &self,
        function: Arc<FunctionSnapshot>,
        event: Event,
        log_type: LogType,
    ) -> Result<Outcome, InvokeError> {
        let permit = self.inner.concurrency.acquire(&function.key.scope)?;
        let run = tokio::spawn(self.inner.clone().run(function, event, log_type, permit));
        match run.await {
            Ok(result) => result,
            Err(panic) => match panic.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(_) => Err(InvokeError::Environment("the daemon is stopping".to_owned())),
            },
        }
    }

    /// `function` is the new state of its version: idle instances of the one before are stopped, busy
    /// ones after their event.
    pub fn supersede(&self, function: &FunctionSnapshot) {
        let old = self.inner.pools().supersede(&function.key, &function.revision);
        drop(old);
    }

    /// The function is gone: its idle instances are stopped, busy ones after their event.
    pub fn remove(&self, scope: &Scope, name: &FunctionName) {
        let old = self.inner.pools().remove(scope, name);
        drop(old);
    }

    /// Stops all idle instances.
    pub fn shutdown(&self) {
        let old = self.inner.pools().drain();
        drop(old);
    }
}

impl Inner {
    fn pools(&self) -> MutexGuard<'_, Pools<Arc<dyn Instance>>> {
        self.pools.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn run(
        self: Arc<Self>,
        function: Arc<FunctionSnapshot>,
        event: Event,
        log_type: LogType,
        permit: Permit,
    ) -> Result<Outcome, InvokeError> {
        let instance = match self.warm(&function) {
            Some(instance) => instance,
            None => self.instances.start(function.clone()).await?,
        };
        let delivery = instance.deliver(event, log_type).await;
        // The permit goes first: whoever sees the response may use the place at once.
        drop(permit);
        let leftover = match delivery.reusable {
            true => self.pools().put(&function.key, &function.revision, instance, Instant::now()),
            false => Some(instance),
        };
        drop(leftover);
        Ok(delivery.outcome)
    }

    fn warm(&self, function: &FunctionSnapshot) -> Option<Arc<dyn Instance>> {
        loop {
            let instance = self.pools().take(&function.key, &function.revision)?;
            if instance.is_alive() {
                return Some(instance);
            }
        }
    }
}

async fn expire(inner: Weak<Inner>, limit: Duration) {
    let mut tick = tokio::time::interval((limit / 4).max(Duration::from_millis(100)));
    loop {
        tick.tick().await;
        let Some(inner) = inner.upgrade() else { return };
        let old = inner.pools().expire(Instant::now(), limit);
        drop(old);
    }
}

#[cfg(test)]
#[path = "invoker_tests.rs"]
mod tests;
