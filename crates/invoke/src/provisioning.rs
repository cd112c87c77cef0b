//! Keeping provisioned instances: does what the machine in `machine/provisioned.rs` decides.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use lambd_types::invocation::InitializationType;
use lambd_types::{FunctionKey, FunctionName, FunctionSnapshot, Scope};
use tokio::sync::{Notify, Semaphore};
use tokio::time::Instant;

use crate::InvokeOptions;
use crate::machine::provisioned::{Allocation, Failure, Provisioned, Start, Usage, Wanted};
use crate::ports::{Instance, Instances};
use crate::retiring::Retiring;

/// Longest sleep of the keeper, after which it looks whether it is needed still.
const LONGEST_SLEEP: Duration = Duration::from_secs(60);

/// Provisioned instances. Clones share them.
#[derive(Clone)]
pub(crate) struct Provisioning {
    inner: Arc<Inner>,
}

struct Inner {
    instances: Arc<dyn Instances>,
    machine: Mutex<Provisioned<Arc<dyn Instance>>>,
    retiring: Retiring,
    /// Room for instances that initialise.
    room: Semaphore,
    /// Something is to be done: an instance is missing, or one became idle while the keeper had no time to wake.
    changed: Arc<Notify>,
    asleep: AtomicBool,
}

/// A provisioned instance for one event; it gives itself back.
pub(crate) struct Lease {
    inner: Arc<Inner>,
    function: Arc<FunctionSnapshot>,
    serial: u64,
    instance: Option<Arc<dyn Instance>>,
}

impl Provisioning {
    /// Keeps instances in the background while it lives; must be called inside a tokio runtime.
    pub(crate) fn start(instances: Arc<dyn Instances>, retiring: Retiring, options: &InvokeOptions) -> Self {
        let inner = Arc::new(Inner {
            instances,
            machine: Mutex::default(),
            retiring,
            room: Semaphore::new(options.provisioning_at_once),
            changed: Arc::default(),
            asleep: AtomicBool::new(false),
        });
        tokio::spawn(keep(Arc::downgrade(&inner), inner.changed.clone(), options.freeze_after));
        Self { inner }
    }

    /// See [`Provisioned::set`].
    pub(crate) fn set(&self, scope: &Scope, name: &FunctionName, wanted: Vec<Wanted>) {
        let gone = self.inner.machine().set(scope, name, wanted);
        self.inner.retiring.retire(gone);
        self.inner.changed.notify_one();
    }

    /// See [`Provisioned::allocation`].
    pub(crate) fn allocation(&self, key: &FunctionKey) -> Option<Allocation> {
        self.inner.machine().allocation(key)
    }

    /// See [`Provisioned::take_usage`].
    pub(crate) fn take_usage(&self, key: &FunctionKey) -> Option<Usage> {
        self.inner.machine().take_usage(key)
    }

    /// An idle instance for an event.
    pub(crate) fn take(&self, function: &Arc<FunctionSnapshot>) -> Option<Lease> {
        loop {
            let (serial, instance) = self.inner.machine().take(&function.key, &function.revision)?;
            let is_alive = instance.is_alive();
            let (inner, function) = (self.inner.clone(), function.clone());
            // One that has just ended is replaced when its lease is dropped.
            let lease = Lease { inner, function, serial, instance: Some(instance) };
            if is_alive {
                return Some(lease);
            }
        }
    }

    /// Begins to end all instances; none is started any more.
    pub(crate) fn shutdown(&self) {
        let gone = self.inner.machine().drain();
        self.inner.retiring.retire(gone);
    }
}

impl Lease {
    /// The instance.
    pub(crate) fn instance(&self) -> Option<Arc<dyn Instance>> {
        self.instance.clone()
    }

    /// The event is over, and the instance can take another.
    pub(crate) fn give_back(mut self) {
        let Some(instance) = self.instance.take() else { return };
        let inner = &self.inner;
        if let Some(unwanted) = inner.machine().put(&self.function.key, self.serial, instance, Instant::now())
        {
            inner.retiring.retire([unwanted]);
            inner.changed.notify_one();
        } else if inner.asleep.swap(false, Ordering::AcqRel) {
            inner.changed.notify_one();
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if self.instance.is_some() {
            self.inner.machine().lost(&self.function.key, self.serial);
            self.inner.changed.notify_one();
        }
    }
}

impl Inner {
    fn machine(&self) -> MutexGuard<'_, Provisioned<Arc<dyn Instance>>> {
        self.machine.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn start(self: Arc<Self>, start: Start) {
        let Start { serial, function } = start;
        let key = &function.key;
        let room = self.room.acquire().await;
        if self.machine().is_wanted(key, serial) {
            match self.initialised(&function, serial).await {
                Ok(Some(instance)) => {
                    if self.machine().ready(key, serial, Instant::now()) {
                        self.watch(&function, serial, &*instance);
                    }
                }
                Ok(None) => {}
                Err(failure) => {
                    tracing::warn!(function = %key.name, version = %key.version, ?failure, "cannot provision an instance");
                    self.machine().failed(key, serial, failure, Instant::now());
                }
            }
        }
        drop(room);
        self.changed.notify_one();
    }

    /// Starts an instance and waits until it is initialised. `None` when it is not wanted any more.
    async fn initialised(
        &self,
        function: &Arc<FunctionSnapshot>,
        serial: u64,
    ) -> Result<Option<Arc<dyn Instance>>, Failure> {
        let started = self.instances.start(function.clone(), InitializationType::Provisioned).await;
        let instance = started.map_err(|error| Failure::Environment(error.to_string()))?;
        if !self.machine().initialising(&function.key, serial, &instance) {
            self.retiring.retire([instance]);
            return Ok(None);
        }
        if instance.initialise().await {
            return Ok(Some(instance));
        }
        // One that was given up is being ended: that is no failure.
        match self.machine().is_wanted(&function.key, serial) {
            true => Err(Failure::Initialisation),
            false => Ok(None),
        }
    }

    /// Replaces an instance when its process ends.
    fn watch(self: &Arc<Self>, function: &Arc<FunctionSnapshot>, serial: u64, instance: &dyn Instance) {
        let (inner, function, ended) = (Arc::downgrade(self), function.clone(), instance.ended());
        tokio::spawn(async move {
            ended.await;
            let Some(inner) = inner.upgrade() else { return };
            let gone = inner.machine().ended(&function.key, serial, Instant::now());
            inner.retiring.retire(gone);
            inner.changed.notify_one();
        });
    }
}

/// Starts what is missing, and freezes what is idle for a moment.
async fn keep(inner: Weak<Inner>, changed: Arc<Notify>, grace: Duration) {
    loop {
        let Some(strong) = inner.upgrade() else { return };
        let now = Instant::now();
        strong.asleep.store(true, Ordering::Release);
        let (starts, pause) = strong.machine().begin(now);
        for start in starts {
            tokio::spawn(strong.clone().start(start));
        }
        let (due, next) = strong.machine().freeze(now, grace);
        for instance in due {
            instance.freeze();
        }
        if next.is_some() {
            strong.asleep.store(false, Ordering::Release);
        }
        drop(strong);
        let until = [pause, next].into_iter().flatten().min();
        let until = until.unwrap_or(now + LONGEST_SLEEP);
        let _ = tokio::time::timeout_at(until, changed.notified()).await;
    }
}

#[cfg(test)]
#[path = "provisioning_tests.rs"]
mod tests;
