//! Removing what sandboxes leave: cgroups once they are empty, also those that dead daemons left, and
//! directories in the place of `/tmp`.
//!
//! rmdir(2) of a cgroup fails with `EBUSY` until the last process in it is gone for good, which is a
//! little after its death is seen. A task retries, so that nobody else waits.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::{MissedTickBehavior, interval};

use crate::cgroups::{self, Cgroups};
use crate::tmp;

/// After so many attempts, at growing distance (about twenty seconds in all), directories are left to
/// the next round.
const ATTEMPTS: u32 = 200;
/// In a round, which comes again (about two seconds).
const ROUND_ATTEMPTS: u32 = 20;
const LONGEST_PAUSE: Duration = Duration::from_millis(100);

enum Message {
    Remove(Vec<PathBuf>),
    RemoveTree(PathBuf),
    /// Answer when everything asked for before is done.
    Flush(oneshot::Sender<()>),
}

/// Handle to the task, which ends with the last handle.
#[derive(Clone, Debug)]
pub(crate) struct Cleaner(mpsc::UnboundedSender<Message>);

impl Cleaner {
    /// Starts the task; must be called inside a runtime. It looks for what dead daemons left at once and
    /// then in rounds at this distance.
    pub(crate) fn start(cgroups: Arc<Cgroups>, round: Duration) -> Self {
        let (sender, receiver) = mpsc::unbounded_channel();
        tokio::spawn(run(receiver, cgroups, round));
        Self(sender)
    }

    /// Removes the directories in this order as soon as they are empty.
    pub(crate) fn remove(&self, directories: Vec<PathBuf>) {
        // A task that is gone went with its runtime: the daemon is ending and another one removes what
        // is left.
        let _ = self.0.send(Message::Remove(directories));
    }

    /// Removes everything of this daemon, whose sandboxes must be dead. For a moment they are left to those
    /// who watched them, who may still want to read how much memory they used.
    pub(crate) async fn finish(&self, cgroups: &Cgroups) {
        for milliseconds in [0, 1, 2, 4, 8, 16, 32, 64] {
            tokio::time::sleep(Duration::from_millis(milliseconds)).await;
            self.flush().await;
            if cgroups.remove_own() {
                return;
            }
        }
        self.remove(cgroups.own());
        self.flush().await;
    }

    /// Removes a directory with everything in it, see [`tmp::remove`].
    pub(crate) fn remove_tree(&self, directory: PathBuf) {
        // As above.
        let _ = self.0.send(Message::RemoveTree(directory));
    }

    /// Waits until all removals asked for so far are done or given up.
    pub(crate) async fn flush(&self) {
        let (sender, receiver) = oneshot::channel();
        if self.0.send(Message::Flush(sender)).is_ok() {
            let _ = receiver.await;
        }
    }
}

async fn run(mut messages: mpsc::UnboundedReceiver<Message>, cgroups: Arc<Cgroups>, round: Duration) {
    let mut running = JoinSet::new();
    // What stayed busy to the last attempt.
    let mut left = Vec::new();
    // A period of zero is refused.
    let mut rounds = interval(round.max(LONGEST_PAUSE));
    rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            message = messages.recv() => match message {
                Some(Message::Remove(directories)) => {
                    running.spawn(remove(directories, ATTEMPTS));
                }
                Some(Message::RemoveTree(directory)) => {
                    running.spawn(async move {
                        remove_tree(directory).await;
                        Vec::new()
                    });
                }
                Some(Message::Flush(done)) => {
                    while let Some(ended) = running.join_next().await {
                        left.extend(ended.unwrap_or_default());
                    }
                    let _ = done.send(());
                }
                None => break,
            },
            _ = rounds.tick() => {
                running.spawn(clean_up(Arc::clone(&cgroups), std::mem::take(&mut left)));
            }
            Some(ended) = running.join_next() => left.extend(ended.unwrap_or_default()),
        }
    }
    while running.join_next().await.is_some() {}
    cgroups.remove_own();
}

/// One round: what earlier attempts left, and what dead daemons did. Returns what it leaves of the former;
/// the latter are found again.
async fn clean_up(cgroups: Arc<Cgroups>, left: Vec<PathBuf>) -> Vec<PathBuf> {
    let orphans = spawn_blocking(move || cgroups.orphans()).await.unwrap_or_default();
    if !orphans.is_empty() {
        tracing::info!(count = orphans.len(), "removing cgroups that dead daemons left");
        remove(orphans, ROUND_ATTEMPTS).await;
    }
    if left.is_empty() { left } else { remove(left, ROUND_ATTEMPTS).await }
}

/// Returns what could not be removed.
async fn remove(mut directories: Vec<PathBuf>, attempts: u32) -> Vec<PathBuf> {
    for attempt in 0..attempts {
        // On a thread for blocking work: the kernel may wait for its own locks here.
        let attempted = spawn_blocking(move || {
            directories.retain(|directory| !is_removed(directory));
            directories
        });
        directories = attempted.await.unwrap_or_default();
        if directories.is_empty() {
            return directories;
        }
        tokio::time::sleep(LONGEST_PAUSE.min(Duration::from_millis(1 << attempt.min(10)))).await;
    }
    tracing::warn!(?directories, "cgroups are still busy and stay until the next round");
    directories
}

fn is_removed(directory: &Path) -> bool {
    let removed = cgroups::is_removed(directory);
    if !removed {
        // What is still in it is dying, unless its init was killed and could not end it.
        cgroups::kill_all(directory);
    }
    removed
}

async fn remove_tree(directory: PathBuf) {
    let removed = spawn_blocking(move || tmp::remove(&directory).map_err(|error| (directory, error)));
    if let Ok(Err((directory, error))) = removed.await {
        tracing::warn!(directory = %directory.display(), %error, "cannot remove; the next start tries again");
    }
}
