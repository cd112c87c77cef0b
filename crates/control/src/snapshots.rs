//! What events run on, in memory: the warm path touches no database.

use std::collections::{HashMap, HashSet};
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
    /// Versions whose change may be committed and is not published here yet.
    unsure: HashSet<FunctionKey>,
    /// Counts changes, so that a row read before one is not remembered after it.
    generation: u64,
}

/// When something was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Generation(u64);

/// While it lives, its versions are looked for in the database. See [`Snapshots::unsure`].
pub(crate) struct Unsure<'a> {
    snapshots: &'a Snapshots,
    keys: Vec<FunctionKey>,
}

impl Drop for Unsure<'_> {
    fn drop(&mut self) {
        let mut inner = self.snapshots.write();
        for key in &self.keys {
            inner.unsure.remove(key);
        }
    }
}

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
        let is_sure = |found: &&Found| matches!(found, Found::Ready(_)) && !inner.unsure.contains(key);
        let ready = inner.versions.get(key).filter(is_sure);
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
        if inner.generation == since.0 && !inner.unsure.contains(key) {
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

    /// A change of these versions is about to be committed: until it is published, and this guard is dropped, they are
    /// looked for in the database. Otherwise a client that reads there that its update is done would still get what was
    /// before. For changes under [`crate::Control::changes`] alone.
    pub(crate) fn unsure(&self, keys: Vec<FunctionKey>) -> Unsure<'_> {
        self.write().unsure.extend(keys.iter().cloned());
        Unsure { snapshots: self, keys }
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
    use lambd_types::{
        AccountId, AliasName, EphemeralStorage, LogFormat, MemorySize, Region, RevisionId, Sha256Digest,
        Timeout, Version,
    };

    use super::*;

    /// From before its commit until after its publication, a change is looked for where it is committed.
    #[test]
    fn what_may_have_changed_is_not_answered_from_memory() {
        let snapshots = Snapshots::default();
        let scope = Scope { account: AccountId::default_local(), region: Region::default_local() };
        let name = FunctionName::parse("f").unwrap();
        let key = FunctionKey { scope, name, version: Version::Latest };
        let found = Found::Ready(Arc::new(FunctionSnapshot {
            key: key.clone(),
            revision: RevisionId::random(),
            arn: String::new(),
            runtime: "provided.al2023".into(),
            handler: String::new(),
            memory: MemorySize::default(),
            timeout: Timeout::default(),
            ephemeral_storage: EphemeralStorage::default(),
            snap_start: false,
            network: None,
            environment: Arc::default(),
            code: Sha256Digest::of(b""),
            code_dir: "/code".into(),
            layers_dir: None,
            log_group: String::new(),
            log_format: LogFormat::Text,
            dead_letter: None,
        }));
        snapshots.change_versions(vec![(key.clone(), Some(found.clone()))]);
        assert!(snapshots.version(&key).is_ok());
        let unsure = snapshots.unsure(vec![key.clone()]);
        let since = snapshots.version(&key).unwrap_err();
        snapshots.remember_version(since, &key, &found);
        assert!(snapshots.version(&key).is_err());
        drop(unsure);
        assert!(snapshots.version(&key).is_ok());
    }

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
