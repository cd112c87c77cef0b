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
    idle: Vec<Idle<T>>,
}

#[derive(Debug)]
struct Idle<T> {
    instance: T,
    since: Instant,
    frozen: bool,
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
            Some(version) if version.revision == *revision => version.idle.pop().map(|idle| idle.instance),
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
                version.idle.push(Idle { instance, since: now, frozen: false });
                None
            }
            _ => Some(instance),
        }
    }

    /// Makes `revision` the current one of a version and returns the idle instances of the one before.
    pub(crate) fn supersede(&mut self, key: &FunctionKey, revision: &RevisionId) -> Vec<T> {
        // What a client sees has changed, but not what runs.
        if self.versions.get(key).is_some_and(|version| version.revision == *revision) {
            return Vec::new();
        }
        let version = Version { revision: revision.clone(), idle: Vec::new() };
        let old = self.versions.insert(key.clone(), version);
        old.into_iter().flat_map(|v| v.idle).map(|idle| idle.instance).collect()
    }

    /// Forgets a function with all its versions and returns their idle instances.
    pub(crate) fn remove(&mut self, scope: &Scope, name: &FunctionName) -> Vec<T> {
        let gone = self.versions.extract_if(|key, _| key.scope == *scope && key.name == *name);
        gone.flat_map(|(_, v)| v.idle).map(|idle| idle.instance).collect()
    }

    /// Forgets one version and returns its idle instances.
    pub(crate) fn remove_version(&mut self, key: &FunctionKey) -> Vec<T> {
        let gone = self.versions.remove(key);
        gone.into_iter().flat_map(|v| v.idle).map(|idle| idle.instance).collect()
    }

    /// Returns the instances that were idle for longer than `limit`.
    pub(crate) fn expire(&mut self, now: Instant, limit: Duration) -> Vec<T> {
        let mut gone = Vec::new();
        for version in self.versions.values_mut() {
            // Sorted by the time of their last use.
            let keep_from = version.idle.partition_point(|idle| now - idle.since >= limit);
            gone.extend(version.idle.drain(..keep_from).map(|idle| idle.instance));
        }
        gone
    }

    /// Returns up to `count` idle instances, those first that were not used for longest; with `holder`, of that function
    /// alone.
    pub(crate) fn evict(&mut self, count: usize, holder: Option<(&Scope, &FunctionName)>) -> Vec<T> {
        let mut gone = Vec::new();
        while gone.len() < count {
            let versions = self.versions.iter_mut().filter(|(key, version)| {
                let is_asked = holder.is_none_or(|(scope, name)| key.scope == *scope && key.name == *name);
                is_asked && !version.idle.is_empty()
            });
            let oldest = versions.min_by_key(|(_, version)| version.idle.first().map(|idle| idle.since));
            let Some((_, version)) = oldest else { break };
            gone.push(version.idle.remove(0).instance);
        }
        gone
    }

    /// Idle instances.
    pub(crate) fn len(&self) -> usize {
        self.versions.values().map(|version| version.idle.len()).sum()
    }

    /// Returns the instances that became idle `grace` ago and were not returned before, and when there
    /// will be others.
    pub(crate) fn freeze(&mut self, now: Instant, grace: Duration) -> (Vec<T>, Option<Instant>)
    where
        T: Clone,
    {
        let (mut due, mut next) = (Vec::new(), None::<Instant>);
        let warm =
            self.versions.values_mut().flat_map(|version| &mut version.idle).filter(|idle| !idle.frozen);
        for idle in warm {
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

    /// Empties everything.
    pub(crate) fn drain(&mut self) -> Vec<T> {
        self.versions.drain().flat_map(|(_, v)| v.idle).map(|idle| idle.instance).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::key;

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

    /// CORE-302: whoever was not used for longest goes first, of one function or of all.
    #[tokio::test(start_paused = true)]
    async fn the_least_recently_used_are_evicted() {
        let (mut pools, start, revision) = (Pools::default(), Instant::now(), RevisionId::random());
        for (second, name, instance) in [(1, "f", 1), (2, "g", 2), (3, "f", 3), (4, "g", 4), (5, "h", 5)] {
            pools.supersede(&key(name), &revision);
            pools.put(&key(name), &revision, instance, start + Duration::from_secs(second));
        }
        // To take and put back is to use: 3 is the newest of all now.
        assert_eq!(pools.take(&key("f"), &revision), Some(3));
        pools.put(&key("f"), &revision, 3, start + Duration::from_secs(6));
        assert_eq!(pools.len(), 5);
        assert_eq!(pools.evict(2, None), [1, 2]);
        assert_eq!(pools.evict(2, Some((&key("f").scope, &key("f").name))), [3]);
        assert_eq!(pools.evict(9, None), [4, 5]);
        assert_eq!(pools.len(), 0);
    }

    /// RT-28: each idle instance is frozen once, after the grace.
    #[tokio::test(start_paused = true)]
    async fn idle_instances_are_frozen_after_a_grace() {
        let (mut pools, key, revision) = (Pools::default(), key("f"), RevisionId::random());
        pools.take(&key, &revision);
        let (start, grace) = (Instant::now(), Duration::from_millis(100));
        pools.put(&key, &revision, "a", start);
        pools.put(&key, &revision, "b", start + grace / 2);
        assert_eq!(pools.freeze(start, grace), (vec![], Some(start + grace)));
        assert_eq!(pools.freeze(start + grace, grace), (vec!["a"], Some(start + grace / 2 + grace)));
        assert_eq!(pools.freeze(start + grace * 2, grace), (vec!["b"], None));
        assert_eq!(pools.take(&key, &revision), Some("b"));
        pools.put(&key, &revision, "b", start + grace * 2);
        assert_eq!(pools.freeze(start + grace * 3, grace), (vec!["b"], None), "again after it was used");
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
        assert_eq!(pools.supersede(&key, &second), [] as [&str; 0], "it is the current one already");
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
        assert_eq!(pools.remove_version(&key("b")), ["b"]);
        assert_eq!(pools.put(&key("b"), &revision, "late", now), Some("late"));
        assert_eq!(pools.drain(), [] as [&str; 0]);
    }
}
