use std::sync::atomic::AtomicUsize;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use lambd_types::invocation::{FunctionError, InitializationType, Outcome};
use lambd_types::{FunctionSnapshot, ManualClock, RequestId, RevisionId, UnixMillis};

use super::*;
use crate::ports::{Delivery, EventLimits, Instance, Instances};
use crate::{InvokeError, RetryPolicy, fixtures};

/// A store in memory whose removals can be made to fail.
#[derive(Default)]
struct Memory {
    events: Mutex<Vec<(QueuedEvent, UnixMillis)>>,
    failures: AtomicUsize,
}

impl EventStore for Memory {
    fn push(&self, event: QueuedEvent) -> BoxFuture<'_, Result<(), PortError>> {
        let due = event.accepted_at;
        self.events.lock().unwrap().push((event, due));
        Box::pin(async { Ok(()) })
    }
    fn due(
        &self,
        now: UnixMillis,
        limit: usize,
        busy: Busy,
    ) -> BoxFuture<'_, Result<Vec<QueuedEvent>, PortError>> {
        let events = self.events.lock().unwrap();
        let free = |e: &QueuedEvent| {
            !busy.events.contains(&e.event.request_id)
                && !busy.functions.contains(&(e.target.scope.clone(), e.target.name.clone()))
        };
        let due = events.iter().filter(|(e, at)| *at <= now && free(e)).take(limit).map(|(e, _)| e.clone());
        let due = due.collect();
        // As with a real store, others run between the question and the answer.
        Box::pin(async move {
            tokio::time::sleep(Duration::from_millis(3)).await;
            Ok(due)
        })
    }
    fn next_due(&self, now: UnixMillis) -> BoxFuture<'_, Result<Option<UnixMillis>, PortError>> {
        let next = self.events.lock().unwrap().iter().map(|(_, at)| *at).filter(|at| *at > now).min();
        Box::pin(async move { Ok(next) })
    }
    fn postpone(&self, event: QueuedEvent, until: UnixMillis) -> BoxFuture<'_, Result<(), PortError>> {
        let mut events = self.events.lock().unwrap();
        let slot = events.iter_mut().find(|(e, _)| e.event.request_id == event.event.request_id).unwrap();
        *slot = (event, until);
        Box::pin(async { Ok(()) })
    }
    fn remove(&self, id: RequestId) -> BoxFuture<'_, Result<(), PortError>> {
        let failing = |left: usize| left.checked_sub(1);
        if self.failures.fetch_update(Ordering::SeqCst, Ordering::SeqCst, failing).is_ok() {
            return Box::pin(async { Err(PortError { text: "disk full".into(), disk_full: true }) });
        }
        self.events.lock().unwrap().retain(|(e, _)| e.event.request_id != id);
        Box::pin(async { Ok(()) })
    }
}

/// Every function exists; `slow` takes an hour, others 2 ms. Payload `fail` fails.
#[derive(Clone, Default)]
struct World {
    runs: Arc<Mutex<Vec<String>>>,
}

impl Functions for World {
    fn snapshot(
        &self,
        target: &FunctionTarget,
    ) -> BoxFuture<'_, Result<Option<Arc<FunctionSnapshot>>, PortError>> {
        let snapshot = FunctionSnapshot {
            revision: RevisionId::from_stored("1".into()),
            ..(*fixtures::function(fixtures::key(target.name.as_str()))).clone()
        };
        Box::pin(async move { Ok(Some(Arc::new(snapshot))) })
    }

    fn event_limits(&self, target: &FunctionTarget) -> BoxFuture<'_, Result<EventLimits, PortError>> {
        let is = |name: &str| target.name.as_str() == name;
        let limits = EventLimits { retries: is("once").then_some(0), max_age: is("brief").then_some(60_000) };
        Box::pin(async move { Ok(limits) })
    }
}

impl Instances for World {
    fn start(
        &self,
        function: Arc<FunctionSnapshot>,
        _: InitializationType,
    ) -> BoxFuture<'_, Result<Arc<dyn Instance>, InvokeError>> {
        let instance = WorldInstance { world: self.clone(), slow: function.key.name.as_str() == "slow" };
        Box::pin(async move { Ok(Arc::new(instance) as Arc<dyn Instance>) })
    }
}

struct WorldInstance {
    world: World,
    slow: bool,
}

