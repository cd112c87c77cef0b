use std::sync::{Mutex, MutexGuard};

use futures_util::future::BoxFuture;
use lambd_store::scaling::{ActivityFilter, RuleKind, Suspended};
use lambd_store::{DataDir, Store};
use lambd_types::{AccountId, FunctionTarget, ManualClock, Region};

use super::*;
use crate::ports::{Capacities, Capacity, CapacityError};
use crate::scaler::Scaling;
use crate::shapes::ActionSettings;

const RESOURCE: &str = "function:f:live";
/// 2026-01-01T00:00:00Z
const START: i64 = 1_767_225_600_000;

/// A capacity that does what it is told.
struct Fake(Mutex<State>);

struct State {
    capacity: Capacity,
    usage: Usage,
    set: Vec<u32>,
    refuses: bool,
}

impl Fake {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }
}

impl Capacities for Fake {
    fn capacity<'a>(
        &'a self,
        _: &'a FunctionTarget,
    ) -> BoxFuture<'a, Result<Option<Capacity>, CapacityError>> {
        Box::pin(async { Ok(Some(self.state().capacity.clone())) })
    }

    fn set<'a>(&'a self, _: &'a FunctionTarget, to: u32) -> BoxFuture<'a, Result<(), CapacityError>> {
        Box::pin(async move {
            let mut state = self.state();
            if state.refuses {
                return Err(CapacityError("no".into()));
            }
            state.capacity.requested = to;
            state.set.push(to);
            Ok(())
        })
    }

    fn usage<'a>(&'a self, _: &'a FunctionTarget) -> BoxFuture<'a, Result<Option<Usage>, CapacityError>> {
        Box::pin(async { Ok(Some(self.state().usage)) })
    }
}

struct Bench {
    _dir: tempfile::TempDir,
    fake: Arc<Fake>,
    clock: ManualClock,
    scaler: Arc<Scaler>,
    watches: Watches,
}

impl Bench {
    /// A target with three executions between one and twenty.
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = Arc::new(Store::open(DataDir::open(dir.path()).unwrap()).await.unwrap());
        let clock = ManualClock::at(UnixMillis(START));
        let fake = Arc::new(Fake(Mutex::new(State {
            capacity: Capacity { requested: 3, allocated: 3, failure: None },
            usage: Usage { peak: 0, in_use: 0, allocated: 3 },
            set: Vec::new(),
            refuses: false,
        })));
        let scaler = Scaling::new(store, Arc::new(clock.clone()), fake.clone()).scaler;
        scaler.store.put_scaling_target(&target()).await.unwrap();
        Self { _dir: dir, fake, clock, scaler, watches: Watches::new() }
    }

    async fn rule(&self, kind: RuleKind, name: &str, settings: String, due: Option<i64>) {
        let row = RuleRow {
            scope: target().scope,
            kind,
            resource: RESOURCE.into(),
            name: name.into(),
            settings,
            created: UnixMillis(START),
            due: due.map(UnixMillis),
        };
        self.scaler.store.put_scaling_rule(&row).await.unwrap();
    }

    async fn policy(&self) {
        let settings = serde_json::json!({
            "configuration": { "TargetValue": 0.5, "ScaleOutCooldown": 600 },
            "alarm_high": "h",
            "alarm_low": "l",
        });
        self.rule(RuleKind::Policy, "p", settings.to_string(), None).await;
    }

    async fn action(&self, name: &str, schedule: &str, min: u32, max: u32) {
        let (schedule, min, max) = (schedule.to_owned(), Some(min), Some(max));
        let settings = ActionSettings { schedule, timezone: None, start: None, end: None, min, max };
        let text = serde_json::to_string(&settings).unwrap();
        self.rule(RuleKind::Action, name, text, Some(START)).await;
        let row = self.scaler.store.due_scaling_actions(UnixMillis(START)).await.unwrap();
        let row = row.into_iter().find(|row| row.name == name).unwrap();
        let due = plan(&row).unwrap().1.next(UnixMillis(START));
        self.scaler.store.put_scaling_rule(&RuleRow { due, ..row }).await.unwrap();
    }

    async fn turn(&mut self, minutes: i64) -> Next {
        self.clock.advance(minutes * MINUTE);
        self.scaler.turn(&mut self.watches).await.unwrap()
    }

    async fn target(&self) -> TargetRow {
        self.scaler.store.scaling_target(&target().scope, RESOURCE).await.unwrap().unwrap()
    }

    /// Status, description and message of all activities, the first first.
    async fn activities(&self) -> Vec<(Status, String, Option<String>)> {
        let (scope, filter) = (target().scope, ActivityFilter { resource: None, unscaled: true });
        let rows = self.scaler.store.list_scaling_activities(&scope, filter, None, 99).await.unwrap();
        let shown = |row| {
            let Activity { status, description, message, .. } = Activity::of(row).unwrap();
            (status, description, message)
        };
        rows.iter().rev().map(shown).collect()
    }
}

fn target() -> TargetRow {
    TargetRow {
        scope: Scope { account: AccountId::default_local(), region: Region::default_local() },
        resource: RESOURCE.into(),
        id: "id".into(),
        family: "family".into(),
        min: 1,
        max: 20,
        suspended: Suspended::default(),
        tags: Default::default(),
        progress: Progress::default(),
        created: UnixMillis(START),
    }
}

