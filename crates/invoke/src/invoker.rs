//! The one way to a function.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use lambd_types::invocation::{Event, LogType, Outcome};
use lambd_types::{FunctionKey, FunctionName, FunctionSnapshot, Scope};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::concurrency::{Concurrency, Permit};
use crate::machine::pool::Pools;
use crate::ports::{Instance, Instances};
use crate::{InvokeError, InvokeOptions};

/// How long the end of the daemon waits for instances: the kernel may be unable to end a process.
const PATIENCE: Duration = Duration::from_secs(10);

/// Invokes functions. Clones share their instances.
#[derive(Clone)]
pub struct Invoker {
    inner: Arc<Inner>,
}

struct Inner {
    instances: Arc<dyn Instances>,
    pools: Mutex<Pools<Arc<dyn Instance>>>,
    concurrency: Concurrency,
    /// Instances that are being ended.
    retiring: Mutex<JoinSet<()>>,
    /// An instance became idle while housekeeping slept without a time to wake.
    idle: Notify,
    asleep: AtomicBool,
}

impl Invoker {
    /// An engine over `instances`. Idle instances are stopped in the background while it lives; must be
    /// called inside a tokio runtime.
    pub fn start(instances: Arc<dyn Instances>, options: &InvokeOptions) -> Self {
        let concurrency = Concurrency::new(options.concurrent_executions);
        let inner = Arc::new(Inner {
            instances,
            pools: Mutex::default(),
            concurrency,
            retiring: Mutex::default(),
            idle: Notify::new(),
            asleep: AtomicBool::new(false),
        });
        tokio::spawn(keep_house(Arc::downgrade(&inner), options.freeze_after, options.idle_timeout));
        Self { inner }
    }

    /// Processes one event. The function runs to its end even if the caller stops waiting, as on AWS.
    pub async fn invoke(
        &self,
        function: Arc<FunctionSnapshot>,
        event: Event,
        log_type: LogType,
    ) -> Result<Outcome, InvokeError> {
        let permit = self.inner.concurrency.acquire(&function.key.scope, &function.key.name)?;
        let run = tokio::spawn(self.inner.clone().run(function, event, log_type, permit));
        match run.await {
            Ok(result) => result,
            Err(panic) => match panic.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(_) => Err(InvokeError::Environment("the daemon is stopping".to_owned())),
            },
        }
    }

    /// The function has this many executions of its own from now on, and no more; `None`: it shares those of the
    /// account. What runs goes on.
    pub fn reserve(&self, scope: &Scope, name: &FunctionName, executions: Option<usize>) {
        self.inner.concurrency.reserve(scope, name, executions);
    }

    /// `function` is the new state of its version: idle instances of the one before are stopped, busy
    /// ones after their event.
    pub fn supersede(&self, function: &FunctionSnapshot) {
        let old = self.inner.pools().supersede(&function.key, &function.revision);
        self.inner.retire(old);
    }

    /// The function is gone: its idle instances are stopped, busy ones after their event.
    pub fn remove(&self, scope: &Scope, name: &FunctionName) {
        let old = self.inner.pools().remove(scope, name);
        self.inner.retire(old);
    }

    /// One version is gone, in the same way.
    pub fn remove_version(&self, key: &FunctionKey) {
        let old = self.inner.pools().remove_version(key);
        self.inner.retire(old);
    }

    /// Stops all idle instances, and waits until nothing is left of them and of those stopped before.
    pub async fn shutdown(&self) {
        let old = self.inner.pools().drain();
        self.inner.retire(old);
        let mut retiring = std::mem::take(&mut *self.inner.retiring());
        let all_gone = async { while retiring.join_next().await.is_some() {} };
        if tokio::time::timeout(PATIENCE, all_gone).await.is_err() {
            tracing::warn!("some instances have not ended");
        }
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
        let delivery = instance.deliver(event, log_type).await?;
        // The permit goes first: whoever sees the response may use the place at once.
        drop(permit);
        if delivery.reusable {
            match self.pools().put(&function.key, &function.revision, instance, Instant::now()) {
                Some(superseded) => self.retire([superseded]),
                None if self.asleep.swap(false, Ordering::AcqRel) => self.idle.notify_one(),
                None => {}
            }
        }
        Ok(delivery.outcome)
    }

    /// Ends instances in the background.
    fn retire(&self, instances: impl IntoIterator<Item = Arc<dyn Instance>>) {
        let mut retiring = self.retiring();
        while retiring.try_join_next().is_some() {}
        for instance in instances {
            retiring.spawn(async move { instance.retire().await });
        }
    }

    fn retiring(&self) -> MutexGuard<'_, JoinSet<()>> {
        self.retiring.lock().unwrap_or_else(PoisonError::into_inner)
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

/// Freezes instances that are idle for a moment and stops those that are idle for long.
async fn keep_house(inner: Weak<Inner>, grace: Duration, limit: Duration) {
    // Without an instance to freeze, only stopping is left to do, which is in no hurry.
    let longest = (limit / 4).max(Duration::from_millis(100));
    loop {
        let Some(strong) = inner.upgrade() else { return };
        let now = Instant::now();
        strong.asleep.store(true, Ordering::Release);
        let (due, next) = strong.pools().freeze(now, grace);
        for instance in due {
            instance.freeze();
        }
        let old = strong.pools().expire(now, limit);
        strong.retire(old);
        match next {
            Some(at) => {
                strong.asleep.store(false, Ordering::Release);
                drop(strong);
                tokio::time::sleep_until(at).await;
            }
            None => {
                let idle = strong.idle.notified();
                let _ = tokio::time::timeout(longest, idle).await;
            }
        }
    }
}

#[cfg(test)]
#[path = "invoker_tests.rs"]
mod tests;
