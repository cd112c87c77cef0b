use std::collections::BTreeMap;
use std::sync::atomic::AtomicUsize;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use lambd_types::invocation::{FunctionError, InitializationType, Outcome, Wants};
use lambd_types::{FunctionSnapshot, ManualClock, RevisionId, function_arn, lineage};

use super::*;
use crate::ports::{
    Content, Delivery, DeliveryError, EventSettings, EventSummary, Instance, Instances, Parcel,
};
use crate::{InvokeError, RetryPolicy, fixtures};

mod model;

/// A store in memory whose removals can be made to fail.
#[derive(Default)]
struct Memory {
    queues: Mutex<Vec<FunctionQueue>>,
    events: Mutex<BTreeMap<i64, (i64, QueuedEvent)>>,
    failures: AtomicUsize,
}

impl Memory {
    fn id(&self, scope: &Scope, name: &FunctionName) -> i64 {
        let mut queues = self.queues.lock().unwrap();
        if let Some(queue) = queues.iter().find(|queue| queue.name == *name && queue.scope == *scope) {
            return queue.id;
        }
        let id = queues.len() as i64;
        queues.push(FunctionQueue { id, scope: scope.clone(), name: name.clone(), paused: false });
        id
    }

    fn of(&self, id: i64, stage: Stage) -> Vec<QueuedEvent> {
        let events = self.events.lock().unwrap();
        let of = events.values().filter(|(queue, event)| *queue == id && event.progress.stage == stage);
        let mut found: Vec<_> = of.map(|(_, event)| event.clone()).collect();
        found.sort_by_key(|event| (event.progress.due_at, event.seq));
        found
    }
}

type Answer<'a, T> = BoxFuture<'a, Result<T, PortError>>;

impl EventStore for Memory {
    fn push(&self, new: NewEvent) -> Answer<'_, (i64, i64)> {
        let id = self.id(&new.target.scope, &new.target.name);
        let mut events = self.events.lock().unwrap();
        let seq = events.last_key_value().map_or(1, |(seq, _)| seq + 1);
        let progress = Progress {
            stage: Stage::Invoke,
            due_at: new.accepted_at,
            function_errors: 0,
            system_errors: 0,
            last_error: None,
            outcome: None,
        };
        events.insert(seq, (id, QueuedEvent { seq, new, progress }));
        Box::pin(async move {
            tokio::time::sleep(Duration::from_micros(500)).await;
            Ok((id, seq))
        })
    }
    fn queues(&self) -> Answer<'_, Vec<FunctionQueue>> {
        let queues = self.queues.lock().unwrap().clone();
        Box::pin(async move { Ok(queues) })
    }
    fn first(&self, queue: i64, stage: Stage, limit: usize) -> Answer<'_, Vec<(i64, UnixMillis)>> {
        let first =
            self.of(queue, stage).into_iter().take(limit).map(|e| (e.seq, e.progress.due_at)).collect();
        // As with a real store, others run between the question and the answer.
        Box::pin(async move {
            tokio::time::sleep(Duration::from_millis(3)).await;
            Ok(first)
        })
    }
    fn load<'a>(&'a self, _: &'a FunctionQueue, seqs: &'a [i64]) -> Answer<'a, Vec<QueuedEvent>> {
        let events = self.events.lock().unwrap();
        let loaded = seqs.iter().filter_map(|seq| events.get(seq)).map(|(_, event)| event.clone()).collect();
        Box::pin(async move { Ok(loaded) })
    }
    fn change(&self, seq: i64, progress: Progress) -> Answer<'_, ()> {
        if let Some((_, event)) = self.events.lock().unwrap().get_mut(&seq) {
            event.progress = progress;
        }
        Box::pin(async { Ok(()) })
    }
    fn remove(&self, seq: i64) -> Answer<'_, ()> {
        let failing = |left: usize| left.checked_sub(1);
        if self.failures.fetch_update(Ordering::SeqCst, Ordering::SeqCst, failing).is_ok() {
            return Box::pin(async { Err(PortError { text: "disk full".into(), disk_full: true }) });
        }
        self.events.lock().unwrap().remove(&seq);
        Box::pin(async { Ok(()) })
    }
    fn pause(&self, scope: &Scope, name: &FunctionName, paused: bool) -> Answer<'_, i64> {
        let id = self.id(scope, name);
        self.queues.lock().unwrap()[id as usize].paused = paused;
        Box::pin(async move { Ok(id) })
    }
    fn purge(&self, queue: i64, stage: Stage) -> Answer<'_, u64> {
        let purged = self.of(queue, stage);
        let mut events = self.events.lock().unwrap();
        for event in &purged {
            events.remove(&event.seq);
        }
        Box::pin(async move { Ok(purged.len() as u64) })
    }
    fn trim(&self, _: i64, _: UnixMillis, _: usize) -> Answer<'_, ()> {
        Box::pin(async { Ok(()) })
    }
    fn count(&self, queue: i64) -> Answer<'_, Vec<(Stage, u64)>> {
        let stages = [Stage::Invoke, Stage::Deliver, Stage::Failed];
        let counts = stages.map(|stage| (stage, self.of(queue, stage).len() as u64)).to_vec();
        Box::pin(async move { Ok(counts) })
    }
    fn list(&self, queue: i64, stage: Stage, limit: usize) -> Answer<'_, Vec<EventSummary>> {
        let summary = |event: QueuedEvent| EventSummary {
            seq: event.seq,
            request_id: event.new.event.request_id.to_string(),
            qualifier: event.new.target.qualifier.to_string(),
            caller: event.new.caller,
            accepted_at: event.new.accepted_at,
            bytes: event.new.event.payload.len() as u64,
            progress: event.progress,
        };
        let list = self.of(queue, stage).into_iter().take(limit).map(summary).collect();
        Box::pin(async move { Ok(list) })
    }
}

