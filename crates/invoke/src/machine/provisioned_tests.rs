use super::*;
use crate::fixtures;

/// A machine, the time, and the function that is wanted.
struct Bench {
    machine: Provisioned<u64>,
    now: Instant,
    function: Arc<FunctionSnapshot>,
}

impl Bench {
    fn new() -> Self {
        let function = fixtures::function(fixtures::key("f"));
        Self { machine: Provisioned::default(), now: Instant::now(), function }
    }

    fn want(&mut self, executions: usize) -> Vec<u64> {
        let FunctionKey { scope, name, .. } = self.function.key.clone();
        let function = Ok(Some(self.function.clone()));
        let wanted = Wanted { key: self.function.key.clone(), executions, function };
        self.machine.set(&scope, &name, vec![wanted])
    }

    /// Serial numbers of what is to be started now.
    fn begin(&mut self) -> Vec<u64> {
        self.machine.begin(self.now).0.into_iter().map(|start| start.serial).collect()
    }

    /// Begins whatever is missing, and initialises it; instances are called by their serial numbers.
    fn fill(&mut self) -> Vec<u64> {
        let serials = self.begin();
        for serial in &serials {
            assert!(self.machine.initialising(&self.function.key, *serial, serial));
            assert!(self.machine.ready(&self.function.key, *serial, self.now));
        }
        serials
    }

    fn fail(&mut self) {
        let serials = self.begin();
        assert_eq!(serials.len(), 1);
        self.machine.failed(&self.function.key, serials[0], Failure::Initialisation, self.now);
    }

    fn take(&mut self) -> Option<u64> {
        self.machine.take(&self.function.key, &self.function.revision).map(|(serial, _)| serial)
    }

    fn put(&mut self, serial: u64) -> Option<u64> {
        self.machine.put(&self.function.key, serial, serial, self.now)
    }

    /// Allocated, available, and whether it failed.
    fn state(&self) -> Option<(usize, usize, bool)> {
        self.machine.allocation(&self.function.key).map(|a| (a.allocated, a.available, a.failure.is_some()))
    }
}

/// CORE-172, CORE-174: from nothing to as many as wanted, and no more events at one time than that.
#[tokio::test(start_paused = true)]
async fn instances_are_started_taken_and_given_back() {
    let mut bench = Bench::new();
    assert_eq!((bench.state(), bench.take()), (None, None));
    assert_eq!(bench.want(2), [] as [u64; 0]);
    assert_eq!((bench.state(), bench.take()), (Some((0, 0, false)), None));
    assert_eq!(bench.fill(), [1, 2]);
    assert_eq!(bench.begin(), [] as [u64; 0], "nothing is missing");
    assert_eq!(bench.state(), Some((2, 2, false)));
    let (a, b) = (bench.take().unwrap(), bench.take().unwrap());
    assert_eq!((bench.take(), bench.state()), (None, Some((2, 0, false))));
    assert_eq!((bench.put(a), bench.put(b)), (None, None));
    assert_eq!(bench.take(), Some(b), "the most recently used");
}

/// CORE-179: what runs another revision takes no events and is given up, whatever it is doing.
#[tokio::test(start_paused = true)]
async fn another_revision_replaces_everything() {
    let mut bench = Bench::new();
    bench.want(3);
    bench.fill();
    let busy = bench.take().unwrap();
    bench.want(4);
    let starting = bench.begin()[0];
    assert!(bench.machine.initialising(&bench.function.key, starting, &starting));
    bench.function = fixtures::function(bench.function.key.clone());
    assert_eq!(bench.take(), None);
    let mut gone = bench.want(1);
    gone.sort_unstable();
    assert_eq!(gone, [2, 3, 4]);
    assert_eq!(bench.put(busy), Some(busy));
    assert!(!bench.machine.ready(&bench.function.key, starting, bench.now));
    assert_eq!(bench.fill().len(), 1);
    assert_eq!(bench.state(), Some((1, 1, false)));
}

#[tokio::test(start_paused = true)]
async fn fewer_are_given_up_in_order_of_their_worth() {
    let mut bench = Bench::new();
    bench.want(3);
    bench.fill();
    let busy = [bench.take().unwrap(), bench.take().unwrap()];
    bench.want(4);
    assert_eq!(bench.begin().len(), 1);
    assert_eq!(bench.want(2), [3], "after what has not begun, what is idle");
    assert_eq!(bench.want(1), [] as [u64; 0], "busy ones end after their events");
    assert_eq!(bench.put(busy[0]), Some(busy[0]));
    assert_eq!(bench.put(busy[1]), None, "the last one is needed");
    let FunctionKey { scope, name, .. } = bench.function.key.clone();
    assert_eq!(bench.machine.set(&scope, &name, Vec::new()), [busy[1]]);
    assert_eq!(bench.state(), None);
}

