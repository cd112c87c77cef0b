//! Which provisioned instances are to be started, which takes the next event, and which must go (CORE-172..180).

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use lambd_types::{FunctionKey, FunctionName, FunctionSnapshot, RevisionId, Scope};
use tokio::time::Instant;

/// Failures in a row after which an allocation counts as failed; it is tried again all the same.
const ATTEMPTS: u32 = 3;
/// Pause after the first failure; each further one quadruples it.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// Longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// An instance that ends by itself within this time and without an event counts as one that failed to start: else
/// one that ends right after its initialisation would be replaced without pause.
const PROBATION: Duration = Duration::from_secs(10);

/// What one version is to have.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// The version.
    pub key: FunctionKey,
    /// Instances to be kept.
    pub executions: usize,
    /// What they run: `None` while the version is not ready, an error when it never will be.
    pub function: Result<Option<Arc<FunctionSnapshot>>, String>,
}

/// What a version has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Allocation {
    /// Instances that are initialised.
    pub allocated: usize,
    /// Those of them that have no event.
    pub available: usize,
    /// Why there are not as many as wanted.
    pub failure: Option<Failure>,
}

/// How much a version's provisioned instances are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    /// Most that had events at once since this was asked last.
    pub peak: usize,
    /// Those that have events now.
    pub busy: usize,
}

/// Why an instance could not be provisioned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// The function's own initialisation failed.
    Initialisation,
    /// No execution environment could be made.
    Environment(String),
}

/// An instance to be started.
#[derive(Debug, Clone)]
pub(crate) struct Start {
    /// Names the instance in this machine.
    pub(crate) serial: u64,
    /// What it is to run.
    pub(crate) function: Arc<FunctionSnapshot>,
}

/// The provisioned instances of all versions. Each instance has a serial number; one that is no longer wanted is
/// forgotten, and whatever happens to it then has no effect.
#[derive(Debug)]
pub(crate) struct Provisioned<T> {
    versions: HashMap<FunctionKey, Version<T>>,
    last_serial: u64,
}

#[derive(Debug)]
struct Version<T> {
    wanted: usize,
    function: Result<Option<Arc<FunctionSnapshot>>, String>,
    starting: Vec<Starting<T>>,
    /// The most recently used last.
    idle: Vec<Idle<T>>,
    busy: Vec<Busy>,
    /// Most that were busy at once since [`Provisioned::take_usage`].
    peak: usize,
    failures: u32,
    failure: Option<Failure>,
    /// Nothing is started before.
    pause_until: Option<Instant>,
}

#[derive(Debug)]
struct Starting<T> {
    serial: u64,
    /// `None` before its environment is made.
    instance: Option<T>,
}

#[derive(Debug)]
struct Idle<T> {
    serial: u64,
    instance: T,
    since: Instant,
    frozen: bool,
    /// It had an event.
    proven: bool,
}

#[derive(Debug)]
struct Busy {
    serial: u64,
    /// A process of it ended during its event: nobody watches the one that it has now.
    ended: bool,
}

impl<T> Default for Provisioned<T> {
    fn default() -> Self {
        Self { versions: HashMap::new(), last_serial: 0 }
    }
}

impl<T: Clone> Provisioned<T> {
    /// Makes `wanted` what the versions of a function have, and no other version of it anything. Returns the
    /// instances that are not needed any more; busy ones come back after their event. What failed is tried anew.
    pub(crate) fn set(&mut self, scope: &Scope, name: &FunctionName, wanted: Vec<Wanted>) -> Vec<T> {
        let mut gone = Vec::new();
        let mut before: HashMap<FunctionKey, Version<T>> =
            self.versions.extract_if(|key, _| key.scope == *scope && key.name == *name).collect();
        for Wanted { key, executions, function } in wanted {
            let mut version = match before.remove(&key) {
                Some(same) if revision(&same.function) == revision(&function) => same,
                other => {
                    gone.extend(other.into_iter().flat_map(Version::into_instances));
                    Version::new()
                }
            };
            (version.wanted, version.function) = (executions, function);
            (version.failures, version.failure, version.pause_until) = (0, None, None);
            version.shrink(&mut gone);
            self.versions.insert(key, version);
        }
        gone.extend(before.into_values().flat_map(Version::into_instances));
        gone
    }