impl Instance for WorldInstance {
    fn finish(&self) -> BoxFuture<'_, bool> {
        Box::pin(std::future::ready(true))
    }
    fn deliver(&self, event: Event, _: Wants) -> BoxFuture<'_, Result<Delivery, InvokeError>> {
        Box::pin(async move {
            self.world.runs.lock().unwrap().push(event.request_id.to_string());
            let time = if self.slow { Duration::from_secs(3600) } else { Duration::from_millis(2) };
            tokio::time::sleep(time).await;
            let error = (event.payload == "fail").then_some(FunctionError::Unhandled);
            let outcome = Outcome { payload: Bytes::new(), error, log_tail: None };
            Ok(Delivery { outcome, reusable: Some(true) })
        })
    }
    fn initialise(&self) -> BoxFuture<'_, bool> {
        Box::pin(std::future::ready(true))
    }
    fn ended(&self) -> BoxFuture<'static, ()> {
        Box::pin(std::future::pending())
    }
    fn freeze(&self) {}
    fn is_alive(&self) -> bool {
        true
    }
    fn retire(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {})
    }
}

struct Setup {
    queue: AsyncQueue,
    store: Arc<Memory>,
    world: World,
    clock: ManualClock,
}

fn setup() -> Setup {
    let (store, world, clock) = (Arc::new(Memory::default()), World::default(), ManualClock::default());
    let retry = RetryPolicy { after_function_error: vec![60_000], ..Default::default() };
    let options = InvokeOptions { retry, ..Default::default() };
    let invoker = Invoker::start(Arc::new(world.clone()), &options);
    let functions = Arc::new(world.clone());
    let queue = AsyncQueue::start(store.clone(), functions, invoker, Arc::new(clock.clone()), options);
    Setup { queue, store, world, clock }
}

impl Setup {
    async fn push(&self, function: &str, payload: &'static str) {
        self.queue.push(fixtures::target(function), fixtures::event(payload)).await.unwrap();
    }

    fn runs(&self) -> usize {
        self.world.runs.lock().unwrap().len()
    }

    fn waiting(&self) -> usize {
        self.store.events.lock().unwrap().len()
    }
}

/// Without a crash an event runs once, however the store's answers and the events' ends overlap.
#[tokio::test(start_paused = true)]
async fn every_event_runs_once() {
    let s = setup();
    for _ in 0..300 {
        s.push("f", "").await;
        tokio::time::sleep(Duration::from_micros(700)).await;
    }
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!((s.runs(), s.waiting()), (300, 0));
}

/// CORE-254: a failed event waits its minute and is then given up after its last attempt.
#[tokio::test(start_paused = true)]
async fn a_failed_event_waits_for_its_retry() {
    let s = setup();
    s.push("f", "fail").await;
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!((s.runs(), s.waiting()), (1, 1));
    s.clock.advance(60_100);
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!((s.runs(), s.waiting()), (2, 0));
}

/// CORE-261: a function that is to be tried once is not tried again.
#[tokio::test(start_paused = true)]
async fn a_function_s_own_limit_counts() {
    let s = setup();
    s.push("once", "fail").await;
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!((s.runs(), s.waiting()), (1, 0));
}

/// CORE-261: an event that has waited longer than its function allows is given up without an attempt, be it for the
/// queue or for its retry.
#[tokio::test(start_paused = true)]
async fn an_event_that_is_too_old_is_not_tried() {
    let s = setup();
    // Its retry is due at the last moment at which it may be tried, and comes later.
    s.push("brief", "fail").await;
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!((s.runs(), s.waiting()), (1, 1));
    s.clock.advance(60_001);
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!((s.runs(), s.waiting()), (1, 0));

    // All of the function's share is taken by others while it gets old.
    let accepted_at = s.clock.now();
    s.clock.advance(60_001);
    let (target, event) = (fixtures::target("brief"), fixtures::event(""));
    s.store
        .push(QueuedEvent { target, event, accepted_at, function_errors: 0, system_errors: 0 })
        .await
        .unwrap();
    s.push("f", "").await;
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!((s.runs(), s.waiting()), (2, 0), "the other event only");
}

/// A function that takes long, however often it is called, leaves room for others.
#[tokio::test(start_paused = true)]
async fn a_slow_function_does_not_delay_others() {
    let s = setup();
    for _ in 0..200 {
        s.push("slow", "").await;
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(s.runs(), 16, "its share");
    s.push("f", "").await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(s.runs(), 17);
}

/// A store that fails for a while costs no event a second run.
#[tokio::test(start_paused = true)]
async fn only_the_record_of_an_outcome_is_repeated() {
    let s = setup();
    s.store.failures.store(5, Ordering::SeqCst);
    s.push("f", "").await;
    tokio::time::sleep(Duration::from_secs(30)).await;
    assert_eq!((s.runs(), s.waiting()), (1, 0));
}

/// What a stopping daemon waits for is settled; what it cuts off stays as it was.
#[tokio::test(start_paused = true)]
async fn stopping_waits_and_then_leaves_events_as_they_are() {
    let s = setup();
    s.push("f", "").await;
    s.push("slow", "").await;
    tokio::time::sleep(Duration::from_millis(5)).await;
    s.queue.stop(Duration::from_secs(30)).await;
    assert_eq!((s.runs(), s.waiting()), (2, 1));
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(s.store.events.lock().unwrap()[0].0.function_errors, 0);
}
