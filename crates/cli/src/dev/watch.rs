//! File changes, gathered until they pause.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf, absolute};
use std::time::Duration;

use notify::event::{AccessKind, AccessMode, EventKind};
use notify::{RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};

use crate::failure::Failure;

/// A save is over when nothing has changed for this long.
const PAUSE: Duration = Duration::from_millis(50);
/// A stream of changes without a pause is acted on after this long.
const LONGEST: Duration = Duration::from_millis(500);

/// Watches a folder and, where functions' code lies outside of it, more.
pub(super) struct Watcher {
    inner: RecommendedWatcher,
    watched: Vec<PathBuf>,
    changes: mpsc::UnboundedReceiver<PathBuf>,
}

impl Watcher {
    pub(super) fn new(dir: &Path) -> Result<Self, Failure> {
        let (sender, changes) = mpsc::unbounded_channel();
        let report = move |event: notify::Result<notify::Event>| {
            // Where the kernel lost events, everything may have changed: an empty path says so.
            let paths = match event {
                Ok(event) if event.need_rescan() => vec![PathBuf::new()],
                Ok(event) if is_change(event.kind) => event.paths,
                Ok(_) | Err(_) => Vec::new(),
            };
            for path in paths {
                // The receiver is gone only when the command ends.
                let _ = sender.send(path);
            }
        };
        let inner = notify::recommended_watcher(report)
            .map_err(|source| Failure::Watch { path: dir.to_owned(), source })?;
        let mut watcher = Self { inner, watched: Vec::new(), changes };
        watcher.also(dir)?;
        Ok(watcher)
    }

    /// Watches `path` too, unless it lies below what is watched.
    pub(super) fn also(&mut self, path: &Path) -> Result<(), Failure> {
        let path = full(path);
        if self.watched.iter().any(|watched| path.starts_with(watched)) {
            return Ok(());
        }
        let failed = |source| Failure::Watch { path: path.clone(), source };
        self.inner.watch(&path, RecursiveMode::Recursive).map_err(failed)?;
        self.watched.push(path);
        Ok(())
    }

    /// The paths of the next changes, absolute, after a pause has followed them.
    pub(super) async fn next(&mut self) -> BTreeSet<PathBuf> {
        let mut batch = BTreeSet::new();
        let Some(first) = self.changes.recv().await else { return std::future::pending().await };
        batch.insert(full(&first));
        let latest = Instant::now() + LONGEST;
        while let Ok(Some(path)) = timeout_at(latest.min(Instant::now() + PAUSE), self.changes.recv()).await {
            batch.insert(full(&path));
        }
        batch
    }
}

/// The path as the watcher reports it: absolute, links kept.
pub(super) fn full(path: &Path) -> PathBuf {
    if path.as_os_str().is_empty() {
        return PathBuf::new();
    }
    absolute(path).unwrap_or_else(|_| path.to_owned())
}

/// Reading is no change: packaging reads every file.
fn is_change(kind: EventKind) -> bool {
    match kind {
        EventKind::Access(access) => access == AccessKind::Close(AccessMode::Write),
        EventKind::Create(_)
        | EventKind::Modify(_)
        | EventKind::Remove(_)
        | EventKind::Any
        | EventKind::Other => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_save_is_one_change_and_reading_is_none() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("app.py");
        std::fs::write(&file, "1").unwrap();
        let mut watcher = Watcher::new(dir.path()).unwrap();
        std::fs::read(&file).unwrap();
        std::fs::write(&file, "2").unwrap();
        std::fs::write(dir.path().join("other.py"), "2").unwrap();
        let batch = watcher.next().await;
        assert_eq!(batch, BTreeSet::from([file.clone(), dir.path().join("other.py")]));
        std::fs::read(&file).unwrap();
        assert!(watcher.changes.is_empty());
    }
}