    /// Which instances are to be started now, and when there may be others because a pause is over. After a failure
    /// one is tried alone.
    pub(crate) fn begin(&mut self, now: Instant) -> (Vec<Start>, Option<Instant>) {
        let (mut starts, mut next) = (Vec::new(), None::<Instant>);
        for version in self.versions.values_mut() {
            let Ok(Some(function)) = &version.function else { continue };
            let missing = version.wanted.saturating_sub(version.total());
            if missing == 0 {
                continue;
            }
            if let Some(at) = version.pause_until.filter(|at| *at > now) {
                next = Some(next.map_or(at, |next| next.min(at)));
                continue;
            }
            let count = match version.pause_until {
                None => missing,
                Some(_) => 1usize.saturating_sub(version.starting.len()),
            };
            for _ in 0..count {
                self.last_serial += 1;
                let serial = self.last_serial;
                version.starting.push(Starting { serial, instance: None });
                starts.push(Start { serial, function: function.clone() });
            }
        }
        (starts, next)
    }

    /// Whether an instance that is to be started is wanted still.
    pub(crate) fn is_wanted(&self, key: &FunctionKey, serial: u64) -> bool {
        self.versions.get(key).is_some_and(|v| v.starting.iter().any(|s| s.serial == serial))
    }

    /// An instance has an environment. `false`: it is not wanted any more.
    pub(crate) fn initialising(&mut self, key: &FunctionKey, serial: u64, instance: &T) -> bool {
        let starting = self.versions.get_mut(key).map(|version| &mut version.starting);
        match starting.and_then(|all| all.iter_mut().find(|s| s.serial == serial)) {
            Some(starting) => {
                starting.instance = Some(instance.clone());
                true
            }
            None => false,
        }
    }

    /// An instance is initialised. `false`: it is not wanted any more, and was given back.
    pub(crate) fn ready(&mut self, key: &FunctionKey, serial: u64, now: Instant) -> bool {
        let Some(version) = self.versions.get_mut(key) else { return false };
        let Some(instance) = version.take_starting(serial).and_then(|s| s.instance) else { return false };
        // Beneath the others: it is taken when they are in use.
        version.idle.insert(0, Idle { serial, instance, since: now, frozen: false, proven: false });
        (version.failure, version.pause_until) = (None, None);
        true
    }

    /// An instance could not be started or initialised.
    pub(crate) fn failed(&mut self, key: &FunctionKey, serial: u64, failure: Failure, now: Instant) {
        let Some(version) = self.versions.get_mut(key) else { return };
        if version.take_starting(serial).is_some() {
            version.fail(failure, now);
        }
    }

    /// The process of an instance ended by itself. Returns it, for its end.
    pub(crate) fn ended(&mut self, key: &FunctionKey, serial: u64, now: Instant) -> Option<T> {
        let version = self.versions.get_mut(key)?;
        if let Some(busy) = version.busy.iter_mut().find(|busy| busy.serial == serial) {
            busy.ended = true;
            return None;
        }
        let at = version.idle.iter().position(|idle| idle.serial == serial)?;
        let idle = version.idle.remove(at);
        if !idle.proven && now - idle.since < PROBATION {
            version.fail(Failure::Initialisation, now);
        }
        Some(idle.instance)
    }

    /// The most recently used idle instance of a revision.
    pub(crate) fn take(&mut self, key: &FunctionKey, revision: &RevisionId) -> Option<(u64, T)> {
        let version = self.versions.get_mut(key)?;
        if self::revision(&version.function) != Some(revision) {
            return None;
        }
        let Idle { serial, instance, .. } = version.idle.pop()?;
        version.busy.push(Busy { serial, ended: false });
        version.peak = version.peak.max(version.busy.len());
        Some((serial, instance))
    }

    /// An instance is idle again after its event. Returns it when it is not wanted any more.
    pub(crate) fn put(&mut self, key: &FunctionKey, serial: u64, instance: T, now: Instant) -> Option<T> {
        let Some(version) = self.versions.get_mut(key) else { return Some(instance) };
        let Some(busy) = version.take_busy(serial) else { return Some(instance) };
        if busy.ended || version.total() >= version.wanted {
            return Some(instance);
        }
        version.idle.push(Idle { serial, instance, since: now, frozen: false, proven: true });
        (version.failures, version.failure) = (0, None);
        None
    }

