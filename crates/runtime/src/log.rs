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
use crate::telemetry::{Category, Telemetry};

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
    telemetry: Arc<Telemetry>,
    state: Mutex<State>,
}

/// A pipe that is being read.
struct Source {
    pipe: Arc<pipe::Receiver>,
    /// Output after the last newline.
    partial: Vec<u8>,
    from: Category,
}

struct State {
    /// The output of the instance's present environment, and of extensions that are about to end.
    sources: Vec<Source>,
    /// The end of the current invocation's log, while it is asked for. Before the first invocation it
    /// holds what the initialisation wrote, which belongs to that invocation's log.
    tail: Option<Vec<u8>>,
    /// Bytes since the last time that the instance waited for the sink.
    unsettled: usize,
}

impl InstanceLog {
    /// A log without output yet.
    pub(crate) fn new(
        stream: Arc<dyn LogStream>,
        clock: Arc<dyn Clock>,
        filter: LogFilter,
        telemetry: Arc<Telemetry>,
    ) -> Self {
        let state = State { sources: Vec::new(), tail: Some(Vec::new()), unsettled: 0 };
        Self { shared: Arc::new(Shared { stream, clock, filter, telemetry, state: Mutex::new(state) }) }
    }

    /// Reads the function's `output` in the background, from now on and instead of any other of a function.
    pub(crate) fn attach(&self, output: OwnedFd) -> io::Result<()> {
        self.shared.lock().sources.retain(|source| source.from != Category::Function);
        self.read(output, Category::Function)
    }

    /// Reads what extensions write as well, to its end.
    pub(crate) fn attach_extensions(&self, output: OwnedFd) -> io::Result<()> {
        self.read(output, Category::Extension)
    }

    fn read(&self, output: OwnedFd, from: Category) -> io::Result<()> {
        let pipe = Arc::new(pipe::Receiver::from_owned_fd(output)?);
        self.shared.lock().sources.push(Source { pipe: pipe.clone(), partial: Vec::new(), from });
        tokio::spawn(self.clone().pump(pipe));
        Ok(())
    }

    /// Stops reading from the function after what has been written so far: whatever a killed process still says
    /// would come after the platform's own lines about its end.
    pub(crate) fn detach(&self) {
        let mut state = self.shared.lock();
        self.shared.drain(&mut state);
        self.shared.flush_partial(&mut state);
        state.sources.retain(|source| source.from != Category::Function);
    }

    async fn pump(self, pipe: Arc<pipe::Receiver>) {
        let shared = &self.shared;
        while pipe.readable().await.is_ok() {
            if shared.stream.is_full() {
                shared.stream.room().await;
            }
            let mut state = shared.lock();
            let Some(at) = state.sources.iter().position(|source| Arc::ptr_eq(&source.pipe, &pipe)) else {
                return;
            };
            // Reading through the reactor also tells it when nothing is left.
            if shared.drain_with(&mut state, at, VISIT_MAX, |buffer| pipe.try_read(buffer)) == Pipe::Ended {
                shared.flush_partial_of(&mut state, at);
                state.sources.remove(at);
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
        self.shared.emit(&mut state, line);
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

    /// Takes what is in the pipes now. It asks the kernel rather than the reactor, whose notion of
    /// readiness lags behind what the process has just written.
    fn drain(&self, state: &mut State) {
        for at in 0..state.sources.len() {
            let pipe = state.sources[at].pipe.clone();
            let held = rustix::io::ioctl_fionread(&*pipe).unwrap_or(0);
            if held > 0 {
                let held = usize::try_from(held).unwrap_or(usize::MAX);
                self.drain_with(state, at, held, |buffer| Ok(rustix::io::read(&*pipe, buffer)?));
            }
        }
    }

    fn drain_with(
        &self,
        state: &mut State,
        at: usize,
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
                    self.take(state, at, &buffer[..n]);
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

    fn take(&self, state: &mut State, at: usize, mut bytes: &[u8]) {
        let Source { partial, from, .. } = &mut state.sources[at];
        let from = *from;
        let mut lines = Vec::new();
        while !bytes.is_empty() {
            let newline = bytes.iter().position(|b| *b == b'\n').map(|at| at + 1);
            let room = LINE_MAX - partial.len();
            let end = newline.unwrap_or(bytes.len()).min(room);
            partial.extend_from_slice(&bytes[..end]);
            bytes = &bytes[end..];
            if partial.ends_with(b"\n") || partial.len() == LINE_MAX {
                lines.push(std::mem::take(partial));
            }
        }
        self.emit_output(state, from, lines);
    }

    /// The function's last line is still a line without a newline.
    fn flush_partial(&self, state: &mut State) {
        if let Some(at) = state.sources.iter().position(|source| source.from == Category::Function) {
            self.flush_partial_of(state, at);
        }
    }

    fn flush_partial_of(&self, state: &mut State, at: usize) {
        let Source { partial, from, .. } = &mut state.sources[at];
        if !partial.is_empty() {
            let (mut line, from) = (std::mem::take(partial), *from);
            line.push(b'\n');
            self.emit_output(state, from, vec![line]);
        }
    }

    /// Subscribers get all that is written, the log what it is to have.
    fn emit_output(&self, state: &mut State, from: Category, lines: Vec<Vec<u8>>) {
        if self.telemetry.is_wanted() && !lines.is_empty() {
            self.telemetry.lines(self.clock.now(), from, lines.iter().map(Vec::as_slice));
        }
        let kept = lines.into_iter().filter(|line| from == Category::Extension || self.filter.keeps(line));
        self.emit(state, kept.map(text));
    }

    fn emit(&self, state: &mut State, lines: impl IntoIterator<Item = String>) {
        let mut lines = lines.into_iter().peekable();
        if lines.peek().is_none() {
            return;
        }
        let timestamp = self.clock.now();
        let events: Vec<_> = lines.map(|message| LogEvent { timestamp, message }).collect();
        if let Some(tail) = &mut state.tail {
            for event in &events {
                tail.extend_from_slice(event.message.as_bytes());
            }
            // Kept short by halves, so that a flood costs no more than its own copying.
            if tail.len() > 4 * limits::LOG_TAIL {
                tail.drain(..tail.len() - limits::LOG_TAIL);
            }
        }
        self.stream.append(events);
    }
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap_or_else(|e| String::from_utf8_lossy(e.as_bytes()).into_owned())
}

#[cfg(test)]
#[path = "log_tests.rs"]
mod tests;
