//! Whose events are next: a machine without time and without storage of its own.
//!
//! A function's events to be invoked are one lane, its outcomes to be delivered another. A lane has a share of what may
//! be in progress; lanes with something to do take turns. Only what is in progress is in memory. A lane whose
//! events are throttled gets less and less of its share, and pauses, until one gets through.

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::sync::Arc;

use lambd_types::UnixMillis;

use crate::ports::{FunctionQueue, Stage};

/// First pause of a lane that is throttled, in milliseconds; it doubles up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: i64 = 1_000;
const LONGEST_PAUSE: i64 = 16_000;
/// Events of a lane that are read at one time: others are to have their turn.
const READ_AT_ONCE: usize = 16;

/// Names a lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct LaneKey {
    pub(crate) queue: i64,
    pub(crate) stage: Stage,
}

/// How much may be in progress.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shares {
    /// Of one lane.
    pub(crate) lane: usize,
    /// Of all lanes of a stage. A lane without any may have one more all the same.
    pub(crate) all: usize,
    /// Milliseconds after which at the latest everything is due. What is due later was put there by a clock that has
    /// jumped back since, and is due now.
    pub(crate) horizon: i64,
}

/// A lane that is to be read.
#[derive(Debug)]
pub(crate) struct Turn {
    pub(crate) key: LaneKey,
    pub(crate) owner: Arc<FunctionQueue>,
    /// Events that may be started.
    pub(crate) room: usize,
    /// The events in progress are among the first that the store has.
    pub(crate) in_flight: usize,
}

/// What an event's end says about its lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Signal {
    /// It got through.
    Through,
    /// It was refused for lack of room.
    Throttled,
}

#[derive(Debug)]
struct Lane {
    owner: Arc<FunctionQueue>,
    in_flight: HashSet<i64>,
    /// The store may have something due that is not in progress.
    backlog: bool,
    /// It is being read, and what came meanwhile is not in what is read.
    reading: bool,
    news: bool,
    /// When something is due that is not due yet, as far as is known.
    next_due: Option<UnixMillis>,
    /// The lane's share at this time.
    window: usize,
    strikes: u32,
    blocked_until: UnixMillis,
    listed: bool,
    timer: Option<UnixMillis>,
    /// Its last reading, by [`Lanes::readings`].
    last_read: u64,
}

/// The readings before something was written; see [`Lanes::offer`].
#[derive(Debug, Clone, Copy)]
pub(crate) struct Mark(u64);

#[derive(Debug)]
pub(crate) struct Lanes {
    shares: Shares,
    lanes: HashMap<LaneKey, Lane>,
    ready: VecDeque<LaneKey>,
    timers: BTreeSet<(UnixMillis, LaneKey)>,
    paused: HashSet<i64>,
    /// In progress, of both stages.
    invoking: usize,
    delivering: usize,
    readings: u64,
}

impl Lanes {
    pub(crate) fn new(shares: Shares) -> Self {
        Self {
            shares,
            lanes: HashMap::new(),
            ready: VecDeque::new(),
            timers: BTreeSet::new(),
            paused: HashSet::new(),
            invoking: 0,
            delivering: 0,
            readings: 0,
        }
    }

    fn total(&mut self, stage: Stage) -> &mut usize {
        if stage == Stage::Invoke { &mut self.invoking } else { &mut self.delivering }
    }

    fn lane(&mut self, key: LaneKey, owner: &Arc<FunctionQueue>) -> &mut Lane {
        let (window, last_read) = (self.shares.lane, self.readings);
        self.lanes.entry(key).or_insert_with(|| Lane {
            owner: owner.clone(),
            in_flight: HashSet::new(),
            backlog: false,
            reading: false,
            news: false,
            next_due: None,
            window,
            strikes: 0,
            blocked_until: UnixMillis(i64::MIN),
            listed: false,
            timer: None,
            last_read,
        })
    }

    /// The store may have something for this lane.
    pub(crate) fn look(&mut self, key: LaneKey, owner: &Arc<FunctionQueue>, now: UnixMillis) {
        let lane = self.lane(key, owner);
        lane.backlog = true;
        lane.news = true;
        self.refresh(key, now);
    }

    /// To be taken before an event is written to the store, for [`Self::offer`].
    pub(crate) fn mark(&self) -> Mark {
        Mark(self.readings)
    }

