use std::sync::atomic::AtomicUsize;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use lambd_types::invocation::{Event, Outcome, Wants};
use lambd_types::{Qualifier, Version};

use super::*;
use crate::fixtures::{self, event};
use crate::metrics::Metrics;
use crate::ports::Delivery;
use crate::{InvokeError, Invoker};

/// How long an initialisation takes.
const INIT: Duration = Duration::from_secs(5);

/// Instances that initialise for a while and answer with their own number; payload `die` ends them.
#[derive(Default)]
struct Fake {
    started: AtomicUsize,
    initialising: AtomicUsize,
    most_initialising: AtomicUsize,
    retired: AtomicUsize,
    freezes: AtomicUsize,
    /// Initialisations that are to fail.
    failures: AtomicUsize,
    alive: Mutex<Vec<Arc<Fate>>>,
}

/// Whether an instance has ended.
#[derive(Default)]
struct Fate {
    ended: AtomicBool,
    tell: Notify,
}

impl Fate {
    fn end(&self) {
        self.ended.store(true, Ordering::SeqCst);
        self.tell.notify_waiters();
    }
}

struct FakeInstance {
    number: usize,
    initialization: InitializationType,
    world: Arc<Fake>,
    fate: Arc<Fate>,
}

struct World(Arc<Fake>);

impl Instances for World {
    fn start(
        &self,
        _: Arc<FunctionSnapshot>,
        initialization: InitializationType,
    ) -> BoxFuture<'_, Result<Arc<dyn Instance>, InvokeError>> {
        let (world, fate) = (self.0.clone(), Arc::<Fate>::default());
        let number = world.started.fetch_add(1, Ordering::SeqCst);
        world.alive.lock().unwrap().push(fate.clone());
        let instance = FakeInstance { number, initialization, world, fate };
        Box::pin(async move { Ok(Arc::new(instance) as Arc<dyn Instance>) })
    }
}

impl Instance for FakeInstance {
    fn finish(&self) -> BoxFuture<'_, bool> {
        Box::pin(std::future::ready(true))
    }
    fn deliver(&self, event: Event, _: Wants) -> BoxFuture<'_, Result<Delivery, InvokeError>> {
        Box::pin(async move {
            tokio::time::sleep(Duration::from_secs(1)).await;
            let reusable = event.payload != "die";
            if !reusable {
                self.fate.end();
            }
            let payload = Bytes::from(format!("{} {}", self.initialization.as_str(), self.number));
            Ok(Delivery {
                outcome: Outcome { payload, error: None, log_tail: None },
                reusable: Some(reusable),
            })
        })
    }
    fn initialise(&self) -> BoxFuture<'_, bool> {
        Box::pin(async {
            let world = &self.world;
            let now = world.initialising.fetch_add(1, Ordering::SeqCst) + 1;
            world.most_initialising.fetch_max(now, Ordering::SeqCst);
            let ended = self.ended();
            let slept = tokio::select! {
                () = ended => false,
                () = tokio::time::sleep(INIT) => true,
            };
            world.initialising.fetch_sub(1, Ordering::SeqCst);
            let failing = |left: usize| left.checked_sub(1);
            slept && world.failures.fetch_update(Ordering::SeqCst, Ordering::SeqCst, failing).is_err()
        })
    }
    fn ended(&self) -> BoxFuture<'static, ()> {
        let fate = self.fate.clone();
        Box::pin(async move {
            let told = fate.tell.notified();
            if !fate.ended.load(Ordering::SeqCst) {
                told.await;
            }
        })
    }
    fn freeze(&self) {
        self.world.freezes.fetch_add(1, Ordering::SeqCst);
    }
    fn is_alive(&self) -> bool {
        !self.fate.ended.load(Ordering::SeqCst)
    }
    fn retire(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            self.world.retired.fetch_add(1, Ordering::SeqCst);
            self.fate.end();
        })
    }
}

fn engine(limit: usize, at_once: usize) -> (Invoker, Arc<Fake>) {
    let fake = Arc::new(Fake::default());
    let options =
        InvokeOptions { concurrent_executions: limit, provisioning_at_once: at_once, ..Default::default() };
    (Invoker::start(Arc::new(World(fake.clone())), &options), fake)
}

fn version(number: u64) -> Arc<FunctionSnapshot> {
    fixtures::function(FunctionKey { version: Version::Published(number), ..fixtures::key("f") })
}

