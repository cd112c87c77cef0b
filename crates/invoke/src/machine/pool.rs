//! Which idle instance takes the next event, and which must go.

use std::collections::HashMap;
use std::time::Duration;

use lambd_types::{FunctionKey, FunctionName, RevisionId, Scope};
use tokio::time::Instant;

/// Idle instances by function version. Only the current revision of a version is kept; instances of an
/// older one are handed back to be stopped (RT-27).
#[derive(Debug)]
pub(crate) struct Pools<T> {
    versions: HashMap<FunctionKey, Version<T>>,
}

#[derive(Debug)]
struct Version<T> {
    revision: RevisionId,
    /// The most recently used last: it is taken first, so that the rest can expire.
    idle: Vec<(T, Instant)>,
}

impl<T> Default for Pools<T> {
    fn default() -> Self {
        Self { versions: HashMap::new() }
    }
}

impl<T> Pools<T> {
    /// The most recently used idle instance of a revision.
    pub(crate) fn take(&mut self, key: &FunctionKey, revision: &RevisionId) -> Option<T> {
        match self.versions.get_mut(key) {
            Some(version) if version.revision == *revision => {
                version.idle.pop().map(|(instance, _)| instance)
            }
            Some(_) => None,
            None => {
                let version = Version { revision: revision.clone(), idle: Vec::new() };
                self.versions.insert(key.clone(), version);
                None
            }
        }
    }

    /// Keeps an instance for the next event, or gives it back because its revision is not current.
    pub(crate) fn put(
        &mut self,
        key: &FunctionKey,
        revision: &RevisionId,
        instance: T,
        now: Instant,
    ) -> Option<T> {
        match self.versions.get_mut(key) {
            Some(version) if version.revision == *revision => {
                version.idle.push((instance, now));
                None
            }
            _ => Some(instance),
        }
    }

    /// Makes `revision` the current one of a version and returns the idle instances of the one before.
    pub(crate) fn supersede(&mut self, key: &FunctionKey, revision: &RevisionId) -> Vec<T> {
        let version = Version { revision: revision.clone(), idle: Vec::new() };
        let old = self.versions.insert(key.clone(), version);
        old.into_iter().flat_map(|v| v.idle).map(|(instance, _)| instance).collect()
    }

    /// Forgets a function with all its versions and returns their idle instances.
    pub(crate) fn remove(&mut self, scope: &Scope, name: &FunctionName) -> Vec<T> {
        let gone = self.versions.extract_if(|key, _| key.scope == *scope && key.name == *name);
        gone.flat_map(|(_, v)| v.idle).map(|(instance, _)| instance).collect()
    }

    /// Returns the instances that were idle for longer than `limit`.
    pub(crate) fn expire(&mut self, now: Instant, limit: Duration) -> Vec<T> {
        let mut gone = Vec::new();
        for version in self.versions.values_mut() {
            // Sorted by the time of their last use.
            let keep_from = version.idle.partition_point(|(_, since)| now - *since >= limit);
            gone.extend(version.idle.drain(..keep_from).map(|(instance, _)| instance));
        }
        gone
    }

    /// Empties everything.
    pub(crate) fn drain(&mut self) -> Vec<T> {
        self.versions.drain().flat_map(|(_, v)| v.idle).map(|(instance, _)| instance).collect()
    }
}

#[cfg(test)]
mod tests {
    use lambd_types::{AccountId, Region, Version as FunctionVersion};

    use super::*;

    fn key(name: &str) -> FunctionKey {
        FunctionKey {
            scope: Scope { account: AccountId::default_local(), region: Region::default_local() },
            name: FunctionName::parse(name).unwrap(),
            version: FunctionVersion::Latest,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_most_recently_used_is_taken_and_the_others_expire() {
        let (mut pools, key, revision) = (Pools::default(), key("f"), RevisionId::random());
        assert_eq!(pools.take(&key, &revision), None);
        let start = Instant::now();
        let minute = Duration::from_secs(60);
        assert_eq!(pools.put(&key, &revision, "old", start), None);
        assert_eq!(pools.put(&key, &revision, "new", start + minute), None);
        assert_eq!(pools.expire(start + minute, minute), ["old"]);
        assert_eq!(pools.take(&key, &revision), Some("new"));
        assert_eq!(pools.take(&key, &revision), None);
    }

    #[tokio::test(start_paused = true)]
    async fn instances_of_another_revision_are_never_reused() {
        let (mut pools, key, now) = (Pools::default(), key("f"), Instant::now());
        let (first, second) = (RevisionId::random(), RevisionId::random());
        pools.take(&key, &first);
        pools.put(&key, &first, "idle", now);
        assert_eq!(pools.supersede(&key, &second), ["idle"]);
        assert_eq!(pools.put(&key, &first, "busy until now", now), Some("busy until now"));
        assert_eq!(pools.take(&key, &first), None);
        assert_eq!(pools.put(&key, &second, "fresh", now), None);
        assert_eq!(pools.take(&key, &second), Some("fresh"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_removed_function_keeps_nothing() {
        let (mut pools, now, revision) = (Pools::default(), Instant::now(), RevisionId::random());
        for name in ["a", "b"] {
            pools.take(&key(name), &revision);
            pools.put(&key(name), &revision, name, now);
        }
        assert_eq!(pools.remove(&key("a").scope, &key("a").name), ["a"]);
        assert_eq!(pools.put(&key("a"), &revision, "late", now), Some("late"));
        assert_eq!(pools.drain(), ["b"]);
    }
}