    /// An event is in the store and due: whether it is to be started at once. If not, its turn comes. If the lane was
    /// read since `mark`, the event may have been found there, and have ended since.
    pub(crate) fn offer(
        &mut self,
        key: LaneKey,
        owner: &Arc<FunctionQueue>,
        (seq, mark): (i64, Mark),
        now: UnixMillis,
    ) -> bool {
        let (all, paused) = (self.shares.all, self.paused.contains(&key.queue));
        let total = *self.total(key.stage);
        let horizon = self.shares.horizon;
        let lane = self.lane(key, owner);
        let room = lane.in_flight.len() < lane.window && (total < all || lane.in_flight.is_empty());
        let unread = !lane.backlog && !lane.reading && lane.last_read <= mark.0;
        if room && !paused && unread && !lane.is_blocked(now, horizon) {
            lane.in_flight.insert(seq);
            *self.total(key.stage) += 1;
            return true;
        }
        lane.backlog = true;
        lane.news = true;
        self.refresh(key, now);
        false
    }

    /// An event of the lane is in the store for later.
    pub(crate) fn later(
        &mut self,
        key: LaneKey,
        owner: &Arc<FunctionQueue>,
        due: UnixMillis,
        now: UnixMillis,
    ) {
        let lane = self.lane(key, owner);
        lane.news = true;
        lane.next_due = Some(lane.next_due.map_or(due, |at| at.min(due)));
        self.refresh(key, now);
    }

    /// The lane whose turn it is. It is read until [`Self::read`] says otherwise.
    pub(crate) fn turn(&mut self, now: UnixMillis) -> Option<Turn> {
        self.ring(now);
        for _ in 0..self.ready.len() {
            let key = self.ready.pop_front()?;
            let free = self.shares.all.saturating_sub(*self.total(key.stage));
            let Some(lane) = self.lanes.get_mut(&key) else { continue };
            let own = lane.window.saturating_sub(lane.in_flight.len());
            let free = if lane.in_flight.is_empty() { free.max(1) } else { free };
            let room = own.min(free).min(READ_AT_ONCE);
            if room == 0 {
                self.ready.push_back(key);
                continue;
            }
            self.readings += 1;
            lane.last_read = self.readings;
            lane.listed = false;
            lane.reading = true;
            lane.news = false;
            return Some(Turn { key, owner: lane.owner.clone(), room, in_flight: lane.in_flight.len() });
        }
        None
    }

    /// What the store has first in the lane: which of it is to be started now. `all`: there is nothing behind it.
    pub(crate) fn read(
        &mut self,
        turn: &Turn,
        first: &[(i64, UnixMillis)],
        all: bool,
        now: UnixMillis,
    ) -> Vec<i64> {
        let horizon = self.shares.horizon;
        let Some(lane) = self.lanes.get_mut(&turn.key) else { return Vec::new() };
        lane.reading = false;
        let is_due = |at: UnixMillis| at <= now || at.0.saturating_sub(now.0) > horizon;
        let waiting = first.iter().filter(|(seq, _)| !lane.in_flight.contains(seq));
        let due: Vec<i64> = waiting.clone().filter(|(_, at)| is_due(*at)).map(|(seq, _)| *seq).collect();
        let next = waiting.map(|(_, at)| *at).find(|at| !is_due(*at));
        let started: Vec<i64> = due.iter().copied().take(turn.room).collect();
        // Behind something that is not due, nothing is.
        lane.backlog = lane.news || due.len() > started.len() || (!all && next.is_none());
        // What is known already may be of an event that was put there since; at worst nothing is found then.
        lane.next_due = next.into_iter().chain(lane.next_due.filter(|at| *at > now)).min();
        lane.in_flight.extend(&started);
        *self.total(turn.key.stage) += started.len();
        self.refresh(turn.key, now);
        started
    }

    /// The lane could not be read: it is tried again at `at`.
    pub(crate) fn unread(&mut self, key: LaneKey, at: UnixMillis, now: UnixMillis) {
        if let Some(lane) = self.lanes.get_mut(&key) {
            lane.reading = false;
            lane.backlog = true;
            lane.blocked_until = at;
        }
        self.refresh(key, now);
    }

