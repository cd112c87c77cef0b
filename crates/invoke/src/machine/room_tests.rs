use proptest::prelude::*;

use super::*;
use crate::fixtures::key;

fn room(instances: usize, waiting: usize) -> Room<u64> {
    Room::new(Limits { instances, waiting, scaling: ScalingRule::Off })
}

fn need(name: &str, most: usize) -> Need {
    let FunctionKey { scope, name, .. } = key(name);
    Need { holder: Holder { scope, name }, most, provisioned: false }
}

fn none(_: &FunctionKey, _: &RevisionId) -> Option<()> {
    None
}

fn ask(room: &mut Room<u64>, need: &Need) -> Answer {
    room.ask(need, Instant::now())
}

fn wait(room: &mut Room<u64>, name: &str, most: usize, tell: u64) -> Option<u64> {
    room.wait(need(name, most), key(name), RevisionId::random(), tell)
}

#[test]
fn a_full_machine_serves_in_the_order_in_which_they_came() {
    let (mut room, f) = (room(2, 2), need("f", 9));
    assert_eq!(ask(&mut room, &f), Answer::Granted);
    assert_eq!(ask(&mut room, &need("g", 9)), Answer::Granted);
    for tell in 1..=2 {
        assert_eq!(ask(&mut room, &f), Answer::Full(Blocked::Machine(2)));
        assert!(wait(&mut room, "f", 9, tell).is_some());
    }
    assert_eq!(ask(&mut room, &f), Answer::Full(Blocked::Machine(2)));
    assert_eq!(wait(&mut room, "f", 9, 3), None, "the line is full");
    assert_eq!(room.evictions(), Evictions { of: vec![], any: 2 });
    room.evicted(&need("g", 9).holder);
    assert_eq!(room.evictions().any, 1, "one is on its way");
    room.give_back(&need("g", 9), true);
    assert_eq!(ask(&mut room, &f), Answer::Full(Blocked::Machine(2)), "nobody overtakes");
    let served: Vec<_> = room.serve(none).into_iter().map(|(tell, _, given)| (tell, given)).collect();
    assert_eq!(served, [(1, Given::Room)]);
    assert_eq!((room.total(), room.waiting()), (2, 1));
}

#[test]
fn an_instance_that_becomes_idle_is_taken_over() {
    let (mut room, f) = (room(1, 2), need("f", 9));
    ask(&mut room, &f);
    ask(&mut room, &f);
    wait(&mut room, "f", 9, 1);
    let mut idle = Some("instance");
    let served = room.serve(|asked, _| if *asked == key("f") { idle.take() } else { None });
    assert!(matches!(served.as_slice(), [(1, _, Given::Instance("instance"))]));
    assert_eq!((room.total(), room.waiting()), (1, 0));
}

/// One function's limit is in nobody else's way.
#[test]
fn a_function_has_a_limit_of_its_own() {
    let (mut room, f) = (room(9, 9), need("f", 1));
    ask(&mut room, &f);
    assert_eq!(ask(&mut room, &f), Answer::Full(Blocked::Function(1)));
    let id = wait(&mut room, "f", 1, 1).unwrap();
    assert_eq!(ask(&mut room, &need("g", 1)), Answer::Granted);
    assert_eq!(room.evictions(), Evictions { of: vec![f.holder.clone()], any: 0 });
    room.evicted(&f.holder);
    assert_eq!(room.evictions(), Evictions::default());
    assert_eq!(room.leave(id), Some(Blocked::Function(1)));
    assert_eq!(room.leave(id), None);
    room.give_back(&f, true);
    assert_eq!(ask(&mut room, &f), Answer::Granted);
}

#[test]
fn short_memory_stops_all_but_the_first() {
    let (mut room, f) = (room(9, 9), need("f", 9));
    room.set_memory_is_short(true);
    assert_eq!(ask(&mut room, &f), Answer::Granted);
    assert_eq!(ask(&mut room, &f), Answer::Full(Blocked::Memory));
    wait(&mut room, "f", 9, 1);
    assert!(room.serve(none).is_empty());
    room.set_memory_is_short(false);
    assert_eq!(room.serve(none).len(), 1);
}

#[derive(Debug, Clone)]
enum Step {
    Ask(usize),
    Leave(usize),
    Idle(usize),
    End(usize),
    Short(bool),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        5 => (0..3usize).prop_map(Step::Ask),
        1 => any::<usize>().prop_map(Step::Leave),
        3 => any::<usize>().prop_map(Step::Idle),
        3 => any::<usize>().prop_map(Step::End),
        1 => any::<bool>().prop_map(Step::Short),
    ];
    prop::collection::vec(step, 1..150)
}

/// What the driver of the machine does, with instances that are numbers of functions.
struct World {
    room: Room<u64>,
    busy: Vec<usize>,
    idle: Vec<usize>,
    leaving: Vec<usize>,
    waiting: Vec<(u64, usize)>,
}