fn provision(invoker: &Invoker, wanted: &[(&Arc<FunctionSnapshot>, usize)]) {
    let target = fixtures::target("f");
    assert_eq!(target.qualifier, Qualifier::Version(Version::Latest));
    let wanted = wanted.iter().map(|(function, executions)| Wanted {
        key: function.key.clone(),
        executions: *executions,
        function: Ok(Some((*function).clone())),
    });
    invoker.provision(&target.scope, &target.name, wanted.collect());
}

async fn invoke(invoker: &Invoker, function: &Arc<FunctionSnapshot>, payload: &'static str) -> String {
    let outcome = invoker.invoke(function.clone(), event(payload), Wants::default()).await.unwrap();
    String::from_utf8(outcome.payload.to_vec()).unwrap()
}

fn state(invoker: &Invoker, function: &FunctionSnapshot) -> Option<(usize, usize)> {
    invoker.provisioned(&function.key).map(|a| (a.allocated, a.available))
}

async fn seconds(count: u64) {
    tokio::time::sleep(Duration::from_secs(count)).await;
}

/// CORE-172, CORE-174: warm from the first event, and what is too much for them spills over.
#[tokio::test(start_paused = true)]
async fn provisioned_instances_come_first() {
    let (invoker, fake) = engine(10, 16);
    let f = version(1);
    provision(&invoker, &[(&f, 2)]);
    assert_eq!(state(&invoker, &f), Some((0, 0)));
    seconds(6).await;
    assert_eq!(state(&invoker, &f), Some((2, 2)));
    assert_eq!(fake.freezes.load(Ordering::SeqCst), 2, "RT-28");
    let (a, b, c) =
        tokio::join!(invoke(&invoker, &f, ""), invoke(&invoker, &f, ""), invoke(&invoker, &f, ""));
    let mut kinds = [a, b, c];
    kinds.sort();
    assert_eq!(kinds, ["on-demand 2", "provisioned-concurrency 0", "provisioned-concurrency 1"]);
    assert_eq!(state(&invoker, &f), Some((2, 2)));
    assert!(invoke(&invoker, &f, "").await.starts_with("provisioned-concurrency"));
    assert_eq!(invoke(&invoker, &version(2), "").await, "on-demand 3", "other versions have none");
    // Idle expiry does not touch them.
    seconds(2000).await;
    assert_eq!((state(&invoker, &f), fake.retired.load(Ordering::SeqCst)), (Some((2, 2)), 2));
}

/// An event that comes before the instances are there is processed all the same, in their place.
#[tokio::test(start_paused = true)]
async fn executions_count_before_their_instances_are_there() {
    let (invoker, _) = engine(3, 16);
    let (f, g) = (version(1), version(2));
    provision(&invoker, &[(&f, 2)]);
    let held =
        tokio::join!(invoke(&invoker, &f, ""), invoke(&invoker, &f, ""), invoke(&invoker, &g, ""), async {
            tokio::task::yield_now().await;
            let refused = invoker.invoke(g.clone(), event(""), Wants::default()).await;
            assert_eq!(refused.unwrap_err(), InvokeError::Throttled { limit: 1 });
        });
    assert!(held.0.starts_with("on-demand"));
}

/// CORE-179: the instances of the old version end, those of the new one begin; busy ones finish their event.
#[tokio::test(start_paused = true)]
async fn they_move_to_another_version_and_end() {
    let (invoker, fake) = engine(10, 16);
    let (old, new) = (version(1), version(2));
    provision(&invoker, &[(&old, 2)]);
    seconds(6).await;
    let busy = tokio::spawn({
        let (invoker, old) = (invoker.clone(), old.clone());
        async move { invoke(&invoker, &old, "").await }
    });
    tokio::task::yield_now().await;
    provision(&invoker, &[(&new, 1)]);
    assert_eq!((state(&invoker, &old), state(&invoker, &new)), (None, Some((0, 0))));
    assert!(busy.await.unwrap().starts_with("provisioned-concurrency"));
    seconds(6).await;
    assert_eq!(fake.retired.load(Ordering::SeqCst), 2);
    assert_eq!(invoke(&invoker, &new, "").await, "provisioned-concurrency 2");
    provision(&invoker, &[]);
    seconds(1).await;
    assert_eq!((state(&invoker, &new), fake.retired.load(Ordering::SeqCst)), (None, 3));
    assert_eq!(invoke(&invoker, &new, "").await, "on-demand 3");
}

