//! Removing what sandboxes leave: cgroups once they are empty, and directories in the place of `/tmp`.
//!
//! rmdir(2) of a cgroup fails with `EBUSY` until the last process in it is gone for good, which is a
//! little after its death is seen. A task retries, so that nobody else waits.

use std::path::PathBuf;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use crate::{cgroups, tmp};

/// After so many attempts, at growing distance (about twenty seconds in all), the directories are left
/// to the next start of the daemon.
const ATTEMPTS: u32 = 200;
const LONGEST_PAUSE: Duration = Duration::from_millis(100);

enum Message {
    Remove(Vec<PathBuf>),
    RemoveTree(PathBuf),
    /// Answer when everything asked for before is done.
    Flush(oneshot::Sender<()>),
}

/// Handle to the task.
#[derive(Clone, Debug)]
pub(crate) struct Cleaner(mpsc::UnboundedSender<Message>);

impl Cleaner {
    /// Starts the task; must be called inside a runtime.
    pub(crate) fn start() -> Self {
        let (sender, receiver) = mpsc::unbounded_channel();
        tokio::spawn(run(receiver));
        Self(sender)
    }

    /// Removes the directories in this order as soon as they are empty.
    pub(crate) fn remove(&self, directories: Vec<PathBuf>) {
        // A task that is gone went with its runtime: the daemon is ending and its next start removes
        // what is left.
        let _ = self.0.send(Message::Remove(directories));
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

async fn run(mut messages: mpsc::UnboundedReceiver<Message>) {
    let mut running = tokio::task::JoinSet::new();
    loop {
        tokio::select! {
            message = messages.recv() => match message {
                Some(Message::Remove(directories)) => {
                    running.spawn(remove(directories));
                }
                Some(Message::RemoveTree(directory)) => {
                    running.spawn(remove_tree(directory));
                }
                Some(Message::Flush(done)) => {
                    while running.join_next().await.is_some() {}
                    let _ = done.send(());
                }
                None => break,
            },
            Some(_) = running.join_next() => {}
        }
    }
    while running.join_next().await.is_some() {}
}

async fn remove(mut directories: Vec<PathBuf>) {
    for attempt in 0..ATTEMPTS {
        // On a thread for blocking work: the kernel may wait for its own locks here.
        let left = tokio::task::spawn_blocking(move || {
            directories.retain(|directory| !is_removed(directory));
            directories
        });
        directories = match left.await {
            Ok(left) if left.is_empty() => return,
            Ok(left) => left,
            Err(_) => return,
        };
        tokio::time::sleep(LONGEST_PAUSE.min(Duration::from_millis(1 << attempt.min(10)))).await;
    }
    tracing::warn!(?directories, "cgroups are still busy and stay until the next start");
}

fn is_removed(directory: &PathBuf) -> bool {
    match std::fs::remove_dir(directory) {
        Ok(()) => true,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => true,
        Err(_) => {
            // What is still in it is dying, unless its init was killed and could not end it.
            cgroups::kill_all(directory);
            false
        }
    }
}

async fn remove_tree(directory: PathBuf) {
    let removed =
        tokio::task::spawn_blocking(move || tmp::remove(&directory).map_err(|error| (directory, error)));
    if let Ok(Err((directory, error))) = removed.await {
        tracing::warn!(directory = %directory.display(), %error, "cannot remove; the next start tries again");
    }
}
