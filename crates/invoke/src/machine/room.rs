//! Room for instances on this machine, and who waits for it.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use lambd_types::{FunctionKey, FunctionName, RevisionId, ScalingRule, Scope};
use tokio::time::Instant;

use super::scaling::Scaling;

/// How many instances there may be.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// On the machine.
    pub(crate) instances: usize,
    /// Events that may wait for room.
    pub(crate) waiting: usize,
    /// How fast they may become more.
    pub(crate) scaling: ScalingRule,
}

/// A function, of which there may be a number of instances.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Holder {
    pub(crate) scope: Scope,
    pub(crate) name: FunctionName,
}

/// What somebody needs who asks for room.
#[derive(Debug, Clone)]
pub(crate) struct Need {
    pub(crate) holder: Holder,
    /// Instances that the function may have.
    pub(crate) most: usize,
    /// It is for a provisioned instance.
    pub(crate) provisioned: bool,
}

/// Why there is no room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Blocked {
    /// The function has as many instances as it may.
    Function(usize),
    /// So has the machine.
    Machine(usize),
    /// Free memory is too short.
    Memory,
}

/// What became of a wish for room.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// It is there.
    Granted,
    /// Instances would become more too fast; when it will be granted.
    TooFast(Duration),
    /// There is none; whoever asked may [`Room::wait`], or must [`Room::withdraw`].
    Full(Blocked),
}

/// What somebody who waited gets.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Given<I> {
    /// An instance that became idle.
    Instance(I),
    /// Room for a new one.
    Room,
}

/// Which idle instances must go so that those who wait have room.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Evictions {
    /// Of these functions.
    pub(crate) of: Vec<Holder>,
    /// Of any function.
    pub(crate) any: usize,
}

/// Room for instances. `W` is how somebody who waits is told.
#[derive(Debug)]
pub(crate) struct Room<W> {
    limits: Limits,
    total: usize,
    functions: HashMap<Holder, Count>,
    /// Instances that are being ended for those who wait.
    leaving: usize,
    waiting: VecDeque<Waiter<W>>,
    last_id: u64,
    memory_is_short: bool,
    scaling: Scaling,
}

#[derive(Debug, Default)]
struct Count {
    instances: usize,
    leaving: usize,
}

#[derive(Debug)]
struct Waiter<W> {
    id: u64,
    need: Need,
    key: FunctionKey,
    revision: RevisionId,
    tell: W,
}

