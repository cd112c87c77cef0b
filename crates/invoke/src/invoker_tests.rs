use std::sync::atomic::AtomicUsize;

use bytes::Bytes;
use futures_util::future::BoxFuture;

use super::*;
use crate::fixtures::{self, event};
use crate::ports::Delivery;

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
