use lambd_types::{AccountId, FunctionName, Region, Scope};

use super::*;

const SHARES: Shares = Shares { lane: 4, all: 6, horizon: 600_000 };

fn queue(id: i64) -> Arc<FunctionQueue> {
    let scope = Scope { account: AccountId::default_local(), region: Region::default_local() };
    Arc::new(FunctionQueue { id, scope, name: FunctionName::parse("f").unwrap(), paused: false })
}

fn invoke(queue: i64) -> LaneKey {
    LaneKey { queue, stage: Stage::Invoke }
}

fn at(millis: i64) -> UnixMillis {
    UnixMillis(millis)
}

/// Offers an event that nobody can have found before.
fn offer(lanes: &mut Lanes, id: i64, seq: i64, now: i64) -> bool {
    let mark = lanes.mark();
    lanes.offer(invoke(id), &queue(id), (seq, mark), at(now))
}

/// All events in the store are due.
fn due(seqs: impl IntoIterator<Item = i64>) -> Vec<(i64, UnixMillis)> {
    seqs.into_iter().map(|seq| (seq, at(0))).collect()
}

/// One function's flood takes its share; each other one has room, also beyond what all may have.
#[test]
fn a_flood_leaves_room_for_others() {
    let mut lanes = Lanes::new(SHARES);
    let started = (0..100).filter(|seq| offer(&mut lanes, 1, *seq, 0)).count();
    assert_eq!(started, 4);
    assert!(offer(&mut lanes, 2, 200, 0) && offer(&mut lanes, 2, 201, 0));
    assert!(!offer(&mut lanes, 2, 202, 0), "all that may be in progress is");
    for id in 3..10 {
        assert!(offer(&mut lanes, id, id * 100, 0), "a function without any has one more");
        assert!(!offer(&mut lanes, id, id * 100 + 1, 0));
    }
    assert!(lanes.turn(at(0)).is_none(), "the flood has to wait");
}

#[test]
fn lanes_take_turns_and_are_read_only_where_there_is_something() {
    let mut lanes = Lanes::new(Shares { lane: 1, all: 1, horizon: 0 });
    for id in [1, 2] {
        lanes.look(invoke(id), &queue(id), at(0));
    }
    let mut order = Vec::new();
    for round in 0..4 {
        let turn = lanes.turn(at(0)).unwrap();
        let id = turn.key.queue;
        order.push(id);
        let seq = id * 100 + round;
        assert_eq!(lanes.read(&turn, &due([seq, 1000 + seq]), false, at(0)), [seq]);
        assert!(lanes.done(turn.key, seq, Some(Signal::Through), at(0)));
    }
    assert_eq!(order, [1, 2, 1, 2]);
    for _ in 0..2 {
        let turn = lanes.turn(at(0)).unwrap();
        assert_eq!(lanes.read(&turn, &[], true, at(0)), [] as [i64; 0]);
    }
    assert!(lanes.turn(at(0)).is_none() && lanes.wake_at().is_none());
    assert!(lanes.lanes.is_empty(), "nothing is remembered of a function that is done");
}

/// Whatever is found in the store is started once, although it is offered as well.
#[test]
fn an_event_that_was_found_is_not_started_again() {
    let mut lanes = Lanes::new(SHARES);
    let mark = lanes.mark();
    lanes.look(invoke(1), &queue(1), at(0));
    let turn = lanes.turn(at(0)).unwrap();
    assert_eq!(lanes.read(&turn, &due([7]), true, at(0)), [7]);
    lanes.done(turn.key, 7, Some(Signal::Through), at(0));
    assert!(!lanes.offer(invoke(1), &queue(1), (7, mark), at(0)), "it has ended in between");
    let turn = lanes.turn(at(0)).unwrap();
    assert_eq!(lanes.read(&turn, &[], true, at(0)), [] as [i64; 0]);
}