/// `slow` takes an hour, other functions 2 ms; `gone` does not exist any more, `sick` cannot be started. Payload
/// `"fail"` fails.
#[derive(Clone, Default)]
struct World {
    runs: Arc<Mutex<Vec<String>>>,
    traces: Arc<Mutex<Vec<String>>>,
    mode: Arc<Mutex<model::Mode>>,
    /// Attempts with what they met.
    tried: Arc<Mutex<Vec<(String, model::Mode)>>>,
    settings: Arc<Mutex<EventSettings>>,
    dead_letter: Arc<Mutex<Option<String>>>,
    parcels: Arc<Mutex<Vec<Parcel>>>,
    /// What becomes of the next deliveries.
    refusals: Arc<Mutex<Vec<DeliveryError>>>,
}

impl Functions for World {
    fn snapshot(&self, target: &FunctionTarget) -> Answer<'_, Option<Arc<FunctionSnapshot>>> {
        let snapshot = FunctionSnapshot {
            revision: RevisionId::from_stored("1".into()),
            dead_letter: self.dead_letter.lock().unwrap().clone(),
            ..(*fixtures::function(fixtures::key(target.name.as_str()))).clone()
        };
        let found = (target.name.as_str() != "gone").then(|| Arc::new(snapshot));
        Box::pin(async move { Ok(found) })
    }

    fn event_settings(&self, _: &FunctionTarget) -> Answer<'_, EventSettings> {
        let settings = self.settings.lock().unwrap().clone();
        Box::pin(async move { Ok(settings) })
    }
}

impl Destinations for World {
    fn deliver(&self, parcel: Parcel) -> BoxFuture<'_, Result<(), DeliveryError>> {
        let refusal = self.refusals.lock().unwrap().pop();
        if refusal.is_none() {
            self.parcels.lock().unwrap().push(parcel);
        }
        Box::pin(async move { refusal.map_or(Ok(()), Err) })
    }
}

