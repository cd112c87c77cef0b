//! The one way to a function.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use lambd_types::invocation::{Event, InitializationType, Outcome, Wants};
use lambd_types::{FunctionKey, FunctionName, FunctionSnapshot, Scope};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::concurrency::{Concurrency, Limits, Permit, Request};
use crate::machine::provisioned::{Allocation, Usage, Wanted};
use crate::metrics::{ConcurrencyNow, Counters, InstancesNow, Metrics, ProvisionedMetrics, Snapshot};
use crate::ports::{Delivery, Instance, Instances, Memory};
use crate::provisioning::{Lease, Provisioning};
use crate::retiring::Retiring;
use crate::shelf::{Handed, Placed, Shelf};
use crate::to_the_end::ToTheEnd;
use crate::turns::Turns;
use crate::{InvokeError, InvokeOptions};

/// Invokes functions. Clones share their instances.
#[derive(Clone)]
pub struct Invoker {
    inner: Arc<Inner>,
}

struct Inner {
    instances: Arc<dyn Instances>,
    shelf: Shelf,
    concurrency: Concurrency,
    provisioning: Provisioning,
    retiring: Retiring,
    counters: Arc<Counters>,
    turns: Turns,
    /// An instance became idle while housekeeping slept without a time to wake.
    idle: Notify,
    asleep: AtomicBool,
}

/// An instance for one event.
enum Taken {
    Provisioned(Lease, Arc<dyn Instance>),
    Pooled(Arc<Placed>),
}

impl Invoker {
    /// An engine over `instances`. Idle instances are stopped in the background while it lives; must be
    /// called inside a tokio runtime.
    pub fn start(instances: Arc<dyn Instances>, options: &InvokeOptions) -> Self {
        let limits =
            Limits { executions: options.concurrent_executions, requests: options.requests_per_execution };
        let (retiring, counters) = (Retiring::default(), Arc::<Counters>::default());
        let shelf = Shelf::start(options, retiring.clone(), counters.clone());
        let provisioning = Provisioning::start(
            instances.clone(),
            shelf.clone(),
            retiring.clone(),
            counters.clone(),
            options,
        );
        let inner = Arc::new(Inner {
            instances,
            shelf,
            concurrency: Concurrency::new(limits),
            provisioning,
            retiring,
            counters,
            turns: Turns::of(&options.one_at_a_time),
            idle: Notify::new(),
            asleep: AtomicBool::new(false),
        });
        tokio::spawn(keep_house(Arc::downgrade(&inner), options.freeze_after, options.idle_timeout));
        Self { inner }
    }

    /// Ends idle instances, those first that were not used for longest, while free memory is short, and starts none
    /// while it is very short.
    pub fn watch_memory(&self, memory: Arc<dyn Memory>) {
        self.inner.shelf.watch(memory);
    }

    /// Processes one event for somebody who waits for its end. The function runs to its end even if the caller stops
    /// waiting, as on AWS.
    pub async fn invoke(
        &self,
        function: Arc<FunctionSnapshot>,
        event: Event,
        wants: Wants,
    ) -> Result<Outcome, InvokeError> {
        self.process(function, event, wants, Request::Synchronous).await
    }

    /// Whether one more asynchronous request is taken in this second; its event then comes to
    /// [`Self::invoke_accepted`], when there is room for it.
    pub fn accept(&self, scope: &Scope) -> Result<(), InvokeError> {
        let accepted = self.inner.concurrency.accept(scope, Instant::now());
        accepted.inspect_err(|error| self.inner.counters.refused(error))
    }

    /// Processes an event that was accepted before: how many of them come in a second is not limited again.
    pub async fn invoke_accepted(
        &self,
        function: Arc<FunctionSnapshot>,
        event: Event,
        wants: Wants,
    ) -> Result<Outcome, InvokeError> {
        self.process(function, event, wants, Request::Accepted).await
    }

    async fn process(
        &self,
        function: Arc<FunctionSnapshot>,
        event: Event,
        wants: Wants,
        request: Request,
    ) -> Result<Outcome, InvokeError> {
        let turn = self.inner.turns.take(&function.key.name).await;
        let permit = self.inner.concurrency.acquire(&function.key, request, Instant::now());
        let permit = permit.inspect_err(|error| self.inner.counters.refused(error))?;
        let is_streamed = wants.stream.is_some();
        let run = self.inner.clone().run(function, event, wants, permit);
        let run = async move {
            let _turn = turn;
            run.await
        };
        let run = ToTheEnd::new(run);
        // Whoever takes a response in parts may not take any for long, and would not go on with this meanwhile.
        if is_streamed { run.elsewhere().await } else { run.await }
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
        let old = self.inner.shelf.pools().supersede(&function.key, &function.revision);
        self.inner.shelf.retire(old);
        // Whoever changes a function is about to try it.
        self.inner.instances.expect(function);
    }

