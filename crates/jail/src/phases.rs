//! How long each step of making a sandbox takes.

use std::borrow::Cow;
use std::time::Instant;

use crate::protocol::Phase;

/// A stop watch with names. It goes along through clone(2): the monotonic clock is the same on both
/// sides.
#[derive(Debug, Clone)]
pub(crate) struct Phases {
    last: Instant,
    done: Vec<Phase>,
}

impl Phases {
    pub(crate) fn start() -> Self {
        Self { last: Instant::now(), done: Vec::new() }
    }

    /// The step that began with the one before has ended.
    pub(crate) fn end(&mut self, name: &'static str) {
        let now = Instant::now();
        let nanoseconds = u64::try_from((now - self.last).as_nanos()).unwrap_or(u64::MAX);
        self.done.push(Phase { name: Cow::Borrowed(name), nanoseconds });
        self.last = now;
    }

    /// Forgets the time since the last step, which was spent waiting for somebody else.
    pub(crate) fn resume(&mut self) {
        self.last = Instant::now();
    }

    /// The steps so far; they are not told again.
    pub(crate) fn take(&mut self) -> Vec<Phase> {
        std::mem::take(&mut self.done)
    }
}
