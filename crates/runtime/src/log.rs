//! One instance's log: the output of its processes and the platform's lines, in the order in which they
//! happened.
//!
//! A process writes its output before it answers, so what belongs to an invocation is in the pipe when
//! the answer arrives. Whoever needs it (the background pump, or the end of an invocation) empties the
//! pipe under one lock; nothing is ever read twice or out of order, and no lock is held across an await.
//!
//! Memory is bounded: while the sink is behind, the pump leaves output in the pipe, and a process that
//! goes on writing waits. The end of an invocation takes no more than what the pipe held at that moment.
//! Nothing is dropped, but for what a process writes after the platform has killed it.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use lambd_types::invocation::LogEvent;
use lambd_types::{Clock, limits};
use tokio::net::unix::pipe;

use crate::log_filter::LogFilter;
use crate::ports::LogStream;

/// Longest line kept as one event; longer output is cut into several (CloudWatch's own limit is 256 KB).
const LINE_MAX: usize = 256 * 1024;
/// Most that the pump takes at one visit, so that a flood cannot hold up the end of an invocation.
const VISIT_MAX: usize = 256 * 1024;
/// Output of one event above which its instance waits for a sink that is behind: what a pipe usually holds.
const MODEST: usize = 64 * 1024;

/// The log of one instance.
#[derive(Clone)]
pub(crate) struct InstanceLog {
    shared: Arc<Shared>,
}

struct Shared {
    stream: Arc<dyn LogStream>,
    clock: Arc<dyn Clock>,
    filter: LogFilter,
    state: Mutex<State>,
}

struct State {
    /// The output that is being read: of the instance's present environment.
    source: Option<Arc<pipe::Receiver>>,
    /// Output after the last newline.
    partial: Vec<u8>,
    /// The end of the current invocation's log, while it is asked for. Before the first invocation it
    /// holds what the initialisation wrote, which belongs to that invocation's log.
    tail: Option<Vec<u8>>,
    /// Bytes since the last time that the instance waited for the sink.
    unsettled: usize,
}

impl InstanceLog {
    /// A log without output yet.
    pub(crate) fn new(stream: Arc<dyn LogStream>, clock: Arc<dyn Clock>, filter: LogFilter) -> Self {
        let state = State { source: None, partial: Vec::new(), tail: Some(Vec::new()), unsettled: 0 };
        Self { shared: Arc::new(Shared { stream, clock, filter, state: Mutex::new(state) }) }
    }

    /// Reads `output` in the background, from now on and instead of any other.
    pub(crate) fn attach(&self, output: OwnedFd) -> io::Result<()> {
        let source = Arc::new(pipe::Receiver::from_owned_fd(output)?);
        self.shared.lock().source = Some(source.clone());
        tokio::spawn(self.clone().pump(source));
        Ok(())
    }

    /// Stops reading after what has been written so far: whatever a killed process still says would come
    /// after the platform's own lines about its end.
    pub(crate) fn detach(&self) {
        let mut state = self.shared.lock();
        self.shared.drain(&mut state);
        self.shared.flush_partial(&mut state);
        state.source = None;
    }

    async fn pump(self, source: Arc<pipe::Receiver>) {
        let shared = &self.shared;
        while source.readable().await.is_ok() {
            if shared.stream.is_full() {
                shared.stream.room().await;
            }
            let mut state = shared.lock();
            if !state.source.as_ref().is_some_and(|present| Arc::ptr_eq(present, &source)) {
                return;
            }
            // Reading through the reactor also tells it when nothing is left.
            if shared.drain_with(&mut state, VISIT_MAX, |buffer| source.try_read(buffer)) == Pipe::Ended {
                shared.flush_partial(&mut state);
                state.source = None;
                return;
            }
        }
    }

    /// Begins an invocation's part of the log.
    pub(crate) fn begin(&self, line: Option<String>, keep_tail: bool) {
        let mut state = self.shared.lock();
        // What background work wrote since the last event comes before this one.
        self.shared.drain(&mut state);
        let of_init = state.tail.take().unwrap_or_default();
        state.tail = keep_tail.then_some(of_init);
        self.shared.emit(&mut state, Vec::from_iter(line));
    }