/// One that ends, idle or at its event, is replaced.
#[tokio::test(start_paused = true)]
async fn dead_instances_are_replaced() {
    let (invoker, fake) = engine(10, 16);
    let f = version(1);
    provision(&invoker, &[(&f, 1)]);
    seconds(30).await;
    let end = |number: usize| fake.alive.lock().unwrap()[number].end();
    end(0);
    seconds(1).await;
    assert_eq!(state(&invoker, &f), Some((0, 0)));
    seconds(5).await;
    assert_eq!(state(&invoker, &f), Some((1, 1)));
    assert_eq!(invoke(&invoker, &f, "die").await, "provisioned-concurrency 1");
    seconds(6).await;
    assert_eq!(invoke(&invoker, &f, "").await, "provisioned-concurrency 2");
    // It ends a moment before an event comes: the event does not wait for that to be noticed.
    end(2);
    assert_eq!(invoke(&invoker, &f, "").await, "on-demand 3");
}

/// What is given up while it initialises ends at once, and is no failure.
#[tokio::test(start_paused = true)]
async fn an_allocation_can_be_given_up_half_way() {
    let (invoker, fake) = engine(10, 2);
    let f = version(1);
    provision(&invoker, &[(&f, 5)]);
    seconds(1).await;
    provision(&invoker, &[]);
    seconds(20).await;
    assert_eq!((fake.started.load(Ordering::SeqCst), fake.retired.load(Ordering::SeqCst)), (2, 2));
    provision(&invoker, &[(&f, 5)]);
    seconds(20).await;
    assert_eq!(state(&invoker, &f), Some((5, 5)));
    assert_eq!(fake.most_initialising.load(Ordering::SeqCst), 2);
    invoker.shutdown().await;
    assert_eq!(fake.retired.load(Ordering::SeqCst), 7);
}

#[tokio::test(start_paused = true)]
async fn failures_are_told_and_overcome() {
    let (invoker, fake) = engine(10, 16);
    let f = version(1);
    fake.failures.store(3, Ordering::SeqCst);
    provision(&invoker, &[(&f, 1)]);
    let failure = || invoker.provisioned(&f.key).unwrap().failure;
    seconds(6).await;
    assert_eq!(failure(), None, "one failure is no failure");
    seconds(11).await;
    assert_eq!(failure(), Some(Failure::Initialisation));
    assert_eq!(invoke(&invoker, &f, "").await, "on-demand 3", "events are not kept waiting for that");
    seconds(10).await;
    assert_eq!((failure(), state(&invoker, &f)), (None, Some((1, 1))));
}

/// CORE-177, CORE-181: initialised anew after its time, without a moment in which fewer are there; the metrics go on.
#[tokio::test(start_paused = true)]
async fn provisioned_instances_are_initialised_anew() {
    let fake = Arc::new(Fake::default());
    let options = InvokeOptions { recycle_after: Some(Duration::from_secs(3600)), ..Default::default() };
    let invoker = Invoker::start(Arc::new(World(fake.clone())), &options);
    let f = version(1);
    let wanted = Wanted { key: f.key.clone(), executions: 2, function: Ok(Some(f.clone())) };
    invoker.provision(&f.key.scope, &f.key.name, vec![wanted]);
    tokio::time::sleep(INIT * 2).await;
    let both = |allocation: Option<Allocation>| assert_eq!(allocation.unwrap().allocated, 2);
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(3800) {
        both(invoker.provisioned(&f.key));
        invoker.invoke(f.clone(), event(""), Wants::default()).await.unwrap();
        tokio::time::sleep(Duration::from_millis(1500)).await;
    }
    let counters = invoker.counters();
    assert_eq!((counters.recycled, fake.started.load(Ordering::SeqCst)), (2, 4));
    assert_eq!(fake.retired.load(Ordering::SeqCst), 2);
    let metrics = Metrics::provisioned(&invoker, &f.key).unwrap();
    assert_eq!((metrics.invocations, metrics.spillover_invocations), (1520, 0));
    assert_eq!((metrics.concurrent_executions, metrics.utilization()), (0, 0.0));
}

/// CORE-307: they too become more at a pace, and wait for it.
#[tokio::test(start_paused = true)]
async fn provisioned_instances_become_more_at_a_pace() {
    let fake = Arc::new(Fake::default());
    let scaling = "region:2+6".parse().unwrap();
    let invoker =
        Invoker::start(Arc::new(World(fake.clone())), &InvokeOptions { scaling, ..Default::default() });
    let f = version(1);
    let wanted = Wanted { key: f.key.clone(), executions: 4, function: Ok(Some(f.clone())) };
    invoker.provision(&f.key.scope, &f.key.name, vec![wanted]);
    let mut seen = Vec::new();
    for _ in 0..4 {
        tokio::time::sleep(Duration::from_secs(9)).await;
        seen.push(invoker.provisioned(&f.key).unwrap().allocated);
    }
    assert_eq!(seen, [2, 3, 4, 4]);
}
