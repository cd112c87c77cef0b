//! Stopping all processes of a sandbox where they are, for two reasons that know nothing of each other.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Processes stand still within tens of microseconds. One that was out of its share of the CPU does so when it gets
/// the next one.
const PATIENCE: Duration = Duration::from_secs(1);
const LOOK_EVERY: Duration = Duration::from_micros(100);

/// The files of cgroups that freeze, and what they say.
#[derive(Debug)]
struct Files {
    /// Where the order is written.
    order: PathBuf,
    frozen: &'static str,
    thawed: &'static str,
    /// What can be read, and where, when all stand still.
    report: PathBuf,
    is_done: &'static str,
}

/// Stops and continues the processes of one sandbox.
#[derive(Debug)]
pub(crate) struct Freezer {
    files: Files,
    state: Mutex<State>,
}

#[derive(Debug, Default, Clone)]
struct State {
    /// Between events.
    rests: bool,
    /// How many hold it for a moment.
    held: usize,
    /// It is being killed, for which it has to run.
    ended: bool,
}

impl State {
    fn is_frozen(&self) -> bool {
        !self.ended && (self.rests || self.held > 0)
    }
}

impl Freezer {
    /// By a group of cgroup v1's freezer.
    pub(super) fn v1(group: &std::path::Path) -> Self {
        let order = group.join("freezer.state");
        let report = order.clone();
        Self::new(Files { order, frozen: "FROZEN", thawed: "THAWED", report, is_done: "FROZEN" })
    }

    /// By a group of cgroup v2.
    pub(super) fn v2(group: &std::path::Path) -> Self {
        let (order, report) = (group.join("cgroup.freeze"), group.join("cgroup.events"));
        Self::new(Files { order, frozen: "1", thawed: "0", report, is_done: "frozen 1" })
    }

    fn new(files: Files) -> Self {
        Self { files, state: Mutex::default() }
    }

    /// Stops all processes, or lets them go on unless they are held.
    pub(super) fn rest(&self, rests: bool) -> io::Result<()> {
        self.change(|state| state.rests = rests)
    }

    /// Stops all processes until the result is dropped; blocks until they stand still, or for a second.
    pub(crate) fn hold(self: &Arc<Self>) -> io::Result<Held> {
        let held = Held(Arc::clone(self));
        self.change(|state| state.held += 1)?;
        let deadline = Instant::now() + PATIENCE;
        while !self.stands_still()? && Instant::now() < deadline && !self.state().ended {
            std::thread::sleep(LOOK_EVERY);
        }
        Ok(held)
    }

    /// Lets all processes go on for good, so that they can die.
    pub(crate) fn end(&self) {
        let result = self.change(|state| state.ended = true);
        // A group that is gone has no process.
        if let Err(error) = result
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(%error, "cannot thaw a sandbox that is ended");
        }
    }

    fn stands_still(&self) -> io::Result<bool> {
        let report = std::fs::read_to_string(&self.files.report)?;
        Ok(report.lines().any(|line| line == self.files.is_done))
    }

    /// The lock is kept while the order is written, so that orders come in the order of their reasons.
    fn change(&self, change: impl FnOnce(&mut State)) -> io::Result<()> {
        let mut state = self.state();
        let before = state.clone();
        change(&mut state);
        let word = match (before.is_frozen(), state.is_frozen()) {
            (false, true) => self.files.frozen,
            (true, false) => self.files.thawed,
            (false, false) | (true, true) => return Ok(()),
        };
        let order = File::options().write(true).open(&self.files.order);
        order.and_then(|mut order| order.write_all(word.as_bytes())).inspect_err(|_| *state = before)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Keeps processes from running.
#[derive(Debug)]
pub(crate) struct Held(Arc<Freezer>);

impl Drop for Held {
    fn drop(&mut self) {
        if let Err(error) = self.0.change(|state| state.held -= 1)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(%error, "cannot thaw a sandbox");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn freezer() -> (tempfile::TempDir, Arc<Freezer>) {
        let group = tempfile::tempdir().expect("temporary directory");
        std::fs::write(group.path().join("freezer.state"), "THAWED").expect("writes");
        let freezer = Arc::new(Freezer::v1(group.path()));
        (group, freezer)
    }

    fn word(group: &tempfile::TempDir) -> String {
        std::fs::read_to_string(group.path().join("freezer.state")).expect("reads")
    }

    #[test]
    fn who_rests_goes_on_only_when_nobody_holds_it() {
        let (group, freezer) = freezer();
        let held = freezer.hold().expect("holds");
        assert_eq!(word(&group), "FROZEN");
        freezer.rest(true).expect("rests");
        freezer.rest(false).expect("wakes");
        assert_eq!(word(&group), "FROZEN", "still held");
        drop(held);
        assert_eq!(word(&group), "THAWED");
        freezer.rest(true).expect("rests");
        drop(freezer.hold().expect("holds"));
        assert_eq!(word(&group), "FROZEN", "it rests");
    }

    #[test]
    fn the_end_thaws_for_good() {
        let (group, freezer) = freezer();
        let _held = freezer.hold().expect("holds");
        freezer.end();
        assert_eq!(word(&group), "THAWED");
        freezer.rest(true).expect("nothing happens");
        assert_eq!(word(&group), "THAWED");
    }
}