    /// Adds platform lines after everything that the process has written so far.
    pub(crate) fn platform(&self, lines: Vec<String>) {
        let mut state = self.shared.lock();
        self.shared.drain(&mut state);
        self.shared.emit(&mut state, lines);
    }

    /// Ends an invocation's part of the log and returns its tail, if that was asked for.
    pub(crate) fn finish(&self, lines: Vec<String>) -> Option<Bytes> {
        let mut state = self.shared.lock();
        self.shared.drain(&mut state);
        self.shared.flush_partial(&mut state);
        self.shared.emit(&mut state, lines);
        state.tail.take().map(|tail| {
            let from = tail.len().saturating_sub(limits::LOG_TAIL);
            Bytes::from(tail).slice(from..)
        })
    }

    /// Waits until the sink has caught up, if this instance is among those that it has to catch up with. The
    /// end of an event takes what is in the pipe without waiting; a function that writes much in each of many
    /// events would else fill the daemon's memory.
    pub(crate) async fn settle(&self) {
        let written = std::mem::take(&mut self.shared.lock().unsettled);
        if written > MODEST && self.shared.stream.is_full() {
            self.shared.stream.room().await;
        }
    }
}

/// What reading came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pipe {
    Open,
    /// The writing end is closed everywhere.
    Ended,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes what is in the pipe now. It asks the kernel rather than the reactor, whose notion of
    /// readiness lags behind what the process has just written.
    fn drain(&self, state: &mut State) {
        let Some(source) = state.source.clone() else { return };
        let held = rustix::io::ioctl_fionread(&*source).unwrap_or(0);
        if held > 0 {
            let held = usize::try_from(held).unwrap_or(usize::MAX);
            self.drain_with(state, held, |buffer| Ok(rustix::io::read(&*source, buffer)?));
        }
    }

    fn drain_with(
        &self,
        state: &mut State,
        most: usize,
        mut read: impl FnMut(&mut [u8]) -> io::Result<usize>,
    ) -> Pipe {
        let mut buffer = [0; 16 * 1024];
        let mut taken = 0;
        while taken < most {
            match read(&mut buffer) {
                Ok(0) => return Pipe::Ended,
                Ok(n) => {
                    taken += n;
                    state.unsettled += n;
                    self.take(state, &buffer[..n]);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Pipe::Open,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    tracing::warn!(%error, "cannot read a function's output");
                    return Pipe::Ended;
                }
            }
        }
        Pipe::Open
    }

    fn take(&self, state: &mut State, mut bytes: &[u8]) {
        let mut lines = Vec::new();
        while !bytes.is_empty() {
            let newline = bytes.iter().position(|b| *b == b'\n').map(|at| at + 1);
            let room = LINE_MAX - state.partial.len();
            let end = newline.unwrap_or(bytes.len()).min(room);
            state.partial.extend_from_slice(&bytes[..end]);
            bytes = &bytes[end..];
            if state.partial.ends_with(b"\n") || state.partial.len() == LINE_MAX {
                let line = std::mem::take(&mut state.partial);
                if self.filter.keeps(&line) {
                    lines.push(text(line));
                }
            }
        }
        self.emit(state, lines);
    }

    /// A last line without a newline is still a line.
    fn flush_partial(&self, state: &mut State) {
        if !state.partial.is_empty() {
            let mut line = std::mem::take(&mut state.partial);
            line.push(b'\n');
            if self.filter.keeps(&line) {
                self.emit(state, vec![text(line)]);
            }
        }
    }

    fn emit(&self, state: &mut State, lines: Vec<String>) {
        if lines.is_empty() {
            return;
        }
        if let Some(tail) = &mut state.tail {
            for line in &lines {
                tail.extend_from_slice(line.as_bytes());
            }
            // Kept short by halves, so that a flood costs no more than its own copying.
            if tail.len() > 4 * limits::LOG_TAIL {
                tail.drain(..tail.len() - limits::LOG_TAIL);
            }
        }
        let timestamp = self.clock.now();
        self.stream.append(lines.into_iter().map(|message| LogEvent { timestamp, message }).collect());
    }
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap_or_else(|e| String::from_utf8_lossy(e.as_bytes()).into_owned())
}

#[cfg(test)]
#[path = "log_tests.rs"]
mod tests;