impl Instances for World {
    fn start(
        &self,
        function: Arc<FunctionSnapshot>,
        _: InitializationType,
    ) -> BoxFuture<'_, Result<Arc<dyn Instance>, InvokeError>> {
        let name = function.key.name.to_string();
        let instance = WorldInstance { world: self.clone(), slow: name == "slow" };
        Box::pin(async move {
            match name.as_str() {
                "sick" => Err(InvokeError::Environment("no sandbox".into())),
                _ => Ok(Arc::new(instance) as Arc<dyn Instance>),
            }
        })
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
            let mode = *self.world.mode.lock().unwrap();
            self.world.tried.lock().unwrap().push((event.request_id.to_string(), mode));
            match mode {
                model::Mode::Throttle => return Err(InvokeError::Throttled { limit: 1 }),
                model::Mode::Fault => return Err(InvokeError::Environment("broken".into())),
                model::Mode::Succeed | model::Mode::Fail => {}
            }
            self.world.runs.lock().unwrap().push(event.request_id.to_string());
            self.world.traces.lock().unwrap().push(event.trace_id);
            let time = if self.slow { Duration::from_secs(3600) } else { Duration::from_millis(2) };
            tokio::time::sleep(time).await;
            let fails = event.payload == "\"fail\"" || mode == model::Mode::Fail;
            let error = fails.then_some(FunctionError::Unhandled);
            let payload = if error.is_some() { r#"{"errorMessage":"no"}"# } else { "\"good\"" };
            let outcome = Outcome { payload: Bytes::from_static(payload.as_bytes()), error, log_tail: None };
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
    invoker: Invoker,
    counters: Arc<Counters>,
}

async fn setup() -> Setup {
    setup_with(Arc::new(Memory::default()), World::default()).await
}

async fn setup_with(store: Arc<Memory>, world: World) -> Setup {
    let (clock, counters) = (ManualClock::default(), Arc::new(Counters::default()));
    let retry = RetryPolicy { after_function_error: vec![60_000], ..Default::default() };
    let options = InvokeOptions { retry, concurrent_executions: 100, ..Default::default() };
    let invoker = Invoker::start(Arc::new(world.clone()), &options);
    let parts = AsyncParts {
        store: store.clone(),
        functions: Arc::new(world.clone()),
        invoker: invoker.clone(),
        destinations: Arc::new(world.clone()),
        metrics: counters.clone(),
        clock: Arc::new(clock.clone()),
    };
    let queue = AsyncQueue::start(parts, options).await.unwrap();
    Setup { queue, store, world, clock, invoker, counters }
}

impl Setup {
    async fn push(&self, function: &str, payload: &'static str) {
        self.queue.push(fixtures::target(function), fixtures::event(payload), "key".into()).await.unwrap();
    }

    fn runs(&self) -> usize {
        self.world.runs.lock().unwrap().len()
    }

    fn waiting(&self) -> usize {
        let events = self.store.events.lock().unwrap();
        events.values().filter(|(_, e)| matches!(e.progress.stage, Stage::Invoke | Stage::Deliver)).count()
    }

    fn failed(&self) -> Vec<String> {
        let events = self.store.events.lock().unwrap();
        let failed = events.values().filter(|(_, e)| e.progress.stage == Stage::Failed);
        failed.map(|(_, e)| e.progress.last_error.clone().unwrap_or_default()).collect()
    }

    fn count(&self, function: &str, metric: Metric) -> u64 {
        let target = fixtures::target(function);
        self.counters.of(&target.scope, &target.name).get(&metric).map_or(0, |measured| measured.sum)
    }

    fn settings(&self, settings: EventSettings) {
        *self.world.settings.lock().unwrap() = settings;
    }

    /// Lets everything happen that can without the clock.
    async fn settle(&self) {
        tokio::time::sleep(Duration::from_secs(10)).await;
    }

