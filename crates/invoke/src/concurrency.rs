//! How many events an account and region, and a function or version that has executions of its own, may have in
//! progress, and how many requests in a second.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use lambd_types::{FunctionKey, FunctionName, Scope, Version};
use tokio::time::Instant;

use crate::InvokeError;
use crate::machine::rate::{Bucket, Rate};
use crate::metrics::ProvisionedMetrics;

/// Counts events in progress.
#[derive(Debug, Clone)]
pub(crate) struct Concurrency {
    accounts: Arc<Mutex<HashMap<Scope, Account>>>,
    limits: Limits,
}

/// What an account and region may have.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Events in progress.
    pub(crate) executions: usize,
    /// Requests in a second for each of them; `None`: as many as come.
    pub(crate) requests: Option<u32>,
}

/// Who asks for a permit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Request {
    /// Somebody who waits for the answer. How many of them come in a second is limited.
    Synchronous,
    /// An event that was accepted before.
    Accepted,
}

/// One account and region.
#[derive(Debug, Default)]
struct Account {
    /// Those with events in progress, with a reservation or with provisioned executions.
    functions: HashMap<FunctionName, Function>,
    /// Events in progress that the executions shared by functions without a reservation are used for.
    shared: usize,
    /// Executions that functions have for themselves.
    claimed: usize,
    /// Synchronous requests for the shared executions.
    requests: Bucket,
    /// Asynchronous requests.
    events: Bucket,
}

/// A function has a handful of versions at work at most: lists do for them.
#[derive(Debug, Default)]
struct Function {
    running: Vec<Running>,
    provisioned: Vec<Provision>,
    reserved: Option<usize>,
    /// Synchronous requests for the reserved executions.
    requests: Bucket,
}

/// Events in progress of a version; never none.
#[derive(Debug)]
struct Running {
    version: Version,
    count: usize,
    /// Those of them that came too fast for the version's provisioned executions.
    spilled: usize,
}

/// Provisioned executions of a version, and what became of its events.
#[derive(Debug)]
struct Provision {
    version: Version,
    executions: usize,
    requests: Bucket,
    invocations: u64,
    spillovers: u64,
}

/// The right to process one event; it gives itself back.
#[derive(Debug)]
pub(crate) struct Permit {
    concurrency: Concurrency,
    key: FunctionKey,
    spilled: bool,
}

impl Permit {
    /// Whether the event came too fast for provisioned instances, and must take another.
    pub(crate) fn is_spilled(&self) -> bool {
        self.spilled
    }
}

impl Limits {
    fn rate(self, executions: usize) -> Option<(u64, Rate)> {
        let limit = executions as u64 * u64::from(self.requests?);
        Some((limit, Rate::per_second(limit)))
    }
}

impl Concurrency {
    pub(crate) fn new(limits: Limits) -> Self {
        Self { accounts: Arc::default(), limits }
    }

    fn accounts(&self) -> MutexGuard<'_, HashMap<Scope, Account>> {
        self.accounts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A permit, or the error of a full function (CORE-166), a full account (CORE-305) or of too many requests in a
    /// second (CORE-080). Executions provisioned for the version are used first, whether their instances are there
    /// yet or not; what is too much or too fast (CORE-081) for them uses the others.
    pub(crate) fn acquire(
        &self,
        key: &FunctionKey,
        request: Request,
        now: Instant,
    ) -> Result<Permit, InvokeError> {
        let mut accounts = self.accounts();
        if !accounts.contains_key(&key.scope) {
            accounts.insert(key.scope.clone(), Account::default());
        }
        let limits = match request {
            Request::Synchronous => self.limits,
            Request::Accepted => Limits { requests: None, ..self.limits },
        };
        let spilled = match accounts.get_mut(&key.scope) {
            Some(account) => account.enter(&key.name, key.version, limits, now)?,
            None => false,
        };
        Ok(Permit { concurrency: self.clone(), key: key.clone(), spilled })
    }