impl<W> Room<W> {
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            limits,
            total: 0,
            functions: HashMap::new(),
            leaving: 0,
            waiting: VecDeque::new(),
            last_id: 0,
            memory_is_short: false,
            scaling: Scaling::new(limits.scaling),
        }
    }

    /// Room for one more instance. Those who came before go first, unless only their own function is in their way.
    pub(crate) fn ask(&mut self, need: &Need, now: Instant) -> Answer {
        let Need { holder, provisioned, .. } = need;
        if let Err(wait) = self.scaling.more(&holder.scope, &holder.name, *provisioned, now) {
            return Answer::TooFast(wait);
        }
        let ahead = self.waiting.iter().filter(|waiter| self.blocked(&waiter.need).is_none()).count();
        match self.blocked(need) {
            Some(blocked) => Answer::Full(blocked),
            None if ahead > 0 && self.total + ahead >= self.limits.instances => {
                Answer::Full(Blocked::Machine(self.limits.instances))
            }
            None => {
                self.count(holder);
                Answer::Granted
            }
        }
    }

    /// Waits in line after [`Answer::Full`]: a number by which to [`Self::leave`], or `None` if the line is full.
    pub(crate) fn wait(
        &mut self,
        need: Need,
        key: FunctionKey,
        revision: RevisionId,
        tell: W,
    ) -> Option<u64> {
        if self.waiting.len() >= self.limits.waiting {
            self.withdraw(&need);
            return None;
        }
        self.last_id += 1;
        self.waiting.push_back(Waiter { id: self.last_id, need, key, revision, tell });
        Some(self.last_id)
    }

    /// Waits no longer. `None`: it has been served already; else why there was no room.
    pub(crate) fn leave(&mut self, id: u64) -> Option<Blocked> {
        let at = self.waiting.iter().position(|waiter| waiter.id == id)?;
        let Waiter { need, .. } = self.waiting.remove(at)?;
        self.withdraw(&need);
        Some(self.blocked(&need).unwrap_or(Blocked::Machine(self.limits.instances)))
    }

    /// The instance for which there was no room will not come.
    pub(crate) fn withdraw(&mut self, need: &Need) {
        self.scaling.less(&need.holder.scope, &need.holder.name, need.provisioned);
    }

    /// An instance is gone; `evicted`, if it is one of those from [`Self::evictions`].
    pub(crate) fn give_back(&mut self, need: &Need, evicted: bool) {
        self.withdraw(need);
        self.total -= 1;
        self.leaving -= usize::from(evicted);
        if let Some(count) = self.functions.get_mut(&need.holder) {
            count.instances -= 1;
            count.leaving -= usize::from(evicted);
            if count.instances == 0 {
                self.functions.remove(&need.holder);
            }
        }
    }

    /// Serves those who wait, in the order in which they came. `idle` takes an instance of a version out of its pool.
    pub(crate) fn serve<I>(
        &mut self,
        mut idle: impl FnMut(&FunctionKey, &RevisionId) -> Option<I>,
    ) -> Vec<(W, Need, Given<I>)> {
        let mut served = Vec::new();
        let mut line = std::mem::take(&mut self.waiting);
        while let Some(waiter) = line.pop_front() {
            let instance = match waiter.need.provisioned {
                true => None,
                false => idle(&waiter.key, &waiter.revision),
            };
            let given = match instance {
                Some(instance) => {
                    self.withdraw(&waiter.need);
                    Given::Instance(instance)
                }
                None if self.blocked(&waiter.need).is_none() => {
                    self.count(&waiter.need.holder);
                    Given::Room
                }
                None => {
                    self.waiting.push_back(waiter);
                    continue;
                }
            };
            served.push((waiter.tell, waiter.need, given));
        }
        served
    }

    /// Which instances must go; those that do are told of with [`Self::evicted`].
    pub(crate) fn evictions(&self) -> Evictions {
        let (mut found, mut full) = (Evictions::default(), HashMap::<&Holder, usize>::new());
        for waiter in &self.waiting {
            match self.blocked(&waiter.need) {
                Some(Blocked::Function(_)) => *full.entry(&waiter.need.holder).or_default() += 1,
                Some(Blocked::Machine(_) | Blocked::Memory) => found.any += 1,
                None => {}
            }
        }
        for (holder, wanted) in full {
            let leaving = self.functions.get(holder).map_or(0, |count| count.leaving);
            found.of.extend(std::iter::repeat_n(holder.clone(), wanted.saturating_sub(leaving)));
        }
        found.any = found.any.saturating_sub(self.leaving);
        found
    }

    /// An idle instance of a function is being ended to make room.
    pub(crate) fn evicted(&mut self, holder: &Holder) {
        if let Some(count) = self.functions.get_mut(holder) {
            count.leaving += 1;
            self.leaving += 1;
        }
    }

    /// While memory is short, nothing is started beside what there is.
    pub(crate) fn set_memory_is_short(&mut self, short: bool) {
        self.memory_is_short = short;
    }

    /// Instances that there are.
    pub(crate) fn total(&self) -> usize {
        self.total
    }

    /// Those who wait.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    fn count(&mut self, holder: &Holder) {
        self.total += 1;
        match self.functions.get_mut(holder) {
            Some(count) => count.instances += 1,
            None => drop(self.functions.insert(holder.clone(), Count { instances: 1, leaving: 0 })),
        }
    }

    fn blocked(&self, need: &Need) -> Option<Blocked> {
        let instances = self.functions.get(&need.holder).map_or(0, |count| count.instances);
        if instances >= need.most {
            return Some(Blocked::Function(need.most));
        }
        if self.total >= self.limits.instances {
            return Some(Blocked::Machine(self.limits.instances));
        }
        // With nothing to wait for, waiting is of no use.
        (self.memory_is_short && self.total > 0).then_some(Blocked::Memory)
    }
}

impl Blocked {
    /// For people.
    pub(crate) fn reason(self) -> String {
        match self {
            Self::Function(most) => {
                format!("the function has {most} instances, as many as this machine gives one")
            }
            Self::Machine(most) => format!("all {most} instances that this machine has room for are in use"),
            Self::Memory => "this machine has too little free memory for another instance".to_owned(),
        }
    }
}

#[cfg(test)]
#[path = "room_tests.rs"]
mod tests;