const NAMES: [&str; 3] = ["f", "g", "h"];

fn of(function: usize) -> Need {
    need(NAMES[function], [2, 3, 4][function])
}

impl World {
    fn settle(&mut self) {
        let idle = &mut self.idle;
        let served = self.room.serve(|asked, _| {
            let at = idle.iter().position(|function| key(NAMES[*function]) == *asked)?;
            Some(idle.swap_remove(at))
        });
        for (tell, asked, given) in served {
            let at = self.waiting.iter().position(|(id, _)| *id == tell).expect("it waits");
            let (_, function) = self.waiting.remove(at);
            assert_eq!(asked.holder, of(function).holder);
            if let Given::Instance(instance) = given {
                assert_eq!(instance, function);
            }
            self.busy.push(function);
        }
        let Evictions { of: functions, mut any } = self.room.evictions();
        let mut evict = |idle: &mut Vec<usize>, at: usize| {
            let function = idle.remove(at);
            self.room.evicted(&of(function).holder);
            self.leaving.push(function);
        };
        for holder in functions {
            if let Some(at) = self.idle.iter().position(|function| of(*function).holder == holder) {
                evict(&mut self.idle, at);
            }
        }
        while any > 0 && !self.idle.is_empty() {
            evict(&mut self.idle, 0);
            any -= 1;
        }
    }

    fn check(&self) {
        let all = || self.busy.iter().chain(&self.idle).chain(&self.leaving);
        assert_eq!(self.room.total(), all().count());
        assert!(self.room.total() <= 5);
        for function in 0..3 {
            assert!(all().filter(|other| **other == function).count() <= of(function).most);
        }
        assert_eq!(self.room.waiting(), self.waiting.len());
        assert!(self.waiting.len() <= 4);
        // Nobody waits for what is there.
        for (_, function) in &self.waiting {
            assert!(!self.idle.contains(function));
            assert!(self.room.blocked(&of(*function)).is_some());
        }
        let gone = self.room.evictions();
        assert!(self.idle.is_empty() || gone.any == 0, "an idle one is in the way of somebody");
    }
}

proptest! {
    /// However instances come, rest and go: never more than there is room for, nothing is lost, and nobody waits while
    /// an idle instance could make room.
    #[test]
    fn room_is_exact(steps in steps()) {
        let mut world = World {
            room: room(5, 4),
            busy: vec![],
            idle: vec![],
            leaving: vec![],
            waiting: vec![],
        };
        let mut tell = 0;
        for step in steps {
            match step {
                Step::Ask(function) => {
                    if let Some(at) = world.idle.iter().position(|other| *other == function) {
                        world.busy.push(world.idle.swap_remove(at));
                    } else {
                        match ask(&mut world.room, &of(function)) {
                            Answer::Granted => world.busy.push(function),
                            Answer::Full(_) => {
                                tell += 1;
                                let id = wait(&mut world.room, NAMES[function], of(function).most, tell);
                                prop_assert_eq!(id.is_some(), world.waiting.len() < 4);
                                world.waiting.extend(id.map(|_| (tell, function)));
                            }
                            Answer::TooFast(_) => prop_assert!(false, "there is no such limit here"),
                        }
                    }
                }
                Step::Leave(at) if !world.waiting.is_empty() => {
                    let (tell, _) = world.waiting.remove(at % world.waiting.len());
                    let id = world.room.waiting.iter().find(|waiter| waiter.tell == tell).map(|waiter| waiter.id);
                    prop_assert!(world.room.leave(id.unwrap()).is_some());
                }
                Step::Idle(at) if !world.busy.is_empty() => {
                    let at = at % world.busy.len();
                    world.idle.push(world.busy.swap_remove(at));
                }
                Step::End(at) if !world.leaving.is_empty() => {
                    let at = at % world.leaving.len();
                    let function = world.leaving.swap_remove(at);
                    world.room.give_back(&of(function), true);
                }
                Step::End(at) if !world.busy.is_empty() => {
                    let at = at % world.busy.len();
                    let function = world.busy.swap_remove(at);
                    world.room.give_back(&of(function), false);
                }
                Step::Short(short) => world.room.set_memory_is_short(short),
                _ => {}
            }
            world.settle();
            world.check();
        }
        for function in world.busy.drain(..).chain(world.idle.drain(..)) {
            world.room.give_back(&of(function), false);
        }
        for function in world.leaving.drain(..) {
            world.room.give_back(&of(function), true);
        }
        for (_, function) in world.waiting.drain(..) {
            world.room.withdraw(&of(function));
        }
        prop_assert_eq!(world.room.total(), 0);
        prop_assert!(world.room.functions.is_empty());
    }
}