    /// An event has ended, or is no longer there. Whether another may begin now.
    pub(crate) fn done(&mut self, key: LaneKey, seq: i64, signal: Option<Signal>, now: UnixMillis) -> bool {
        let most = self.shares.lane;
        let Some(lane) = self.lanes.get_mut(&key) else { return false };
        let was_there = lane.in_flight.remove(&seq);
        match signal {
            Some(Signal::Through) => {
                lane.window = (lane.window + 1).min(most);
                lane.strikes = 0;
                lane.blocked_until = UnixMillis(i64::MIN);
            }
            // One pause for all that were on their way at the same time.
            Some(Signal::Throttled) if lane.blocked_until <= now => {
                let pause = FIRST_PAUSE.saturating_mul(1 << lane.strikes.min(20)).min(LONGEST_PAUSE);
                lane.window = (lane.window / 2).max(1);
                lane.strikes += 1;
                lane.blocked_until = UnixMillis(now.0.saturating_add(pause));
            }
            Some(Signal::Throttled) | None => {}
        }
        if was_there {
            *self.total(key.stage) -= 1;
        }
        self.refresh(key, now);
        !self.ready.is_empty()
    }

    /// Stops the lanes of a queue or lets them go on.
    pub(crate) fn pause(&mut self, owner: &Arc<FunctionQueue>, paused: bool, now: UnixMillis) {
        if paused {
            self.paused.insert(owner.id);
            self.ready.retain(|key| key.queue != owner.id);
            for stage in [Stage::Invoke, Stage::Deliver] {
                if let Some(lane) = self.lanes.get_mut(&LaneKey { queue: owner.id, stage }) {
                    lane.listed = false;
                }
            }
        } else {
            self.paused.remove(&owner.id);
            for stage in [Stage::Invoke, Stage::Deliver] {
                self.look(LaneKey { queue: owner.id, stage }, owner, now);
            }
        }
    }

    pub(crate) fn is_paused(&self, queue: i64) -> bool {
        self.paused.contains(&queue)
    }

    /// The events of a queue that are in progress.
    pub(crate) fn in_flight(&self, queue: i64) -> HashSet<i64> {
        let lanes = [Stage::Invoke, Stage::Deliver].map(|stage| self.lanes.get(&LaneKey { queue, stage }));
        lanes.into_iter().flatten().flat_map(|lane| lane.in_flight.iter().copied()).collect()
    }

    /// Nothing is in progress.
    pub(crate) fn is_idle(&self) -> bool {
        self.invoking == 0 && self.delivering == 0
    }

    /// When the next lane is to be looked at, if nothing else happens.
    pub(crate) fn wake_at(&self) -> Option<UnixMillis> {
        self.timers.first().map(|(at, _)| *at)
    }

    /// Lanes whose time has come.
    fn ring(&mut self, now: UnixMillis) {
        while let Some((at, key)) = self.timers.first().copied() {
            if at > now && at.0.saturating_sub(now.0) <= self.shares.horizon {
                return;
            }
            self.timers.pop_first();
            if let Some(lane) = self.lanes.get_mut(&key) {
                lane.timer = None;
                if lane.next_due.is_some_and(|due| due <= at) {
                    lane.next_due = None;
                    lane.backlog = true;
                }
            }
            self.refresh(key, now);
        }
    }

    /// Lists the lane if it has something to do, and sets its timer if it will.
    fn refresh(&mut self, key: LaneKey, now: UnixMillis) {
        let (shares, paused) = (self.shares, self.paused.contains(&key.queue));
        let Some(lane) = self.lanes.get_mut(&key) else { return };
        if lane.next_due.is_some_and(|at| at <= now) {
            lane.next_due = None;
            lane.backlog = true;
        }
        let blocked = lane.is_blocked(now, shares.horizon);
        let wants = lane.backlog && !lane.reading && !paused && lane.in_flight.len() < lane.window;
        if wants && !blocked && !lane.listed {
            lane.listed = true;
            self.ready.push_back(key);
        }
        let timer = if wants && blocked {
            Some(lane.blocked_until)
        } else if paused || lane.backlog {
            None
        } else {
            lane.next_due
        };
        if lane.timer != timer {
            if let Some(old) = lane.timer {
                self.timers.remove(&(old, key));
            }
            if let Some(new) = timer {
                self.timers.insert((new, key));
            }
            lane.timer = timer;
        }
        let at_rest = lane.in_flight.is_empty() && !lane.backlog && !lane.reading && !lane.listed;
        if at_rest && lane.next_due.is_none() && lane.window == shares.lane {
            self.lanes.remove(&key);
        }
    }
}

impl Lane {
    fn is_blocked(&self, now: UnixMillis, horizon: i64) -> bool {
        self.blocked_until > now && self.blocked_until.0.saturating_sub(now.0) <= horizon
    }
}

#[cfg(test)]
#[path = "lanes_tests.rs"]
mod tests;
