//! What events run on, in memory: the warm path touches no database.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use lambd_store::aliases::AliasKey;
use lambd_types::{Condition, FunctionKey, FunctionName, FunctionSnapshot, Scope};

use crate::routing::Route;

/// A version that exists.
#[derive(Debug, Clone)]
pub enum Found {
    /// It can be invoked.
    Ready(Arc<FunctionSnapshot>),
    /// It cannot, because of its state, which has a reason.
    NotReady(Condition),
}

/// Versions and aliases that were asked for.
#[derive(Default)]
pub(crate) struct Snapshots(RwLock<Inner>);

#[derive(Default)]
struct Inner {
    versions: HashMap<FunctionKey, Found>,
    aliases: HashMap<AliasKey, Route>,
    /// Counts changes, so that a row read before one is not remembered after it.
    generation: u64,
}

/// When something was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Generation(u64);

impl Snapshots {
    fn read(&self) -> RwLockReadGuard<'_, Inner> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Inner> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// A version, or the right to remember what the database has of it. A version that was not ready is looked for
    /// there again: a client may have read that it is, a moment before it is published here.
    pub(crate) fn version(&self, key: &FunctionKey) -> Result<Found, Generation> {
        let inner = self.read();
        let ready = inner.versions.get(key).filter(|found| matches!(found, Found::Ready(_)));
        ready.cloned().ok_or(Generation(inner.generation))
    }

    /// An alias, in the same way.
    pub(crate) fn alias(&self, key: &AliasKey) -> Result<Route, Generation> {
        let inner = self.read();
        inner.aliases.get(key).copied().ok_or(Generation(inner.generation))
    }

    /// Remembers a version, unless something changed since it was read.
    pub(crate) fn remember_version(&self, since: Generation, key: &FunctionKey, found: &Found) {
        let mut inner = self.write();
        if inner.generation == since.0 {
            inner.versions.insert(key.clone(), found.clone());
        }
    }

    /// Remembers an alias, in the same way.
    pub(crate) fn remember_alias(&self, since: Generation, key: &AliasKey, route: Route) {
        let mut inner = self.write();
        if inner.generation == since.0 {
            inner.aliases.insert(key.clone(), route);
        }
    }

    /// These versions have changed, all at one time. Those without a value are loaded when they are needed.
    pub(crate) fn change_versions(&self, changes: Vec<(FunctionKey, Option<Found>)>) {
        let mut inner = self.write();
        inner.generation += 1;
        for (key, found) in changes {
            match found {
                Some(found) => inner.versions.insert(key, found),
                None => inner.versions.remove(&key),
            };
        }
    }

    /// An alias leads somewhere else, or is gone.
    pub(crate) fn change_alias(&self, key: AliasKey, route: Option<Route>) {
        let mut inner = self.write();
        inner.generation += 1;
        match route {
            Some(route) => inner.aliases.insert(key, route),
            None => inner.aliases.remove(&key),
        };
    }

    /// A function is gone with all its versions and aliases.
    pub(crate) fn forget(&self, scope: &Scope, name: &FunctionName) {
        let mut inner = self.write();
        inner.generation += 1;
        inner.versions.retain(|key, _| key.scope != *scope || key.name != *name);
        inner.aliases.retain(|key, _| key.scope != *scope || key.name != *name);
    }
}

#[cfg(test)]
mod tests {
    use lambd_types::{AccountId, AliasName, Region, Version};

    use super::*;

    /// A row that was read before a change must not come back after it.
    #[test]
    fn what_was_read_before_a_change_is_not_remembered() {
        let snapshots = Snapshots::default();
        let scope = Scope { account: AccountId::default_local(), region: Region::default_local() };
        let name = FunctionName::parse("f").unwrap();
        let key = AliasKey { scope, name, alias: AliasName::parse("a").unwrap() };
        let to = |n| Route { version: Version::Published(n), additional: None };
        let before = snapshots.alias(&key).unwrap_err();
        snapshots.change_alias(key.clone(), Some(to(2)));
        snapshots.remember_alias(before, &key, to(1));
        assert_eq!(snapshots.alias(&key), Ok(to(2)));
        snapshots.forget(&key.scope, &key.name);
        let now = snapshots.alias(&key).unwrap_err();
        snapshots.remember_alias(now, &key, to(3));
        assert_eq!(snapshots.alias(&key), Ok(to(3)));
    }
}