    /// A busy instance is of no more use.
    pub(crate) fn lost(&mut self, key: &FunctionKey, serial: u64) {
        if let Some(version) = self.versions.get_mut(key) {
            version.take_busy(serial);
        }
    }

    /// Returns the instances that became idle `grace` ago and were not returned before, and when there will be
    /// others.
    pub(crate) fn freeze(&mut self, now: Instant, grace: Duration) -> (Vec<T>, Option<Instant>) {
        let (mut due, mut next) = (Vec::new(), None::<Instant>);
        for idle in self.versions.values_mut().flat_map(|v| &mut v.idle).filter(|idle| !idle.frozen) {
            let at = idle.since + grace;
            if at <= now {
                idle.frozen = true;
                due.push(idle.instance.clone());
            } else {
                next = Some(next.map_or(at, |next| next.min(at)));
            }
        }
        (due, next)
    }

    /// What a version has; `None` when nothing is wanted for it.
    pub(crate) fn allocation(&self, key: &FunctionKey) -> Option<Allocation> {
        let version = self.versions.get(key)?;
        let (idle, busy) = (version.idle.len(), version.busy.len());
        let failure = match &version.function {
            Err(text) => Some(Failure::Environment(text.clone())),
            Ok(_) => version.failure.clone().filter(|_| idle + busy < version.wanted),
        };
        Some(Allocation { allocated: idle + busy, available: idle, failure })
    }

    /// How much a version's instances are used, and were since this was asked last.
    pub(crate) fn take_usage(&mut self, key: &FunctionKey) -> Option<Usage> {
        let version = self.versions.get_mut(key)?;
        let busy = version.busy.len();
        Some(Usage { peak: std::mem::replace(&mut version.peak, busy), busy })
    }

    /// Empties everything.
    pub(crate) fn drain(&mut self) -> Vec<T> {
        self.versions.drain().flat_map(|(_, version)| version.into_instances()).collect()
    }
}

fn revision(function: &Result<Option<Arc<FunctionSnapshot>>, String>) -> Option<&RevisionId> {
    function.as_ref().ok()?.as_ref().map(|function| &function.revision)
}

impl<T> Version<T> {
    fn new() -> Self {
        Self {
            wanted: 0,
            function: Ok(None),
            starting: Vec::new(),
            idle: Vec::new(),
            busy: Vec::new(),
            peak: 0,
            failures: 0,
            failure: None,
            pause_until: None,
        }
    }

    fn total(&self) -> usize {
        self.starting.len() + self.idle.len() + self.busy.len()
    }

    /// Gives up what there is too much of: what is not ready first, then what was not used for longest.
    fn shrink(&mut self, gone: &mut Vec<T>) {
        while self.total() > self.wanted {
            if let Some(starting) = self.starting.pop() {
                gone.extend(starting.instance);
            } else if !self.idle.is_empty() {
                gone.push(self.idle.remove(0).instance);
            } else {
                return;
            }
        }
    }

    fn fail(&mut self, failure: Failure, now: Instant) {
        // What has not begun would meet the same fate.
        self.starting.retain(|starting| starting.instance.is_some());
        if self.pause_until.is_some_and(|at| at > now) {
            // Of those that were begun together, the first one counts.
            return;
        }
        self.failures = self.failures.saturating_add(1);
        let pause = FIRST_PAUSE.saturating_mul(4u32.saturating_pow(self.failures - 1));
        self.pause_until = Some(now + pause.min(LONGEST_PAUSE));
        if self.failures >= ATTEMPTS {
            self.failure = Some(failure);
        }
    }

    fn take_starting(&mut self, serial: u64) -> Option<Starting<T>> {
        let at = self.starting.iter().position(|starting| starting.serial == serial)?;
        Some(self.starting.swap_remove(at))
    }

    fn take_busy(&mut self, serial: u64) -> Option<Busy> {
        let at = self.busy.iter().position(|busy| busy.serial == serial)?;
        Some(self.busy.swap_remove(at))
    }

    fn into_instances(self) -> impl Iterator<Item = T> {
        let starting = self.starting.into_iter().filter_map(|starting| starting.instance);
        starting.chain(self.idle.into_iter().map(|idle| idle.instance))
    }
}

#[cfg(test)]
#[path = "provisioned_tests.rs"]
mod tests;
