use std::sync::atomic::{AtomicU64, AtomicUsize};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use lambd_types::{ScalingRule, Version};

use super::*;
use crate::fixtures::{self, event};
use crate::ports::MemoryNow;

/// How long an instance takes to retire.
const RETIREMENT: Duration = Duration::from_millis(400);

/// Instances that answer with their own number after a second; payload `die` ends them, `refuse` does not
/// reach its function.
#[derive(Default)]
struct Fake {
    started: AtomicUsize,
    dropped: Arc<AtomicUsize>,
    retired: Arc<AtomicUsize>,
    freezes: Arc<AtomicUsize>,
}

impl Fake {
    /// Instances that have ended, and those of them that were allowed to end by themselves.
    fn ended(&self) -> (usize, usize) {
        (self.dropped.load(Ordering::SeqCst), self.retired.load(Ordering::SeqCst))
    }
}

struct FakeInstance {
    number: usize,
    alive: AtomicBool,
    dropped: Arc<AtomicUsize>,
    retired: Arc<AtomicUsize>,
    freezes: Arc<AtomicUsize>,
}

impl Drop for FakeInstance {
    fn drop(&mut self) {
        self.dropped.fetch_add(1, Ordering::SeqCst);
    }
}

impl Instances for Fake {
    fn start(
        &self,
        _: Arc<FunctionSnapshot>,
        _: InitializationType,
    ) -> BoxFuture<'_, Result<Arc<dyn Instance>, InvokeError>> {
        let number = self.started.fetch_add(1, Ordering::SeqCst);
        let (dropped, retired) = (self.dropped.clone(), self.retired.clone());
        let freezes = self.freezes.clone();
        Box::pin(async move {
            let alive = AtomicBool::new(true);
            Ok(Arc::new(FakeInstance { number, alive, dropped, retired, freezes }) as Arc<dyn Instance>)
        })
    }
}

impl Instance for FakeInstance {
    fn finish(&self) -> BoxFuture<'_, bool> {
        Box::pin(async {
            tokio::time::sleep(RETIREMENT).await;
            true
        })
    }
    fn deliver(&self, event: Event, _: Wants) -> BoxFuture<'_, Result<Delivery, InvokeError>> {
        Box::pin(async move {
            if event.payload == "refuse" {
                return Err(InvokeError::Environment("no room".into()));
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
            let payload = Bytes::from(self.number.to_string());
            Ok(Delivery {
                outcome: Outcome { payload, error: None, log_tail: None },
                reusable: (event.payload != "linger").then_some(event.payload != "die"),
            })
        })
    }
    fn initialise(&self) -> BoxFuture<'_, bool> {
        Box::pin(std::future::ready(true))
    }
    fn ended(&self) -> BoxFuture<'static, ()> {
        Box::pin(std::future::pending())
    }
    fn retire(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            tokio::time::sleep(RETIREMENT).await;
            self.retired.fetch_add(1, Ordering::SeqCst);
        })
    }
    fn freeze(&self) {
        self.freezes.fetch_add(1, Ordering::SeqCst);
    }
    fn is_alive(&self) -> bool {
        self.alive.load(Ordering::SeqCst)
    }
}

fn function() -> Arc<FunctionSnapshot> {
    fixtures::function(fixtures::key("f"))
}

fn engine(limit: usize) -> (Invoker, Arc<Fake>) {
    let fake = Arc::new(Fake::default());
    let options = InvokeOptions { concurrent_executions: limit, ..Default::default() };
    (Invoker::start(fake.clone(), &options), fake)
}

async fn invoke(invoker: &Invoker, function: &Arc<FunctionSnapshot>, payload: &'static str) -> Bytes {
    invoker.invoke(function.clone(), event(payload), Wants::default()).await.unwrap().payload
}

/// CORE-011, RT-26: one instance handles one event at a time and is reused afterwards.
#[tokio::test(start_paused = true)]
async fn concurrent_events_get_instances_of_their_own() {
    let (invoker, fake) = engine(10);
    let f = function();
    let (a, b) = tokio::join!(invoke(&invoker, &f, ""), invoke(&invoker, &f, ""));
    assert_ne!(a, b);
    invoke(&invoker, &f, "").await;
    assert_eq!(fake.started.load(Ordering::SeqCst), 2);
}

