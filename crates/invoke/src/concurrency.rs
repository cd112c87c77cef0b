//! How many events an account and region, and a function or version that has executions of its own, may have in
//! progress.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use lambd_types::{FunctionKey, FunctionName, Scope, Version};

use crate::InvokeError;

/// Counts events in progress.
#[derive(Debug, Clone)]
pub(crate) struct Concurrency {
    accounts: Arc<Mutex<HashMap<Scope, Account>>>,
    limit: usize,
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
}

/// A function has a handful of versions at work at most: lists do for them.
#[derive(Debug, Default)]
struct Function {
    /// Events in progress by version; never zero.
    running: Vec<(Version, usize)>,
    /// Provisioned executions by version.
    provisioned: Vec<(Version, usize)>,
    reserved: Option<usize>,
}

/// The right to process one event; it gives itself back.
#[derive(Debug)]
pub(crate) struct Permit {
    concurrency: Concurrency,
    key: FunctionKey,
}

impl Concurrency {
    pub(crate) fn new(limit: usize) -> Self {
        Self { accounts: Arc::default(), limit }
    }

    fn accounts(&self) -> MutexGuard<'_, HashMap<Scope, Account>> {
        self.accounts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A permit, or the error of a full function (CORE-166) or a full account (CORE-305). Executions provisioned for
    /// the version are used first, whether their instances are there yet or not.
    pub(crate) fn acquire(&self, key: &FunctionKey) -> Result<Permit, InvokeError> {
        let mut accounts = self.accounts();
        if !accounts.contains_key(&key.scope) {
            accounts.insert(key.scope.clone(), Account::default());
        }
        if let Some(account) = accounts.get_mut(&key.scope) {
            account.enter(&key.name, key.version, self.limit)?;
        }
        Ok(Permit { concurrency: self.clone(), key: key.clone() })
    }

    /// Gives a function executions of its own, or takes them back with `None`. Events in progress count at once
    /// where they belong now.
    pub(crate) fn reserve(&self, scope: &Scope, name: &FunctionName, executions: Option<usize>) {
        self.change(scope, name, |function| function.reserved = executions);
    }

    /// Gives versions of a function executions of their own, in the same way; its other versions have none.
    pub(crate) fn provision(&self, scope: &Scope, name: &FunctionName, executions: Vec<(Version, usize)>) {
        self.change(scope, name, |function| function.provisioned = executions);
    }

    fn change(&self, scope: &Scope, name: &FunctionName, change: impl FnOnce(&mut Function)) {
        let mut accounts = self.accounts();
        let account = accounts.entry(scope.clone()).or_default();
        account.functions.entry(name.clone()).or_default();
        account.change(name, change);
        if account.functions.is_empty() {
            accounts.remove(scope);
        }
    }
}

impl Account {
    fn enter(&mut self, name: &FunctionName, version: Version, limit: usize) -> Result<(), InvokeError> {
        let shared = limit.saturating_sub(self.claimed);
        let Some(function) = self.functions.get_mut(name) else {
            if self.shared >= shared {
                return Err(InvokeError::Throttled { limit: shared });
            }
            let running = vec![(version, 1)];
            self.functions.insert(name.clone(), Function { running, ..Function::default() });
            self.shared += 1;
            return Ok(());
        };
        if of(&function.running, version) >= of(&function.provisioned, version) {
            match function.reserved {
                Some(reserved) if function.unprovisioned() >= function.left_of(reserved) => {
                    return Err(InvokeError::Reserved { limit: reserved });
                }
                Some(_) => {}
                None if self.shared >= shared => return Err(InvokeError::Throttled { limit: shared }),
                None => self.shared += 1,
            }
        }
        match function.running.iter_mut().find(|(other, _)| *other == version) {
            Some((_, count)) => *count += 1,
            None => function.running.push((version, 1)),
        }
        Ok(())
    }

