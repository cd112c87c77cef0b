//! The one way to a function.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use lambd_types::invocation::{Event, InitializationType, Outcome, Wants};
use lambd_types::{FunctionKey, FunctionName, FunctionSnapshot, Scope};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::concurrency::{Concurrency, Permit};
use crate::machine::pool::Pools;
use crate::machine::provisioned::{Allocation, Usage, Wanted};
use crate::ports::{Delivery, Instance, Instances};
use crate::provisioning::{Lease, Provisioning};
use crate::retiring::Retiring;
use crate::turns::Turns;
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
    provisioning: Provisioning,
    retiring: Retiring,
    turns: Turns,
    /// An instance became idle while housekeeping slept without a time to wake.
    idle: Notify,
    asleep: AtomicBool,
}

impl Invoker {
    /// An engine over `instances`. Idle instances are stopped in the background while it lives; must be
    /// called inside a tokio runtime.
    pub fn start(instances: Arc<dyn Instances>, options: &InvokeOptions) -> Self {
        let concurrency = Concurrency::new(options.concurrent_executions);
        let retiring = Retiring::default();
        let provisioning = Provisioning::start(instances.clone(), retiring.clone(), options);
        let inner = Arc::new(Inner {
            instances,
            pools: Mutex::default(),
            concurrency,
            provisioning,
            retiring,
            turns: Turns::of(&options.one_at_a_time),
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
        wants: Wants,
    ) -> Result<Outcome, InvokeError> {
        let turn = self.inner.turns.take(&function.key.name).await;
        let permit = self.inner.concurrency.acquire(&function.key)?;
        let run = self.inner.clone().run(function, event, wants, permit);
        let run = tokio::spawn(async move {
            let _turn = turn;
            run.await
        });
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

    /// The versions of a function have these provisioned instances from now on, and its other versions none.
    /// Instances are started and ended behind this; executions count for their versions at once.
    pub fn provision(&self, scope: &Scope, name: &FunctionName, wanted: Vec<Wanted>) {
        let executions = wanted.iter().map(|wanted| (wanted.key.version, wanted.executions)).collect();
        self.inner.concurrency.provision(scope, name, executions);
        self.inner.provisioning.set(scope, name, wanted);
    }

    /// The provisioned instances that a version has; `None` when it is to have none.
    pub fn provisioned(&self, key: &FunctionKey) -> Option<Allocation> {
        self.inner.provisioning.allocation(key)
    }

    /// How much a version's provisioned instances are used, and were since this was asked last: one caller alone can
    /// ask. `None` when it is to have none.
    pub fn take_provisioned_usage(&self, key: &FunctionKey) -> Option<Usage> {
        self.inner.provisioning.take_usage(key)
    }

    /// `function` is the new state of its version: idle instances of the one before are stopped, busy
    /// ones after their event.
    pub fn supersede(&self, function: &FunctionSnapshot) {
        let old = self.inner.pools().supersede(&function.key, &function.revision);
        self.inner.retiring.retire(old);
    }

    /// The function is gone: its idle instances are stopped, busy ones after their event. Those that are provisioned
    /// stay until [`Self::provision`] says otherwise.
    pub fn remove(&self, scope: &Scope, name: &FunctionName) {
        let old = self.inner.pools().remove(scope, name);
        self.inner.retiring.retire(old);
    }

    /// One version is gone, in the same way.
    pub fn remove_version(&self, key: &FunctionKey) {
        let old = self.inner.pools().remove_version(key);
        self.inner.retiring.retire(old);
    }

    /// Stops all idle instances, and waits until nothing is left of them and of those stopped before.
    pub async fn shutdown(&self) {
        self.inner.provisioning.shutdown();
        let old = self.inner.pools().drain();
        self.inner.retiring.retire(old);
        self.inner.retiring.all_gone().await;
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
        wants: Wants,
        permit: Permit,
    ) -> Result<Outcome, InvokeError> {
        // Provisioned instances first; an event that is one too many for them spills over (CORE-174).
        let lease = self.provisioning.take(&function);
        let provisioned = lease.as_ref().and_then(Lease::instance);
        let instance = match provisioned.or_else(|| self.warm(&function)) {
            Some(instance) => instance,
            None => self.instances.start(function.clone(), InitializationType::OnDemand).await?,
        };
        let Delivery { outcome, reusable } = instance.deliver(event, wants).await?;
        match reusable {
            Some(reusable) => {
                // The permit goes first: whoever sees the response may use the place at once.
                drop(permit);
                if reusable {
                    self.give_back(&function, instance, lease);
                }
            }
            // The caller has its answer; the place is taken until the instance is done.
            None => drop(tokio::spawn(async move {
                let reusable = instance.finish().await;
                drop(permit);
                if reusable {
                    self.give_back(&function, instance, lease);
                }
            })),
        }
        Ok(outcome)
    }

    /// Keeps an instance for its next event.
    fn give_back(&self, function: &FunctionSnapshot, instance: Arc<dyn Instance>, lease: Option<Lease>) {
        if let Some(lease) = lease {
            return lease.give_back();
        }
        match self.pools().put(&function.key, &function.revision, instance, Instant::now()) {
            Some(superseded) => self.retiring.retire([superseded]),
            None if self.asleep.swap(false, Ordering::AcqRel) => self.idle.notify_one(),
            None => {}
        }
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
        strong.retiring.retire(old);
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