    async fn advance(&self, millis: i64) {
        self.clock.advance(millis);
        self.settle().await;
    }
}

/// Without a crash an event runs once, however the store's answers and the events' ends overlap.
#[tokio::test(start_paused = true)]
async fn every_event_runs_once() {
    let s = setup().await;
    for _ in 0..300 {
        s.push("f", "1").await;
        tokio::time::sleep(Duration::from_micros(200)).await;
    }
    let all = futures_util::future::join_all((0..300).map(|_| s.push("f", "1")));
    all.await;
    s.settle().await;
    assert_eq!((s.runs(), s.waiting()), (600, 0));
    assert_eq!(s.count("f", Metric::AsyncEventsReceived), 600);
}

/// CORE-254: a failed event waits its minute and is then given up after its last attempt.
#[tokio::test(start_paused = true)]
async fn a_failed_event_waits_for_its_retry() {
    let s = setup().await;
    s.push("f", "\"fail\"").await;
    s.settle().await;
    assert_eq!((s.runs(), s.waiting()), (1, 1));
    s.advance(59_900).await;
    assert_eq!(s.runs(), 1);
    s.advance(100).await;
    assert_eq!((s.runs(), s.waiting()), (2, 0));
    assert_eq!(s.failed(), ["no"]);
    assert_eq!(s.count("f", Metric::AsyncEventsDropped), 1);
}

/// CORE-261: a function that is to be tried once is not tried again; settings count as they are at each attempt.
#[tokio::test(start_paused = true)]
async fn a_function_s_own_limit_counts() {
    let s = setup().await;
    s.push("f", "\"fail\"").await;
    s.settle().await;
    s.settings(EventSettings { retries: Some(0), ..EventSettings::default() });
    s.push("f", "\"fail\"").await;
    s.settle().await;
    assert_eq!((s.runs(), s.waiting()), (2, 1));
    s.advance(60_000).await;
    assert_eq!((s.runs(), s.waiting()), (3, 0));
}

/// CORE-261: an event that has waited longer than its function allows is given up without an attempt, and what it was
/// answered last is told.
#[tokio::test(start_paused = true)]
async fn an_event_that_is_too_old_is_not_tried() {
    let s = setup().await;
    let on_failure = Some("arn:aws:sqs:us-east-1:000000000000:q".to_owned());
    s.settings(EventSettings { max_age: Some(60_000), on_failure, ..EventSettings::default() });
    // Its retry is due at the last moment at which it may be tried, and comes later.
    s.push("f", "\"fail\"").await;
    s.settle().await;
    assert_eq!((s.runs(), s.waiting()), (1, 1));
    s.advance(60_001).await;
    assert_eq!((s.runs(), s.waiting()), (1, 0));
    let parcels = s.world.parcels.lock().unwrap();
    let Content::Record { success: false, document } = &parcels[0].content else { panic!("{parcels:?}") };
    assert!(document.contains(r#""condition":"EventAgeExceeded","approximateInvokeCount":1"#), "{document}");
    assert!(document.contains(r#""responsePayload":{"errorMessage":"no"}"#), "{document}");
}

/// A function that takes long, however often it is called, leaves room for others.
#[tokio::test(start_paused = true)]
async fn a_slow_function_does_not_delay_others() {
    let s = setup().await;
    for _ in 0..200 {
        s.push("slow", "1").await;
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(s.runs(), 16, "its share");
    s.push("f", "1").await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(s.runs(), 17);
}

/// A store that fails for a while costs no event a second run.
#[tokio::test(start_paused = true)]
async fn only_the_record_of_an_outcome_is_repeated() {
    let s = setup().await;
    s.store.failures.store(5, Ordering::SeqCst);
    s.push("f", "1").await;
    tokio::time::sleep(Duration::from_secs(30)).await;
    assert_eq!((s.runs(), s.waiting()), (1, 0));
}

/// What a stopping daemon waits for is settled; what it cuts off stays as it was, and so does what comes then.
#[tokio::test(start_paused = true)]
async fn stopping_waits_and_then_leaves_events_as_they_are() {
    let s = setup().await;
    s.push("f", "1").await;
    s.push("slow", "1").await;
    tokio::time::sleep(Duration::from_millis(5)).await;
    s.queue.stop(Duration::from_secs(30)).await;
    assert_eq!((s.runs(), s.waiting()), (2, 1));
    s.push("f", "1").await;
    s.settle().await;
    assert_eq!((s.runs(), s.waiting()), (2, 2));
    let next = setup_with(s.store.clone(), World::default()).await;
    next.settle().await;
    assert_eq!((next.runs(), next.waiting()), (2, 1), "the next daemon goes on");
}

/// CORE-255: throttled events wait and run when there is room; CORE-168: with none reserved they fail at once.
#[tokio::test(start_paused = true)]
async fn throttled_events_wait_and_those_of_a_function_that_never_runs_fail() {
    let s = setup().await;
    let target = fixtures::target("f");
    s.invoker.reserve(&target.scope, &target.name, Some(1));
    for _ in 0..30 {
        s.push("f", "1").await;
    }
    for _ in 0..200 {
        s.advance(1_000).await;
    }
    assert_eq!((s.runs(), s.waiting()), (30, 0));
    s.invoker.reserve(&target.scope, &target.name, Some(0));
    s.push("f", "1").await;
    s.settle().await;
    assert_eq!((s.runs(), s.waiting(), s.failed().len()), (30, 0, 1));
    assert!(s.failed()[0].contains("zero reserved"), "{:?}", s.failed());
}

/// CORE-263, CORE-272: a success is told where successes are, a failure to the destination and as a dead letter.
#[tokio::test(start_paused = true)]
async fn outcomes_are_told() {
    let s = setup().await;
    *s.world.dead_letter.lock().unwrap() = Some("arn:aws:sns:us-east-1:000000000000:t".into());
    s.settings(EventSettings {
        retries: Some(0),
        on_success: Some("arn:aws:events:us-east-1:000000000000:event-bus/default".into()),
        on_failure: Some("arn:aws:sqs:us-east-1:000000000000:q".into()),
        ..EventSettings::default()
    });
    s.push("f", "1").await;
    s.settle().await;
    s.push("f", "\"fail\"").await;
    s.settle().await;
    s.push("gone", "2").await;
    s.settle().await;
    assert_eq!(s.waiting(), 0);
    let parcels = s.world.parcels.lock().unwrap();
    let told: Vec<_> = parcels.iter().map(|parcel| parcel.destination.rsplit(':').next().unwrap()).collect();
    assert_eq!(told[..3], ["event-bus/default", "q", "t"]);
    assert_eq!(told[3..], ["q"], "a function that is gone: where its failures were told when the event came");
    let Content::DeadLetter { event, code, message } = &parcels[2].content else { panic!("{parcels:?}") };
    assert_eq!((event.as_str(), *code, message.as_str()), ("\"fail\"", 200, "no"));
    assert!(parcels[0].trace.contains("Lineage="));
}

/// A delivery that cannot be made now is tried again, one that is refused is counted and stops nothing.
#[tokio::test(start_paused = true)]
async fn deliveries_are_repeated_until_they_are_refused_or_too_late() {
    let s = setup().await;
    let on_success = Some("arn:aws:sqs:us-east-1:000000000000:q".to_owned());
    s.settings(EventSettings { on_success, ..EventSettings::default() });
    let later = || DeliveryError::Later("unreachable".into());
    s.world.refusals.lock().unwrap().extend([later(), later()]);
    s.push("f", "1").await;
    s.settle().await;
    assert_eq!((s.waiting(), s.world.parcels.lock().unwrap().len()), (1, 0));
    for _ in 0..2 {
        s.advance(2_000).await;
    }
    assert_eq!((s.waiting(), s.runs(), s.world.parcels.lock().unwrap().len()), (0, 1, 1));

    s.world.refusals.lock().unwrap().push(DeliveryError::Refused("no such queue".into()));
    s.push("f", "1").await;
    s.settle().await;
    assert_eq!((s.waiting(), s.count("f", Metric::DestinationDeliveryFailures)), (0, 1));

    s.world.refusals.lock().unwrap().extend((0..1000).map(|_| later()));
    s.push("f", "1").await;
    s.settle().await;
    for _ in 0..80 {
        s.advance(300_000).await;
    }
    assert_eq!((s.waiting(), s.count("f", Metric::DestinationDeliveryFailures)), (0, 2));
}

/// A record goes to a function as an event of its own; a function that causes itself so is stopped, unless it may.
#[tokio::test(start_paused = true)]
async fn a_loop_of_functions_is_stopped() {
    let s = setup().await;
    let target = fixtures::target("f");
    let arn = function_arn(&target.scope, &target.name);
    s.settings(EventSettings { on_success: Some(arn), ..EventSettings::default() });
    s.push("f", "1").await;
    s.settle().await;
    assert_eq!((s.runs(), s.waiting(), s.failed().len()), (lineage::RECURSION_LIMIT as usize, 0, 1));
    assert_eq!(s.count("f", Metric::RecursiveInvocationsDropped), 1);
    assert!(s.world.traces.lock().unwrap()[15].ends_with(":16"));

    let before = s.world.settings.lock().unwrap().clone();
    s.settings(EventSettings { may_recurse: true, ..before });
    assert_eq!(s.queue.replay(&target.scope, &target.name, None).await.unwrap(), 1);
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(s.runs() > 20, "{}", s.runs());
}

/// An operator stops a queue, also over a restart, empties it, and lets what has failed begin again.
#[tokio::test(start_paused = true)]
async fn queues_are_paused_purged_and_replayed() {
    let s = setup().await;
    let FunctionTarget { scope, name, .. } = fixtures::target("f");
    s.settings(EventSettings { retries: Some(0), ..EventSettings::default() });
    s.push("f", "\"fail\"").await;
    s.settle().await;
    s.queue.pause(&scope, &name, true).await.unwrap();
    assert_eq!(s.queue.replay(&scope, &name, Some("other")).await.unwrap(), 0);
    assert_eq!(s.queue.replay(&scope, &name, None).await.unwrap(), 1);
    s.push("f", "1").await;
    s.push("g", "1").await;
    s.settle().await;
    assert_eq!((s.runs(), s.waiting(), s.failed().len()), (2, 2, 0));
    let report = s.queue.report(&scope, &name, 1).await.unwrap().unwrap();
    assert_eq!((report.paused, report.counts[0], report.events.len()), (true, (Stage::Invoke, 2), 1));

    let next = setup_with(s.store.clone(), World::default()).await;
    next.settle().await;
    assert_eq!(next.runs(), 0, "it is still paused");
    assert_eq!(next.queue.purge(&scope, &name, false).await.unwrap(), 2);
    next.queue.pause(&scope, &name, false).await.unwrap();
    next.push("f", "1").await;
    next.settle().await;
    assert_eq!((next.runs(), next.waiting()), (1, 0));
}

/// A fault of the system is no reason to give up before the event is too old.
#[tokio::test(start_paused = true)]
async fn faults_are_retried_until_the_event_is_too_old() {
    let s = setup().await;
    s.push("sick", "1").await;
    s.settle().await;
    for _ in 0..71 {
        s.advance(300_000).await;
        assert_eq!(s.waiting(), 1);
    }
    s.advance(600_000).await;
    assert_eq!((s.waiting(), s.runs()), (0, 0));
    assert_eq!(s.failed(), ["no sandbox"]);
}