    fn leave(&mut self, name: &FunctionName, version: Version) {
        self.change(name, |function| {
            if let Some((_, count)) = function.running.iter_mut().find(|(other, _)| *other == version) {
                *count -= 1;
            }
            function.running.retain(|(_, count)| *count > 0);
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

impl Function {
    /// Events in progress beyond those that their version has provisioned executions for.
    fn unprovisioned(&self) -> usize {
        let beyond =
            |(version, count): &(Version, usize)| count.saturating_sub(of(&self.provisioned, *version));
        self.running.iter().map(beyond).sum()
    }

    fn all_provisioned(&self) -> usize {
        self.provisioned.iter().map(|(_, executions)| executions).sum()
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

fn of(list: &[(Version, usize)], version: Version) -> usize {
    list.iter().find(|(other, _)| *other == version).map_or(0, |(_, count)| *count)
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut accounts = self.concurrency.accounts();
        let FunctionKey { scope, name, version } = &self.key;
        if let Some(account) = accounts.get_mut(scope) {
            account.leave(name, *version);
            if account.functions.is_empty() {
                accounts.remove(scope);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use lambd_types::{AccountId, Region};

    use super::*;

    fn scope(region: &str) -> Scope {
        Scope { account: AccountId::default_local(), region: Region::parse(region).unwrap() }
    }

    fn name(text: &str) -> FunctionName {
        FunctionName::parse(text).unwrap()
    }

    fn key(scope: &Scope, name: &FunctionName, version: u64) -> FunctionKey {
        let version = if version == 0 { Version::Latest } else { Version::Published(version) };
        FunctionKey { scope: scope.clone(), name: name.clone(), version }
    }

    fn account_is_full(limit: usize) -> InvokeError {
        InvokeError::Throttled { limit }
    }

    #[test]
    fn permits_come_back_and_scopes_are_apart() {
        let (here, there, f) = (scope("us-east-1"), scope("us-east-2"), name("f"));
        let concurrency = Concurrency::new(1);
        let held = concurrency.acquire(&key(&here, &f, 0)).unwrap();
        assert_eq!(concurrency.acquire(&key(&here, &name("g"), 0)).unwrap_err(), account_is_full(1));
        concurrency.acquire(&key(&there, &f, 0)).unwrap();
        drop(held);
        concurrency.acquire(&key(&here, &f, 0)).unwrap();
        assert!(concurrency.accounts().is_empty(), "nothing is left of functions at rest");
    }

    /// CORE-166, CORE-168, CORE-169: others cannot use what is reserved, nor the function more than that.
    #[test]
    fn reserved_executions_are_for_one_function_alone() {
        let (here, f, g) = (scope("us-east-1"), name("f"), name("g"));
        let concurrency = Concurrency::new(3);
        concurrency.reserve(&here, &f, Some(2));
        let _other = concurrency.acquire(&key(&here, &g, 0)).unwrap();
        assert_eq!(concurrency.acquire(&key(&here, &g, 0)).unwrap_err(), account_is_full(1));
        let held = [
            concurrency.acquire(&key(&here, &f, 0)).unwrap(),
            concurrency.acquire(&key(&here, &f, 0)).unwrap(),
        ];
        assert_eq!(concurrency.acquire(&key(&here, &f, 0)).unwrap_err(), InvokeError::Reserved { limit: 2 });
        drop(held);
        concurrency.reserve(&here, &f, Some(0));
        assert_eq!(concurrency.acquire(&key(&here, &f, 0)).unwrap_err(), InvokeError::Reserved { limit: 0 });
        let _more = [
            concurrency.acquire(&key(&here, &g, 0)).unwrap(),
            concurrency.acquire(&key(&here, &g, 0)).unwrap(),
        ];
        concurrency.reserve(&here, &f, None);
        assert_eq!(concurrency.acquire(&key(&here, &f, 0)).unwrap_err(), account_is_full(3));
    }

    #[test]
    fn events_in_progress_count_where_they_belong_now() {
        let (here, f, g) = (scope("us-east-1"), name("f"), name("g"));
        let concurrency = Concurrency::new(3);
        let held = concurrency.acquire(&key(&here, &f, 0)).unwrap();
        concurrency.reserve(&here, &f, Some(1));
        assert_eq!(concurrency.acquire(&key(&here, &f, 0)).unwrap_err(), InvokeError::Reserved { limit: 1 });
        let others = [
            concurrency.acquire(&key(&here, &g, 0)).unwrap(),
            concurrency.acquire(&key(&here, &g, 0)).unwrap(),
        ];
        concurrency.reserve(&here, &f, None);
        assert_eq!(concurrency.acquire(&key(&here, &g, 0)).unwrap_err(), account_is_full(3));
        drop((held, others));
        assert!(concurrency.accounts().is_empty());
    }

    /// What is used and claimed is what functions use and claim, whatever happens in which order.
    #[test]
    fn nothing_is_lost_under_any_order_of_events_and_changes() {
        let (here, limit) = (scope("us-east-1"), 12);
        let names = [name("f"), name("g")];
        for seed in 0..200u64 {
            let mut state = seed;
            let mut below = |n: u64| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                (state >> 33) % n
            };
            let concurrency = Concurrency::new(limit);
            let mut held = Vec::new();
            for _ in 0..100 {
                let f = &names[below(2) as usize];
                match below(8) {
                    0 => concurrency.reserve(&here, f, [None, Some(0), Some(3), Some(6)][below(4) as usize]),
                    1 => {
                        let executions = |version| (Version::Published(version), below(3) as usize);
                        concurrency.provision(&here, f, [1, 2].map(executions).into());
                    }
                    2..=4 if !held.is_empty() => drop(held.swap_remove(below(held.len() as u64) as usize)),
                    _ => held.extend(concurrency.acquire(&key(&here, f, below(3)))),
                }
                let accounts = concurrency.accounts();
                let Some(account) = accounts.get(&here) else { continue };
                let all = account.functions.values();
                assert_eq!(account.shared, all.clone().map(Function::shared).sum::<usize>(), "seed {seed}");
                assert_eq!(account.claimed, all.clone().map(Function::claimed).sum::<usize>(), "seed {seed}");
                let running = all.flat_map(|f| &f.running).map(|(_, count)| count).sum::<usize>();
                assert_eq!(running, held.len(), "seed {seed}");
            }
            held.clear();
            for f in &names {
                concurrency.reserve(&here, f, None);
                concurrency.provision(&here, f, Vec::new());
            }
            assert!(concurrency.accounts().is_empty(), "seed {seed}");
        }
    }

    /// CORE-172, CORE-174: executions of a version are for it alone, and beyond them it uses what all share.
    #[test]
    fn provisioned_executions_are_used_first_and_then_the_shared_ones() {
        let (here, f, g) = (scope("us-east-1"), name("f"), name("g"));
        let concurrency = Concurrency::new(4);
        concurrency.provision(&here, &f, vec![(Version::Published(1), 2)]);
        let others = [(); 2].map(|()| concurrency.acquire(&key(&here, &g, 0)).unwrap());
        assert_eq!(concurrency.acquire(&key(&here, &g, 0)).unwrap_err(), account_is_full(2));
        assert_eq!(concurrency.acquire(&key(&here, &f, 2)).unwrap_err(), account_is_full(2));
        let held = [(); 2].map(|()| concurrency.acquire(&key(&here, &f, 1)).unwrap());
        assert_eq!(concurrency.acquire(&key(&here, &f, 1)).unwrap_err(), account_is_full(2));
        drop(others);
        let more = [(); 2].map(|()| concurrency.acquire(&key(&here, &f, 1)).unwrap());
        assert_eq!(concurrency.acquire(&key(&here, &g, 0)).unwrap_err(), account_is_full(2));
        // What began beyond the provisioned executions moves into them when one of those is free again.
        drop(held);
        let _others = [(); 2].map(|()| concurrency.acquire(&key(&here, &g, 0)).unwrap());
        drop(more);
        concurrency.provision(&here, &f, Vec::new());
        let _all = [(); 2].map(|()| concurrency.acquire(&key(&here, &f, 1)).unwrap());
        assert_eq!(concurrency.acquire(&key(&here, &f, 1)).unwrap_err(), account_is_full(4));
    }

    /// CORE-173: they are part of the reservation; when they are all of it, nothing else of the function runs.
    #[test]
    fn provisioned_executions_are_taken_from_the_reservation() {
        let (here, f, g) = (scope("us-east-1"), name("f"), name("g"));
        let concurrency = Concurrency::new(4);
        concurrency.reserve(&here, &f, Some(3));
        concurrency.provision(&here, &f, vec![(Version::Published(1), 1), (Version::Published(2), 1)]);
        let other = concurrency.acquire(&key(&here, &g, 0)).unwrap();
        assert_eq!(concurrency.acquire(&key(&here, &g, 0)).unwrap_err(), account_is_full(1));
        let latest = concurrency.acquire(&key(&here, &f, 0)).unwrap();
        let full = InvokeError::Reserved { limit: 3 };
        assert_eq!(concurrency.acquire(&key(&here, &f, 0)).unwrap_err(), full);
        let _held = [1, 2].map(|version| concurrency.acquire(&key(&here, &f, version)).unwrap());
        assert_eq!(concurrency.acquire(&key(&here, &f, 1)).unwrap_err(), full);
        drop(latest);
        concurrency.provision(&here, &f, vec![(Version::Published(1), 2), (Version::Published(2), 1)]);
        assert_eq!(concurrency.acquire(&key(&here, &f, 0)).unwrap_err(), full);
        let held = concurrency.acquire(&key(&here, &f, 1)).unwrap();
        drop((_held, held, other));
        concurrency.provision(&here, &f, Vec::new());
        concurrency.reserve(&here, &f, None);
        assert!(concurrency.accounts().is_empty());
    }
}