/// One that dies is replaced: at once when it was of use before, else after a pause.
#[tokio::test(start_paused = true)]
async fn dead_instances_are_replaced() {
    let mut bench = Bench::new();
    bench.want(1);
    bench.fill();
    let serial = bench.take().unwrap();
    bench.put(serial);
    let key = bench.function.key.clone();
    assert_eq!(bench.machine.ended(&key, serial, bench.now), Some(serial));
    assert_eq!(bench.state(), Some((0, 0, false)));
    assert_eq!(bench.fill(), [2]);
    bench.take();
    bench.machine.lost(&key, 2);
    assert_eq!(bench.fill(), [3]);
    assert_eq!(bench.machine.ended(&key, 3, bench.now), Some(3), "without an event");
    assert_eq!(bench.begin(), [] as [u64; 0]);
    bench.now += FIRST_PAUSE;
    assert_eq!(bench.fill(), [4]);
    bench.now += PROBATION;
    bench.machine.ended(&key, 4, bench.now);
    assert_eq!(bench.fill(), [5]);
    assert_eq!(bench.machine.ended(&key, 4, bench.now), None, "nobody knows it any more");
}

/// One whose process ended during an event goes on for nobody: it could end again unseen.
#[tokio::test(start_paused = true)]
async fn an_instance_that_got_another_process_is_not_kept() {
    let mut bench = Bench::new();
    bench.want(1);
    bench.fill();
    let serial = bench.take().unwrap();
    assert_eq!(bench.machine.ended(&bench.function.key.clone(), serial, bench.now), None);
    assert_eq!(bench.put(serial), Some(serial));
    assert_eq!(bench.fill(), [2]);
}

/// After three failures in a row the allocation has failed; it is tried again in ever longer pauses, one instance
/// at a time, and what then succeeds counts.
#[tokio::test(start_paused = true)]
async fn failures_are_told_and_tried_again() {
    let mut bench = Bench::new();
    bench.want(5);
    let serials = bench.begin();
    for serial in &serials[..3] {
        assert!(bench.machine.initialising(&bench.function.key, *serial, serial));
    }
    for serial in &serials[..3] {
        bench.machine.failed(&bench.function.key.clone(), *serial, Failure::Initialisation, bench.now);
    }
    assert!(!bench.machine.is_wanted(&bench.function.key, serials[4]), "it had not begun");
    assert_eq!(bench.state(), Some((0, 0, false)), "failures of one attempt are one");
    let mut pauses = Vec::new();
    for _ in 0..6 {
        let (starts, next) = bench.machine.begin(bench.now);
        assert!(starts.is_empty());
        pauses.push((next.unwrap() - bench.now).as_millis());
        bench.now = next.unwrap();
        bench.fail();
    }
    assert_eq!(pauses, [100, 400, 1_600, 6_400, 25_600, 60_000]);
    assert_eq!(bench.state(), Some((0, 0, true)));
    let allocation = bench.machine.allocation(&bench.function.key).unwrap();
    assert_eq!(allocation.failure, Some(Failure::Initialisation));
    bench.now += LONGEST_PAUSE;
    assert_eq!(bench.fill().len(), 1);
    assert_eq!(bench.state(), Some((1, 1, false)), "it is in progress again");
    assert_eq!(bench.fill().len(), 4);
    assert_eq!(bench.state(), Some((5, 5, false)));
    bench.want(6);
    assert_eq!(bench.fill().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_cannot_run_is_not_started() {
    let mut bench = Bench::new();
    let key = bench.function.key.clone();
    for (function, failed) in [(Ok(None), false), (Err("unreadable".to_owned()), true)] {
        let wanted = Wanted { key: key.clone(), executions: 1, function };
        bench.machine.set(&key.scope, &key.name, vec![wanted]);
        assert_eq!((bench.begin(), bench.state()), (vec![], Some((0, 0, failed))));
    }
    bench.want(1);
    assert_eq!(bench.fill().len(), 1);
    assert_eq!(bench.machine.drain().len(), 1);
    assert_eq!(bench.state(), None);
}

/// RT-28.
#[tokio::test(start_paused = true)]
async fn idle_instances_are_frozen_once() {
    let mut bench = Bench::new();
    bench.want(1);
    bench.fill();
    let grace = Duration::from_millis(100);
    let start = bench.now;
    assert_eq!(bench.machine.freeze(start, grace), (vec![], Some(start + grace)));
    assert_eq!(bench.machine.freeze(start + grace, grace), (vec![1], None));
    assert_eq!(bench.machine.freeze(start + grace * 2, grace), (vec![], None));
    bench.take();
    bench.now = start + grace * 3;
    bench.put(1);
    assert_eq!(bench.machine.freeze(bench.now + grace, grace), (vec![1], None));
}

/// CORE-181: the most that were in use at once counts, however short that was, until it is asked for.
#[tokio::test(start_paused = true)]
async fn the_highest_use_is_kept_until_it_is_asked_for() {
    let mut bench = Bench::new();
    let key = bench.function.key.clone();
    assert_eq!(bench.machine.take_usage(&key), None);
    bench.want(3);
    bench.fill();
    assert_eq!(bench.machine.take_usage(&key), Some(Usage { peak: 0, busy: 0 }));
    let (first, second) = (bench.take().unwrap(), bench.take().unwrap());
    bench.put(second);
    assert_eq!(bench.machine.take_usage(&key), Some(Usage { peak: 2, busy: 1 }));
    assert_eq!(bench.machine.take_usage(&key), Some(Usage { peak: 1, busy: 1 }));
    bench.put(first);
    assert_eq!(bench.machine.take_usage(&key), Some(Usage { peak: 1, busy: 0 }));
    assert_eq!(bench.machine.take_usage(&key), Some(Usage { peak: 0, busy: 0 }));
}
