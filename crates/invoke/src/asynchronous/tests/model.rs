//! The queue under random histories, against the rules of retries: throttles, faults, function errors, age, and settings
//! that change in between.

use proptest::prelude::*;

use super::*;

/// What a function does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Mode {
    #[default]
    Succeed,
    Fail,
    Throttle,
    Fault,
}

#[derive(Debug, Clone)]
enum Action {
    Push,
    Mode(Mode),
    Settings { retries: Option<u32>, max_age: Option<i64> },
    Advance(i64),
}

fn action() -> impl Strategy<Value = Action> {
    let mode = prop_oneof![Just(Mode::Succeed), Just(Mode::Fail), Just(Mode::Throttle), Just(Mode::Fault)];
    let settings = (prop::option::of(0_u32..3), prop::option::of(60_000_i64..400_000));
    prop_oneof![
        3 => Just(Action::Push),
        2 => mode.prop_map(Action::Mode),
        1 => settings.prop_map(|(retries, max_age)| Action::Settings { retries, max_age }),
        4 => (1_i64..90_000).prop_map(Action::Advance),
    ]
}

/// One attempt, with what was in force.
#[derive(Debug, Clone)]
struct Tried {
    at: i64,
    mode: Mode,
    retries: u32,
    max_age: i64,
}

const RETRY: [i64; 1] = [60_000];
const SIX_HOURS: i64 = 6 * 3600 * 1000;

struct History {
    setup: Setup,
    now: i64,
    accepted: HashMap<String, i64>,
    tried: HashMap<String, Vec<Tried>>,
    seen: usize,
}

impl History {
    /// Lets happen what can, and notes the attempts.
    async fn settle(&mut self) {
        self.setup.settle().await;
        let settings = self.setup.world.settings.lock().unwrap().clone();
        let tried = self.setup.world.tried.lock().unwrap();
        for (id, mode) in &tried[self.seen..] {
            self.tried.entry(id.clone()).or_default().push(Tried {
                at: self.now,
                mode: *mode,
                retries: settings.retries.unwrap_or(u32::MAX).min(RETRY.len() as u32),
                max_age: settings.max_age.unwrap_or(SIX_HOURS),
            });
        }
        self.seen = tried.len();
    }

    async fn advance(&mut self, millis: i64) {
        self.now += millis;
        self.setup.clock.advance(millis);
        self.settle().await;
    }

    async fn step(&mut self, action: Action) {
        match action {
            Action::Push => {
                let event = fixtures::event("1");
                self.accepted.insert(event.request_id.to_string(), self.now);
                self.setup.queue.push(fixtures::target("f"), event, String::new()).await.unwrap();
                self.settle().await;
            }
            Action::Mode(mode) => *self.setup.world.mode.lock().unwrap() = mode,
            Action::Settings { retries, max_age } => {
                self.setup.settings(EventSettings { retries, max_age, ..EventSettings::default() });
            }
            Action::Advance(millis) => self.advance(millis).await,
        }
    }

    /// Each event by itself has been treated by the rules.
    fn check(&self) {
        let events = self.setup.store.events.lock().unwrap();
        let waiting = |e: &QueuedEvent| matches!(e.progress.stage, Stage::Invoke | Stage::Deliver);
        assert!(!events.values().any(|(_, e)| waiting(e)), "nothing waits for ever");
        let failed: Vec<String> = events.values().map(|(_, e)| e.new.event.request_id.to_string()).collect();
        for (id, accepted) in &self.accepted {
            let tried = self.tried.get(id).map_or(&[][..], Vec::as_slice);
            let succeeded = tried.last().is_some_and(|last| last.mode == Mode::Succeed);
            assert_eq!(!succeeded, failed.contains(id), "an event succeeds or is kept as failed: {tried:?}");
            let (mut errors, mut faults) = (0_u32, 0_u32);
            for (index, this) in tried.iter().enumerate() {
                assert!(this.at - accepted <= this.max_age, "an event that is too old was tried: {tried:?}");
                let next = tried.get(index + 1);
                let wait = match this.mode {
                    Mode::Succeed => {
                        assert!(next.is_none(), "tried again after a success: {tried:?}");
                        continue;
                    }
                    Mode::Fail => {
                        errors += 1;
                        if errors > this.retries {
                            assert!(next.is_none(), "tried again after the last retry: {tried:?}");
                            continue;
                        }
                        RETRY[errors as usize - 1]
                    }
                    Mode::Throttle | Mode::Fault => {
                        faults += 1;
                        (1_000_i64 << (faults - 1).min(20)).min(300_000)
                    }
                };
                match next {
                    Some(next) => assert!(next.at - this.at >= wait, "tried too early: {tried:?}"),
                    None => {
                        assert!(failed.contains(id), "given up, or forgotten, without a trace: {tried:?}");
                    }
                }
            }
        }
    }
}

async fn run(actions: Vec<Action>) {
    let mut history =
        History { setup: setup().await, now: 0, accepted: HashMap::new(), tried: HashMap::new(), seen: 0 };
    for action in actions {
        history.step(action).await;
    }
    history.step(Action::Mode(Mode::Succeed)).await;
    history.step(Action::Settings { retries: None, max_age: None }).await;
    // Longer than any wait: of the events, and of a function that was throttled.
    for _ in 0..40 {
        history.advance(20_000).await;
    }
    history.check();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// CORE-254, CORE-255, CORE-261.
    #[test]
    fn events_are_retried_by_the_rules(actions in prop::collection::vec(action(), 1..40)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        runtime.unwrap().block_on(run(actions));
    }
}
