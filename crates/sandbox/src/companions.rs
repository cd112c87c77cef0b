//! What goes on in a sandbox beside its own program: the ends of companions, sockets of its network, images.

use std::collections::VecDeque;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use crate::sandbox::ExitStatus;

/// The end of one companion.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CompanionEnd {
    /// Its place in [`Companions::commands`](crate::Companions::commands).
    pub index: usize,
    /// How it ended. One that was not started is told of twice: why, and with the exit code 127.
    pub status: ExitStatus,
}

/// Those who wait for something that the init was asked for. It answers in the order of the questions.
pub(crate) struct Questions<T>(Mutex<Option<VecDeque<oneshot::Sender<T>>>>);

impl<T> Default for Questions<T> {
    fn default() -> Self {
        Self(Mutex::new(Some(VecDeque::new())))
    }
}

impl<T> Questions<T> {
    /// Another answer will come, unless the sandbox ends before.
    pub(crate) fn expect(&self) -> oneshot::Receiver<T> {
        let (sender, receiver) = oneshot::channel();
        if let Some(waiting) = self.lock().as_mut() {
            waiting.push_back(sender);
        }
        receiver
    }

    /// The oldest question is answered.
    pub(crate) fn arrived(&self, answer: T) {
        let mut waiting = self.lock();
        let Some(waiting) = waiting.as_mut() else { return };
        // Whoever gave up may not even have asked.
        let asked = std::iter::from_fn(|| waiting.pop_front()).find(|asked| !asked.is_closed());
        if let Some(asked) = asked {
            let _ = asked.send(answer);
        }
    }

    /// No answer comes any more.
    pub(crate) fn close(&self) {
        *self.lock() = None;
    }

    fn lock(&self) -> MutexGuard<'_, Option<VecDeque<oneshot::Sender<T>>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A socket of the sandbox's network, or why there is none.
pub(crate) fn socket(errno: Option<i32>, fds: Vec<OwnedFd>) -> io::Result<OwnedFd> {
    match errno {
        Some(errno) => Err(io::Error::from_raw_os_error(errno)),
        None => fds.into_iter().next().ok_or_else(|| io::ErrorKind::InvalidData.into()),
    }
}