    /// Whether an asynchronous request is accepted: ten times the account's executions in a second (CORE-080).
    pub(crate) fn accept(&self, scope: &Scope, now: Instant) -> Result<(), InvokeError> {
        let Some((limit, rate)) = self.limits.rate(self.limits.executions) else { return Ok(()) };
        let mut accounts = self.accounts();
        if !accounts.contains_key(scope) {
            accounts.insert(scope.clone(), Account::default());
        }
        let events = accounts.get_mut(scope).map(|account| &mut account.events);
        let taken = events.map_or(Ok(()), |events| events.take(rate, now));
        taken.map_err(|wait| InvokeError::EventsTooFast { limit, wait })
    }

    /// Gives a function executions of its own, or takes them back with `None`. Events in progress count at once
    /// where they belong now.
    pub(crate) fn reserve(&self, scope: &Scope, name: &FunctionName, executions: Option<usize>) {
        self.change(scope, name, |function| function.reserved = executions);
    }

    /// Gives versions of a function executions of their own, in the same way; its other versions have none.
    pub(crate) fn provision(&self, scope: &Scope, name: &FunctionName, executions: Vec<(Version, usize)>) {
        self.change(scope, name, |function| {
            let mut before = std::mem::take(&mut function.provisioned);
            for (version, executions) in executions {
                let at = before.iter().position(|other| other.version == version);
                let same = at.map(|at| before.swap_remove(at));
                function.provisioned.push(match same {
                    Some(same) => Provision { executions, ..same },
                    None => {
                        let requests = Bucket::default();
                        Provision { version, executions, requests, invocations: 0, spillovers: 0 }
                    }
                });
            }
        });
    }

    /// What became of the provisioned executions of a version (CORE-181); `None` where it has none.
    pub(crate) fn provisioned(&self, key: &FunctionKey) -> Option<ProvisionedMetrics> {
        let accounts = self.accounts();
        let function = accounts.get(&key.scope)?.functions.get(&key.name)?;
        let provision = function.provisioned.iter().find(|other| other.version == key.version)?;
        let running = function.running.iter().find(|other| other.version == key.version);
        let within = running.map_or(0, |running| running.count - running.spilled);
        Some(ProvisionedMetrics {
            concurrent_executions: within.min(provision.executions),
            executions: provision.executions,
            invocations: provision.invocations,
            spillover_invocations: provision.spillovers,
        })
    }

    /// The same of all versions that have any.
    pub(crate) fn all_provisioned(&self) -> Vec<(FunctionKey, ProvisionedMetrics)> {
        let mut keys = Vec::new();
        for (scope, account) in &*self.accounts() {
            for (name, function) in &account.functions {
                let key = |version| FunctionKey { scope: scope.clone(), name: name.clone(), version };
                keys.extend(function.provisioned.iter().map(|provision| key(provision.version)));
            }
        }
        keys.into_iter().filter_map(|key| self.provisioned(&key).map(|metrics| (key, metrics))).collect()
    }

    /// Events in progress of an account and region, and those of them that use shared executions (CORE-309).
    pub(crate) fn in_progress(&self, scope: &Scope) -> (usize, usize) {
        let accounts = self.accounts();
        let Some(account) = accounts.get(scope) else { return (0, 0) };
        let running = account.functions.values().flat_map(|function| &function.running);
        (running.map(|running| running.count).sum(), account.shared)
    }

    fn change(&self, scope: &Scope, name: &FunctionName, change: impl FnOnce(&mut Function)) {
        let mut accounts = self.accounts();
        let account = accounts.entry(scope.clone()).or_default();
        account.functions.entry(name.clone()).or_default();
        account.change(name, change);
    }
}