#[tokio::test]
async fn what_was_missed_is_done_once_in_the_order_of_its_last_times() {
    let mut bench = Bench::new().await;
    // By day from 8 to 20 o'clock, and by night.
    bench.action("day", "cron(0 8 * * ? *)", 5, 10).await;
    bench.action("night", "cron(0 20 * * ? *)", 2, 4).await;
    let next = bench.turn(0).await;
    assert_eq!(next.at, Some(UnixMillis(START + 8 * 60 * MINUTE)));
    // Three days later at nine, the day's bounds are the latest.
    let next = bench.turn((3 * 24 + 9) * 60).await;
    let target = bench.target().await;
    assert_eq!((target.min, target.max), (5, 10));
    assert_eq!(bench.fake.state().set, [5]);
    assert_eq!(next.at, Some(UnixMillis(START + (3 * 24 + 20) * 60 * MINUTE)));
    let descriptions: Vec<String> = bench.activities().await.into_iter().map(|(_, text, _)| text).collect();
    assert_eq!(
        descriptions,
        [
            "Setting min capacity to 2 and max capacity to 4",
            "Setting min capacity to 5 and max capacity to 10",
            "Setting desired concurrency to 5.",
        ]
    );
    assert!(next.open, "five are not there yet");
}

#[tokio::test]
async fn a_policy_waits_until_what_it_asked_for_is_there() {
    let mut bench = Bench::new().await;
    bench.policy().await;
    bench.turn(0).await;
    bench.fake.state().usage = Usage { peak: 3, in_use: 0, allocated: 3 };
    for _ in 0..2 {
        assert_eq!(bench.turn(1).await.at.unwrap().0 % MINUTE, 0);
    }
    assert!(bench.fake.state().set.is_empty());
    assert!(bench.turn(1).await.open);
    assert_eq!(bench.fake.state().set, [6]);
    assert_eq!(bench.target().await.progress.step_out, 3);
    bench.turn(5).await;
    assert_eq!(bench.fake.state().set, [6], "it is not there yet");
    bench.fake.state().capacity.allocated = 6;
    assert!(!bench.turn(0).await.open);
    let target = bench.target().await;
    assert_eq!(target.progress.scaled_out, Some(START + 8 * MINUTE), "the cooldown begins when it is there");
    let (status, _, message) = bench.activities().await.pop().unwrap();
    let done = "Successfully set desired concurrency to 6. Change successfully fulfilled by lambda.";
    assert_eq!((status, message.as_deref()), (Status::Successful, Some(done)));
}

#[tokio::test]
async fn what_does_not_come_is_told() {
    let mut bench = Bench::new().await;
    let scale = async |bench: &Bench, to| {
        let function = bench.scaler.function(&target().scope, RESOURCE).unwrap();
        let activity = Activity::scaling(to, "a test".into());
        bench.scaler.scale(&target(), &function, activity).await.unwrap()
    };
    assert!(scale(&bench, 7).await);
    bench.fake.state().capacity.failure = Some("FUNCTION_ERROR_INIT_FAILURE".into());
    assert!(!bench.turn(0).await.open);
    bench.fake.state().capacity.failure = None;
    assert!(scale(&bench, 8).await);
    assert!(scale(&bench, 9).await, "a later change goes before");
    bench.fake.state().capacity.requested = 2;
    assert!(!bench.turn(0).await.open, "somebody else changed it");
    bench.fake.state().refuses = true;
    assert!(!scale(&bench, 10).await);
    let found = bench.activities().await;
    let statuses: Vec<Status> = found.iter().map(|(status, ..)| *status).collect();
    assert_eq!(statuses, [Status::Failed, Status::Overridden, Status::Overridden, Status::Failed]);
    let failed = "Failed to set desired concurrency to 7. Reason: FUNCTION_ERROR_INIT_FAILURE";
    assert_eq!(found[0].2.as_deref(), Some(failed));
    assert_eq!(found[3].2.as_deref(), Some("Failed to set desired concurrency to 10. Reason: no"));
}

/// A machine that slept, or a clock that was moved, has minutes of which nothing is known.
#[tokio::test]
async fn a_peak_counts_for_one_minute_only() {
    let mut bench = Bench::new().await;
    bench.policy().await;
    bench.turn(0).await;
    bench.fake.state().usage = Usage { peak: 3, in_use: 0, allocated: 3 };
    bench.turn(60).await;
    assert!(bench.fake.state().set.iter().all(|to| *to < 3), "one busy minute raises nothing");
    bench.fake.state().usage = Usage { peak: 3, in_use: 3, allocated: 3 };
    bench.turn(60).await;
    assert_eq!(bench.fake.state().set.last(), Some(&6), "what is in use now was for all of it");
}

#[tokio::test]
async fn an_alarm_that_changes_nothing_is_told_once() {
    let mut bench = Bench::new().await;
    bench.policy().await;
    bench.fake.state().capacity.requested = 1;
    bench.turn(0).await;
    for _ in 0..20 {
        bench.turn(1).await;
    }
    let found = bench.activities().await;
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].0, Status::Unfulfilled);
}