    /// The function is gone: its idle instances are stopped, busy ones after their event. Those that are provisioned
    /// stay until [`Self::provision`] says otherwise.
    pub fn remove(&self, scope: &Scope, name: &FunctionName) {
        let old = self.inner.shelf.pools().remove(scope, name);
        self.inner.shelf.retire(old);
        self.inner.instances.forget(&|key| key.scope == *scope && key.name == *name);
    }

    /// One version is gone, in the same way.
    pub fn remove_version(&self, key: &FunctionKey) {
        let old = self.inner.shelf.pools().remove_version(key);
        self.inner.shelf.retire(old);
        self.inner.instances.forget(&|other| other == key);
    }

    /// Makes what instances of a published version begin with, see [`Instances::optimise`].
    pub async fn optimise(&self, function: Arc<FunctionSnapshot>) {
        self.inner.instances.optimise(function).await;
    }

    /// Stops all idle instances, and waits until nothing is left of them and of those stopped before.
    pub async fn shutdown(&self) {
        self.inner.provisioning.shutdown();
        let old = self.inner.shelf.pools().drain();
        self.inner.shelf.retire(old);
        self.inner.retiring.all_gone().await;
    }
}

impl Metrics for Invoker {
    fn counters(&self) -> Snapshot {
        self.inner.counters.snapshot()
    }

    fn instances(&self) -> InstancesNow {
        self.inner.shelf.now()
    }

    fn concurrency(&self, scope: &Scope) -> ConcurrencyNow {
        let (concurrent_executions, unreserved_concurrent_executions) =
            self.inner.concurrency.in_progress(scope);
        ConcurrencyNow { concurrent_executions, unreserved_concurrent_executions }
    }

    fn provisioned(&self, key: &FunctionKey) -> Option<ProvisionedMetrics> {
        self.inner.concurrency.provisioned(key)
    }

    fn all_provisioned(&self) -> Vec<(FunctionKey, ProvisionedMetrics)> {
        self.inner.concurrency.all_provisioned()
    }
}

impl Inner {
    async fn run(
        self: Arc<Self>,
        function: Arc<FunctionSnapshot>,
        event: Event,
        wants: Wants,
        permit: Permit,
    ) -> Result<Outcome, InvokeError> {
        let taken = self.take(&function, &permit).await;
        let taken = taken.inspect_err(|error| self.counters.refused(error))?;
        let instance: &dyn Instance = match &taken {
            Taken::Provisioned(_, instance) => &**instance,
            Taken::Pooled(instance) => &**instance,
        };
        let Delivery { outcome, reusable } = instance.deliver(event, wants).await?;
        match reusable {
            Some(reusable) => {
                // The permit goes first: whoever sees the response may use the place at once.
                drop(permit);
                if reusable {
                    self.give_back(&function, taken);
                }
            }
            // The caller has its answer; the place is taken until the instance is done.
            None => drop(tokio::spawn(async move {
                let reusable = match &taken {
                    Taken::Provisioned(_, instance) => instance.finish().await,
                    Taken::Pooled(instance) => instance.finish().await,
                };
                drop(permit);
                if reusable {
                    self.give_back(&function, taken);
                }
            })),
        }
        Ok(outcome)
    }

    /// Provisioned instances first; an event that is one too many for them spills over (CORE-174).
    async fn take(&self, function: &Arc<FunctionSnapshot>, permit: &Permit) -> Result<Taken, InvokeError> {
        if !permit.is_spilled()
            && let Some(lease) = self.provisioning.take(function)
            && let Some(instance) = lease.instance()
        {
            return Ok(Taken::Provisioned(lease, instance));
        }
        if let Some(instance) = self.shelf.warm(function) {
            return Ok(Taken::Pooled(instance));
        }
        match self.shelf.room_for(function).await? {
            Handed::Instance(instance) => Ok(Taken::Pooled(instance)),
            Handed::Place(place) => {
                let instance = self.instances.start(function.clone(), InitializationType::OnDemand).await?;
                self.counters.started.add(1);
                Ok(Taken::Pooled(self.shelf.placed(instance, place)))
            }
        }
    }

    /// Keeps an instance for its next event.
    fn give_back(&self, function: &FunctionSnapshot, taken: Taken) {
        let instance = match taken {
            Taken::Provisioned(lease, _) => return lease.give_back(),
            Taken::Pooled(instance) => instance,
        };
        if self.shelf.put(function, instance) && self.asleep.swap(false, Ordering::AcqRel) {
            self.idle.notify_one();
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
        let (due, next) = strong.shelf.pools().freeze(now, grace);
        for instance in due {
            instance.freeze();
        }
        let old = strong.shelf.pools().expire(now, limit);
        strong.counters.expired.add(old.len() as u64);
        strong.shelf.retire(old);
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
