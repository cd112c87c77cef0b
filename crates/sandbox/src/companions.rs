//! What goes on in a sandbox beside its own program: the ends of companions, and sockets of its network.

use std::collections::VecDeque;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::{Mutex, PoisonError};

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

/// Those who wait for a socket that the init was asked for. It answers in the order of the questions.
#[derive(Default)]
pub(crate) struct Sockets(Mutex<VecDeque<oneshot::Sender<io::Result<OwnedFd>>>>);

impl Sockets {
    /// Another one will come.
    pub(crate) fn expect(&self) -> oneshot::Receiver<io::Result<OwnedFd>> {
        let (sender, receiver) = oneshot::channel();
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push_back(sender);
        receiver
    }

    /// The oldest question is answered.
    pub(crate) fn arrived(&self, errno: Option<i32>, fds: Vec<OwnedFd>) {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Whoever gave up may not even have asked.
        let asked = std::iter::from_fn(|| waiting.pop_front()).find(|asked| !asked.is_closed());
        let socket = match errno {
            Some(errno) => Err(io::Error::from_raw_os_error(errno)),
            None => fds.into_iter().next().ok_or_else(|| io::ErrorKind::InvalidData.into()),
        };
        if let Some(asked) = asked {
            let _ = asked.send(socket);
        }
    }
}