impl Account {
    /// Whether the event came too fast for the version's provisioned executions.
    fn enter(
        &mut self,
        name: &FunctionName,
        version: Version,
        limits: Limits,
        now: Instant,
    ) -> Result<bool, InvokeError> {
        let shared = limits.executions.saturating_sub(self.claimed);
        let (in_use, requests) = (self.shared, &mut self.requests);
        let mut share = || {
            if in_use >= shared {
                return Err(InvokeError::Throttled { limit: shared });
            }
            take(requests, limits.rate(shared), false, now)
        };
        let Some(function) = self.functions.get_mut(name) else {
            share()?;
            let running = vec![Running { version, count: 1, spilled: 0 }];
            self.functions.insert(name.clone(), Function { running, ..Function::default() });
            self.shared += 1;
            return Ok(false);
        };
        let within = function.running.iter().find(|other| other.version == version);
        let within = within.map_or(0, |running| running.count - running.spilled);
        let provision = function.provisioned.iter().position(|other| other.version == version);
        let (mut spilled, mut provisioned) = (false, false);
        if let Some(provision) = provision.and_then(|at| function.provisioned.get_mut(at))
            && within < provision.executions
        {
            let rate = limits.rate(provision.executions);
            spilled = take(&mut provision.requests, rate, true, now).is_err();
            provisioned = !spilled;
        }
        if !provisioned {
            match function.reserved {
                Some(reserved) if function.unprovisioned() >= function.left_of(reserved) => {
                    return Err(InvokeError::Reserved { limit: reserved });
                }
                Some(reserved) => {
                    let rate = limits.rate(function.left_of(reserved));
                    take(&mut function.requests, rate, true, now)?;
                }
                None => {
                    share()?;
                    self.shared += 1;
                }
            }
        }
        if let Some(provision) = provision.and_then(|at| function.provisioned.get_mut(at)) {
            let count = if provisioned { &mut provision.invocations } else { &mut provision.spillovers };
            *count += 1;
        }
        let more = usize::from(spilled);
        match function.running.iter_mut().find(|other| other.version == version) {
            Some(running) => {
                running.count += 1;
                running.spilled += more;
            }
            None => function.running.push(Running { version, count: 1, spilled: more }),
        }
        Ok(spilled)
    }

    fn leave(&mut self, name: &FunctionName, version: Version, spilled: bool) {
        self.change(name, |function| {
            if let Some(running) = function.running.iter_mut().find(|other| other.version == version) {
                running.count -= 1;
                running.spilled -= usize::from(spilled);
            }
            function.running.retain(|running| running.count > 0);
        });
    }

    /// Changes a function, and what it uses and claims with it.
    fn change(&mut self, name: &FunctionName, change: impl FnOnce(&mut Function)) {
        let Some(function) = self.functions.get_mut(name) else { return };
        let before = (function.shared(), function.claimed());
        change(function);
        self.shared = self.shared + function.shared() - before.0;
        self.claimed = self.claimed + function.claimed() - before.1;
        if function.running.is_empty() && function.provisioned.is_empty() && function.reserved.is_none() {
            self.functions.remove(name);
        }
    }
}

fn take(
    bucket: &mut Bucket,
    rate: Option<(u64, Rate)>,
    reserved: bool,
    now: Instant,
) -> Result<(), InvokeError> {
    let Some((limit, rate)) = rate else { return Ok(()) };
    bucket.take(rate, now).map_err(|wait| InvokeError::TooFast { limit, reserved, wait })
}

impl Function {
    /// Events in progress beyond those that their version has provisioned executions for.
    fn unprovisioned(&self) -> usize {
        let beyond = |running: &Running| {
            let within = running.count - running.spilled;
            running.spilled + within.saturating_sub(self.executions(running.version))
        };
        self.running.iter().map(beyond).sum()
    }

    fn executions(&self, version: Version) -> usize {
        self.provisioned.iter().find(|other| other.version == version).map_or(0, |p| p.executions)
    }

    fn all_provisioned(&self) -> usize {
        self.provisioned.iter().map(|provision| provision.executions).sum()
    }

    /// What is left of a reservation for events without provisioned executions (CORE-173).
    fn left_of(&self, reserved: usize) -> usize {
        reserved.saturating_sub(self.all_provisioned())
    }

    fn shared(&self) -> usize {
        if self.reserved.is_some() { 0 } else { self.unprovisioned() }
    }

    /// Provisioned executions are part of a reservation.
    fn claimed(&self) -> usize {
        self.reserved.unwrap_or_default().max(self.all_provisioned())
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut accounts = self.concurrency.accounts();
        let FunctionKey { scope, name, version } = &self.key;
        if let Some(account) = accounts.get_mut(scope) {
            account.leave(name, *version, self.spilled);
        }
    }
}

#[cfg(test)]
#[path = "concurrency_tests.rs"]
mod tests;