#[test]
fn what_comes_while_a_lane_is_read_is_not_missed() {
    let mut lanes = Lanes::new(SHARES);
    lanes.look(invoke(1), &queue(1), at(0));
    let turn = lanes.turn(at(0)).unwrap();
    assert!(!offer(&mut lanes, 1, 8, 0));
    lanes.read(&turn, &[], true, at(0));
    let turn = lanes.turn(at(0)).expect("it is read again");
    lanes.later(invoke(1), &queue(1), at(500), at(0));
    lanes.read(&turn, &[], true, at(0));
    let turn = lanes.turn(at(0)).unwrap();
    lanes.read(&turn, &[(9, at(500))], true, at(0));
    assert_eq!(lanes.wake_at(), Some(at(500)));
    assert!(lanes.turn(at(499)).is_none());
    let turn = lanes.turn(at(500)).unwrap();
    assert_eq!(lanes.read(&turn, &[(9, at(500))], true, at(500)), [9]);
}

/// CORE-255: fewer events are read under throttling, and none for a while; they come back when one gets through.
#[test]
fn a_throttled_function_is_asked_less_and_less() {
    let mut lanes = Lanes::new(SHARES);
    for seq in 0..4 {
        assert!(offer(&mut lanes, 1, seq, 0));
    }
    for seq in 0..4 {
        lanes.done(invoke(1), seq, Some(Signal::Throttled), at(0));
    }
    lanes.look(invoke(1), &queue(1), at(0));
    let mut now = 0;
    let mut pauses = Vec::new();
    let mut rooms = Vec::new();
    for _ in 0..7 {
        assert!(lanes.turn(at(now)).is_none());
        let wake = lanes.wake_at().unwrap().0;
        pauses.push(wake - now);
        now = wake;
        let turn = lanes.turn(at(now)).unwrap();
        rooms.push(turn.room);
        let started = lanes.read(&turn, &due(0..50), false, at(now));
        for seq in started {
            lanes.done(turn.key, seq, Some(Signal::Throttled), at(now));
        }
    }
    assert_eq!(pauses, [1000, 2000, 4000, 8000, 16000, 16000, 16000]);
    assert_eq!(rooms, [2, 1, 1, 1, 1, 1, 1]);
    now = lanes.wake_at().unwrap().0;
    for expected in 1..=4 {
        let turn = lanes.turn(at(now)).unwrap();
        assert_eq!(turn.room, expected);
        let started = lanes.read(&turn, &due(0..50), false, at(now));
        lanes.done(turn.key, started[0], Some(Signal::Through), at(now));
        for seq in &started[1..] {
            lanes.done(turn.key, *seq, None, at(now));
        }
    }
}

#[test]
fn a_paused_queue_starts_nothing_until_it_is_resumed() {
    let mut lanes = Lanes::new(SHARES);
    lanes.look(invoke(1), &queue(1), at(0));
    lanes.pause(&queue(1), true, at(0));
    assert!(!offer(&mut lanes, 1, 5, 0) && lanes.turn(at(0)).is_none() && lanes.wake_at().is_none());
    assert!(offer(&mut lanes, 2, 6, 0), "others go on");
    lanes.pause(&queue(1), false, at(0));
    let turn = lanes.turn(at(0)).unwrap();
    assert_eq!(lanes.read(&turn, &due([5]), true, at(0)), [5]);
}

/// What was put off by a clock that has jumped back since does not wait for the jump.
#[test]
fn a_clock_that_jumps_back_holds_nothing_up() {
    let mut lanes = Lanes::new(SHARES);
    let day = 86_400_000;
    assert!(offer(&mut lanes, 1, 1, day));
    lanes.done(invoke(1), 1, Some(Signal::Throttled), at(day));
    lanes.later(invoke(1), &queue(1), at(day + 1000), at(day));
    let turn = lanes.turn(at(0)).expect("the timer is of another time");
    assert_eq!(lanes.read(&turn, &[(1, at(day + 1000))], true, at(0)), [1]);
}