/// RT-27: an update makes new instances.
#[tokio::test(start_paused = true)]
async fn an_update_stops_idle_instances() {
    let (invoker, fake) = engine(10);
    let (old, new) = (function(), function());
    assert_eq!(invoke(&invoker, &old, "").await, "0");
    invoker.supersede(&new);
    let before = Instant::now();
    assert_eq!(invoke(&invoker, &new, "").await, "1");
    assert_eq!(before.elapsed(), Duration::from_secs(1), "no event waits for an old instance's end");
    assert_eq!(fake.ended(), (1, 1));
    assert_eq!(invoke(&invoker, &new, "").await, "1");
}

/// RT-27: an instance that is busy during an update ends after its event.
#[tokio::test(start_paused = true)]
async fn an_update_stops_busy_instances_later() {
    let (invoker, fake) = engine(10);
    let (old, new) = (function(), function());
    let busy = tokio::spawn({
        let (invoker, old) = (invoker.clone(), old.clone());
        async move { invoke(&invoker, &old, "").await }
    });
    tokio::time::sleep(Duration::from_millis(500)).await;
    invoker.supersede(&new);
    assert_eq!(busy.await.unwrap(), "0");
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(fake.ended(), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_removed_function_and_the_end_stop_what_is_idle() {
    let (invoker, fake) = engine(10);
    let f = function();
    invoke(&invoker, &f, "").await;
    invoker.remove(&f.key.scope, &f.key.name);
    let g = fixtures::function(fixtures::key("g"));
    invoke(&invoker, &g, "").await;
    let before = Instant::now();
    invoker.shutdown().await;
    assert_eq!((fake.ended(), before.elapsed()), ((2, 2), RETIREMENT), "it waits for their end");
}

/// An event that did not reach its function leaves neither its instance nor its place behind.
#[tokio::test(start_paused = true)]
async fn an_event_that_was_not_taken_is_an_error() {
    let (invoker, fake) = engine(1);
    let f = function();
    for _ in 0..2 {
        let refused = invoker.invoke(f.clone(), event("refuse"), Wants::default()).await;
        assert_eq!(refused.unwrap_err(), InvokeError::Environment("no room".into()));
    }
    assert_eq!(fake.ended(), (2, 0));
}

#[tokio::test(start_paused = true)]
async fn instances_that_failed_are_not_reused() {
    let (invoker, fake) = engine(10);
    let f = function();
    assert_eq!(invoke(&invoker, &f, "die").await, "0");
    assert_eq!(fake.dropped.load(Ordering::SeqCst), 1);
    assert_eq!(invoke(&invoker, &f, "").await, "1");
}

#[tokio::test(start_paused = true)]
async fn idle_instances_expire() {
    let (invoker, fake) = engine(10);
    let f = function();
    invoke(&invoker, &f, "").await;
    tokio::time::sleep(Duration::from_secs(800)).await;
    assert_eq!(fake.ended(), (1, 1));
}

/// RT-28: an instance without events is frozen once, soon after its last one.
#[tokio::test(start_paused = true)]
async fn idle_instances_are_frozen() {
    let (invoker, fake) = engine(10);
    let f = function();
    let freezes = || fake.freezes.load(Ordering::SeqCst);
    for round in 1..3 {
        invoke(&invoker, &f, "").await;
        invoke(&invoker, &f, "").await;
        assert_eq!(freezes(), round - 1, "not between back-to-back events");
        tokio::time::sleep(Duration::from_secs(5)).await;
        assert_eq!(freezes(), round);
    }
}

/// CORE-305: beyond the limit events are refused, and places come back.
#[tokio::test(start_paused = true)]
async fn the_account_limit_throttles() {
    let (invoker, _) = engine(1);
    let f = function();
    let first = tokio::spawn({
        let (invoker, f) = (invoker.clone(), f.clone());
        async move { invoke(&invoker, &f, "").await }
    });
    tokio::task::yield_now().await;
    let refused = invoker.invoke(f.clone(), event(""), Wants::default()).await;
    assert_eq!(refused.unwrap_err(), InvokeError::Throttled { limit: 1 });
    first.await.unwrap();
    invoke(&invoker, &f, "").await;
}

/// A caller that goes away does not stop its function.
#[tokio::test(start_paused = true)]
async fn an_abandoned_invocation_runs_to_its_end() {
    let (invoker, fake) = engine(10);
    let f = function();
    let gone = tokio::time::timeout(Duration::from_millis(10), invoke(&invoker, &f, "")).await;
    assert!(gone.is_err());
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(invoke(&invoker, &f, "").await, "0", "the instance came back to the pool");
    assert_eq!(fake.started.load(Ordering::SeqCst), 1);
}

/// The caller has the answer at once; instance and place are taken until the extensions are done.
#[tokio::test(start_paused = true)]
async fn an_answer_may_come_before_the_instance_is_done() {
    let (invoker, fake) = engine(2);
    let f = function();
    let before = Instant::now();
    assert_eq!(invoke(&invoker, &f, "linger").await, "0");
    assert_eq!(before.elapsed(), Duration::from_secs(1));
    let second = tokio::spawn({
        let (invoker, f) = (invoker.clone(), f.clone());
        async move { invoke(&invoker, &f, "").await }
    });
    tokio::task::yield_now().await;
    let third = invoker.invoke(f.clone(), event(""), Wants::default()).await;
    assert!(third.is_err(), "both places are taken");
    assert_eq!(second.await.unwrap(), "1", "the first instance was busy");
    invoke(&invoker, &f, "").await;
    assert_eq!(fake.started.load(Ordering::SeqCst), 2);
}

/// An engine with room for so many instances on the machine, and so many of a function.
fn small(instances: usize, of_function: usize, waiting: usize) -> (Invoker, Arc<Fake>) {
    let fake = Arc::new(Fake::default());
    let options = InvokeOptions {
        max_instances: Some(instances),
        max_instances_per_function: Some(of_function),
        max_waiting: waiting,
        wait_for_room: Duration::from_secs(3),
        scaling: ScalingRule::Off,
        ..Default::default()
    };
    (Invoker::start(fake.clone(), &options), fake)
}

fn named(name: &str) -> Arc<FunctionSnapshot> {
    fixtures::function(fixtures::key(name))
}

fn begin(
    invoker: &Invoker,
    function: &Arc<FunctionSnapshot>,
) -> tokio::task::JoinHandle<Result<Bytes, InvokeError>> {
    let (invoker, function) = (invoker.clone(), function.clone());
    tokio::spawn(async move {
        invoker.invoke(function, event(""), Wants::default()).await.map(|outcome| outcome.payload)
    })
}

/// Lets everything happen that can.
async fn settle() {
    tokio::time::sleep(Duration::from_millis(1)).await;
}

/// On a full machine the idle instance goes that was not used for longest, whosever it is.
#[tokio::test(start_paused = true)]
async fn idle_instances_make_room_for_others() {
    let (invoker, fake) = small(2, 9, 9);
    let [f, g, h] = ["f", "g", "h"].map(named);
    assert_eq!(invoke(&invoker, &f, "").await, "0");
    assert_eq!(invoke(&invoker, &g, "").await, "1");
    assert_eq!(invoke(&invoker, &f, "").await, "0");
    let before = Instant::now();
    assert_eq!(invoke(&invoker, &h, "").await, "2");
    assert_eq!(before.elapsed(), RETIREMENT + Duration::from_secs(1), "after the other has ended");
    assert_eq!(fake.ended(), (1, 1));
    assert_eq!(invoke(&invoker, &f, "").await, "0", "this one was used later");
    assert_eq!(invoker.counters().evicted_for_room, 1);
    let now = invoker.instances();
    assert_eq!((now.total, now.idle, now.most, now.waiting), (2, 2, 2, 0));
}

/// Where all are busy, events wait in line for what comes free, and not for ever.
#[tokio::test(start_paused = true)]
async fn events_wait_in_line_on_a_full_machine() {
    let (invoker, fake) = small(1, 9, 3);
    let [f, g] = ["f", "g"].map(named);
    let before = Instant::now();
    let first = begin(&invoker, &f);
    settle().await;
    let (second, third, fourth) = (begin(&invoker, &f), begin(&invoker, &g), begin(&invoker, &f));
    settle().await;
    assert_eq!(invoker.instances().waiting, 3);
    let full = InvokeError::MachineFull {
        reason: "all 1 instances that this machine has room for are in use".into(),
    };
    assert_eq!(begin(&invoker, &f).await.unwrap().unwrap_err(), full, "the line is full");
    assert_eq!(first.await.unwrap().unwrap(), "0");
    // The instance goes from event to event of its function, and then makes room.
    assert_eq!(second.await.unwrap().unwrap(), "0");
    assert_eq!(fourth.await.unwrap().unwrap(), "0");
    assert_eq!(third.await.unwrap().unwrap_err(), full, "it has waited long enough");
    assert_eq!(before.elapsed().as_secs(), 3);
    assert_eq!(fake.started.load(Ordering::SeqCst), 1);
    settle().await;
    assert_eq!(invoke(&invoker, &g, "").await, "1");
    let counters = invoker.counters();
    assert_eq!((counters.throttled_machine, counters.started, counters.waited), (2, 2, 4));
}

/// CORE-174 is about executions; what a function may have of the machine is another limit, in nobody else's way.
#[tokio::test(start_paused = true)]
async fn one_function_cannot_have_the_whole_machine() {
    let (invoker, fake) = small(9, 1, 9);
    let [f, g] = ["f", "g"].map(named);
    let busy = [begin(&invoker, &f), begin(&invoker, &f)];
    let before = Instant::now();
    assert_eq!(begin(&invoker, &g).await.unwrap().unwrap().len(), 1);
    assert_eq!(before.elapsed(), Duration::from_secs(1), "others need not wait");
    for busy in busy {
        busy.await.unwrap().unwrap();
    }
    assert_eq!(before.elapsed(), Duration::from_secs(2), "one after the other");
    assert_eq!(fake.started.load(Ordering::SeqCst), 2);
    // Another version of it takes the place of an idle one.
    let version = fixtures::function(FunctionKey { version: Version::Published(1), ..fixtures::key("f") });
    invoke(&invoker, &version, "").await;
    assert_eq!(fake.ended().0, 1);
}

/// Whatever becomes of instances and events, room comes back.
#[tokio::test(start_paused = true)]
async fn room_comes_back() {
    let (invoker, _) = small(2, 2, 9);
    let f = named("f");
    for payload in ["die", "refuse", "linger", "die", "refuse", "linger"] {
        let _ = invoker.invoke(f.clone(), event(payload), Wants::default()).await;
        tokio::time::sleep(RETIREMENT).await;
    }
    assert_eq!(invoker.instances().total, 1, "the one that lingered is idle");
    invoker.remove(&f.key.scope, &f.key.name);
    tokio::time::sleep(RETIREMENT * 2).await;
    assert_eq!(invoker.instances().total, 0);
    let gone = begin(&invoker, &f);
    let caller = begin(&invoker, &f);
    let waits = begin(&invoker, &f);
    settle().await;
    waits.abort();
    caller.abort();
    gone.await.unwrap().unwrap();
    tokio::time::sleep(Duration::from_secs(9)).await;
    let now = invoker.instances();
    assert_eq!((now.total, now.idle, now.waiting), (2, 2, 0));
}

/// CORE-303, CORE-304, CORE-305: so many at once, then one after the other; warm ones are no new ones, and one that has
/// ended makes room for another.
#[tokio::test(start_paused = true)]
async fn instances_become_more_at_a_pace() {
    let fake = Arc::new(Fake::default());
    let scaling = "region:2+6".parse().unwrap();
    let invoker = Invoker::start(fake.clone(), &InvokeOptions { scaling, ..Default::default() });
    let f = named("f");
    let [a, b, c] = [(); 3].map(|()| begin(&invoker, &f));
    assert_eq!((a.await.unwrap().is_ok(), b.await.unwrap().is_ok()), (true, true));
    let wait = match c.await.unwrap().unwrap_err() {
        InvokeError::Scaling { wait } => wait,
        other => panic!("{other}"),
    };
    assert_eq!(wait, Duration::from_secs(10));
    let ok = async |events: usize| {
        let events: Vec<_> = (0..events).map(|_| begin(&invoker, &f)).collect();
        let mut ok = 0;
        for event in events {
            ok += usize::from(event.await.unwrap().is_ok());
        }
        ok
    };
    assert_eq!(ok(3).await, 2, "those that there are take events");
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(ok(5).await, 3, "and one more");
    invoke(&invoker, &f, "die").await;
    assert_eq!(ok(5).await, 3);
    assert_eq!(invoker.counters().throttled_scaling, 1 + 1 + 2 + 2);
    assert_eq!(fake.started.load(Ordering::SeqCst), 4);
}

/// An instance that is old is not used again, however busy it is; those of one moment do not end in one.
#[tokio::test(start_paused = true)]
async fn instances_are_recycled() {
    let fake = Arc::new(Fake::default());
    let options = InvokeOptions { recycle_after: Some(Duration::from_secs(800)), ..Default::default() };
    let invoker = Invoker::start(fake.clone(), &options);
    let f = function();
    let start = Instant::now();
    let mut ends = Vec::new();
    while ends.len() < 4 {
        let (a, b) = tokio::join!(invoke(&invoker, &f, ""), invoke(&invoker, &f, ""));
        assert_ne!(a, b);
        let recycled = invoker.counters().recycled as usize;
        ends.resize(recycled, start.elapsed().as_secs());
    }
    assert!(ends[..2].iter().all(|end| (700..=801).contains(end)), "{ends:?}");
    assert_ne!(ends[0], ends[1]);
    assert!(ends[2..].iter().all(|end| (1400..=1602).contains(end)), "{ends:?}");
}

/// Memory that the test sets.
struct Machine(AtomicU64);

impl Memory for Machine {
    fn read(&self) -> Option<MemoryNow> {
        let available = self.0.load(Ordering::SeqCst);
        Some(MemoryNow { total: 1000, available, stalled: 0.0 })
    }
}

#[tokio::test(start_paused = true)]
async fn short_memory_ends_idle_instances_and_stops_new_ones() {
    let fake = Arc::new(Fake::default());
    let options = InvokeOptions {
        min_free_memory: Some(100),
        wait_for_room: Duration::from_millis(950),
        ..Default::default()
    };
    let invoker = Invoker::start(fake.clone(), &options);
    let machine = Arc::new(Machine(AtomicU64::new(100)));
    invoker.watch_memory(machine.clone());
    let f = named("f");
    for event in [(); 9].map(|()| begin(&invoker, &f)) {
        event.await.unwrap().unwrap();
    }
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(invoker.instances().idle, 9, "there is enough");
    machine.0.store(99, Ordering::SeqCst);
    tokio::time::sleep(Duration::from_millis(1100)).await;
    let now = invoker.instances();
    assert!(now.memory_is_short && (1..8).contains(&now.idle), "a part of them: {now:?}");
    assert_eq!(begin(&invoker, &named("g")).await.unwrap().unwrap().len(), 1, "others still start");
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(invoker.instances().idle, 0);
    machine.0.store(49, Ordering::SeqCst);
    tokio::time::sleep(Duration::from_secs(1)).await;
    let busy = begin(&invoker, &f);
    settle().await;
    let refused = InvokeError::MachineFull {
        reason: "this machine has too little free memory for another instance".into(),
    };
    assert_eq!(begin(&invoker, &named("g")).await.unwrap().unwrap_err(), refused, "beside the first");
    busy.await.unwrap().unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let busy = begin(&invoker, &f);
    tokio::time::sleep(Duration::from_millis(600)).await;
    let waits = begin(&invoker, &named("g"));
    busy.await.unwrap().unwrap();
    waits.await.unwrap().unwrap();
    machine.0.store(500, Ordering::SeqCst);
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(!invoker.instances().memory_is_short);
    for event in [(); 3].map(|()| begin(&invoker, &f)) {
        event.await.unwrap().unwrap();
    }
}

/// CORE-080: by default ten requests a second for each execution of the account; what was accepted before is not
/// counted again.
#[tokio::test(start_paused = true)]
async fn requests_that_come_too_fast_are_refused() {
    let (invoker, fake) = engine(1);
    let f = function();
    for _ in 0..10 {
        invoke(&invoker, &f, "die").await;
        invoker.accept(&f.key.scope).unwrap();
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    for _ in 0..10 {
        invoker.accept(&f.key.scope).unwrap();
    }
    let refused = invoker.accept(&f.key.scope).unwrap_err();
    assert_eq!(refused.retry_after(), Some(Duration::from_millis(100)));
    invoker.invoke_accepted(f.clone(), event(""), Wants::default()).await.unwrap();
    assert_eq!(invoker.counters().throttled_rate, 1);
    assert_eq!(fake.started.load(Ordering::SeqCst), 11);
}
