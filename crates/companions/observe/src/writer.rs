//! Taking functions' logs in without ever making them wait.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use lambd_store::Store;
use lambd_store::logs::{AppendBatch, StreamName};
use lambd_types::invocation::LogEvent;
use lambd_types::{Clock, Scope};
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// The backlog above which [`LogWriter::room`] waits: 8 MiB.
pub const BACKLOG_LIMIT: usize = 8 * 1024 * 1024;

/// What an event counts in the backlog besides its text.
const EVENT_COST: usize = 64;

/// Most appends that go into one transaction.
const BATCH: usize = 1024;

/// How long appends gather before they are written together, unless somebody asks for them or there are
/// many. A transaction for each invocation would cost more than the invocation.
const GATHER: Duration = Duration::from_millis(20);

/// Failures are reported at most this often.
const WARN_EVERY: Duration = Duration::from_secs(10);

/// A log stream, shared by all that write to it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct StreamId {
    /// Account and region.
    pub scope: Scope,
    /// Log group.
    pub group: Arc<str>,
    /// Log stream.
    pub stream: Arc<str>,
}

#[derive(Debug)]
enum Command {
    Append { stream: Arc<StreamId>, events: Vec<LogEvent>, cost: usize },
    Flush(oneshot::Sender<()>),
}

#[derive(Debug, Default)]
struct Backlog {
    bytes: AtomicUsize,
    room: Notify,
    /// What has gathered should be written now.
    hurry: Notify,
    dropped: AtomicU64,
}

impl Backlog {
    fn release(&self, cost: usize) {
        self.bytes.fetch_sub(cost, Ordering::AcqRel);
        self.room.notify_waiters();
    }
}

/// Appends to log streams; cheap to clone.
#[derive(Debug, Clone)]
pub struct LogWriter {
    queue: mpsc::UnboundedSender<Command>,
    backlog: Arc<Backlog>,
}

impl LogWriter {
    /// Queues events of a stream; group and stream are made when missing. Never waits and never fails:
    /// producers keep the queue short by waiting for [`Self::room`] before they read more.
    pub fn append(&self, stream: &Arc<StreamId>, events: Vec<LogEvent>) {
        if events.is_empty() {
            return;
        }
        let cost = events.iter().map(|e| e.message.len() + EVENT_COST).sum();
        if self.backlog.bytes.fetch_add(cost, Ordering::AcqRel) > BACKLOG_LIMIT / 2 {
            self.backlog.hurry.notify_one();
        }
        let command = Command::Append { stream: stream.clone(), events, cost };
        if self.queue.send(command).is_err() {
            // After shutdown.
            self.backlog.release(cost);
        }
    }

    /// Bytes that are queued and not written yet.
    pub fn backlog_bytes(&self) -> usize {
        self.backlog.bytes.load(Ordering::Acquire)
    }

    /// Events that were lost because they could not be written.
    pub fn dropped_events(&self) -> u64 {
        self.backlog.dropped.load(Ordering::Relaxed)
    }

    /// Resolves when the backlog is below [`BACKLOG_LIMIT`].
    pub async fn room(&self) {
        while self.backlog_bytes() >= BACKLOG_LIMIT {
            let mut released = pin!(self.backlog.room.notified());
            // Listen first, then look again: a release in between must not be missed.
            released.as_mut().enable();
            if self.backlog_bytes() < BACKLOG_LIMIT {
                return;
            }
            released.await;
        }
    }

    /// Resolves when everything appended before is written (or lost to a failing disk).
    pub async fn flush(&self) {
        let (done, written) = oneshot::channel();
        if self.queue.send(Command::Flush(done)).is_ok() {
            self.backlog.hurry.notify_one();
            // An error means that the writer has stopped; nothing more will be written.
            let _ = written.await;
        }
    }
}

pub(crate) fn start(store: Arc<Store>, clock: Arc<dyn Clock>) -> (LogWriter, JoinHandle<()>) {
    let (queue, commands) = mpsc::unbounded_channel();
    let backlog = Arc::new(Backlog::default());
    let task = Task { store, clock, commands, backlog: backlog.clone(), losses: Losses::default() };
    (LogWriter { queue, backlog }, tokio::spawn(task.run()))
}

struct Task {
    store: Arc<Store>,
    clock: Arc<dyn Clock>,
    commands: mpsc::UnboundedReceiver<Command>,
    backlog: Arc<Backlog>,
    losses: Losses,
}

impl Task {
    /// Lets appends gather for a moment, writes them, and looks again.
    async fn run(mut self) {
        let mut commands = Vec::new();
        while self.commands.recv_many(&mut commands, BATCH).await > 0 {
            let asked_for = commands.iter().any(|command| matches!(command, Command::Flush(_)));
            if !asked_for && commands.len() < BATCH && !self.commands.is_closed() {
                // While it waits here, appending wakes nobody.
                let _ = tokio::time::timeout(GATHER, self.backlog.hurry.notified()).await;
                let more = self.commands.len().min(BATCH);
                if more > 0 {
                    self.commands.recv_many(&mut commands, more).await;
                }
            }
            let batch = Batch::of(commands.drain(..));
            self.write(&batch).await;
            self.backlog.release(batch.cost);
            for waiting in batch.waiting {
                // Whoever asked may have gone.
                let _ = waiting.send(());
            }
        }
    }

    async fn write(&mut self, batch: &Batch) {
        let appends: Vec<AppendBatch<'_>> = batch.streams.iter().map(append_of).collect();
        if appends.is_empty() {
            return;
        }
        if let Err(error) = self.store.logs().append(&appends, self.clock.now()).await {
            let lost: usize = appends.iter().map(|a| a.events.len()).sum();
            self.backlog.dropped.fetch_add(lost as u64, Ordering::Relaxed);
            self.losses.note(lost as u64, &error);
        }
    }
}

fn append_of((id, events): &(Arc<StreamId>, Vec<LogEvent>)) -> AppendBatch<'_> {
    let stream = StreamName { scope: &id.scope, group: &id.group, stream: &id.stream };
    AppendBatch { stream, events }
}

/// What one transaction writes.
#[derive(Default)]
struct Batch {
    /// In the order in which streams came first.
    streams: Vec<(Arc<StreamId>, Vec<LogEvent>)>,
    cost: usize,
    waiting: Vec<oneshot::Sender<()>>,
}

impl Batch {
    fn of(commands: impl Iterator<Item = Command>) -> Self {
        let mut batch = Self::default();
        let mut index: HashMap<Arc<StreamId>, usize> = HashMap::new();
        for command in commands {
            match command {
                Command::Flush(done) => batch.waiting.push(done),
                Command::Append { stream, events, cost } => {
                    batch.cost += cost;
                    match index.entry(stream) {
                        Entry::Occupied(at) => batch.streams[*at.get()].1.extend(events),
                        Entry::Vacant(at) => {
                            batch.streams.push((at.key().clone(), events));
                            at.insert(batch.streams.len() - 1);
                        }
                    }
                }
            }
        }
        batch
    }
}

/// Counts lost events and reports them now and then.
#[derive(Default)]
struct Losses {
    unreported: u64,
    reported_at: Option<Instant>,
}

impl Losses {
    fn note(&mut self, lost: u64, error: &lambd_store::StoreError) {
        self.unreported += lost;
        if self.reported_at.is_some_and(|at| at.elapsed() < WARN_EVERY) {
            return;
        }
        let error = error as &dyn std::error::Error;
        tracing::warn!(events = self.unreported, error, "log events could not be written and are lost");
        *self = Self { unreported: 0, reported_at: Some(Instant::now()) };
    }
}

#[cfg(test)]
mod tests {
    use lambd_types::{AccountId, Region, UnixMillis};

    use super::*;

    fn stream(name: &str) -> Arc<StreamId> {
        let scope = Scope { account: AccountId::default_local(), region: Region::default_local() };
        Arc::new(StreamId { scope, group: "g".into(), stream: name.into() })
    }

    fn event(text: &str) -> LogEvent {
        LogEvent { timestamp: UnixMillis(1), message: text.to_owned() }
    }

    fn idle_writer() -> (LogWriter, mpsc::UnboundedReceiver<Command>) {
        let (queue, commands) = mpsc::unbounded_channel();
        (LogWriter { queue, backlog: Arc::default() }, commands)
    }

    #[test]
    fn a_batch_gathers_streams_and_keeps_the_order_within_each() {
        let (writer, mut commands) = idle_writer();
        for (name, text) in [("a", "1"), ("b", "2"), ("a", "3")] {
            // Two values of the same stream count as one stream.
            writer.append(&stream(name), vec![event(text)]);
        }
        writer.append(&stream("c"), Vec::new());
        let batch = Batch::of(std::iter::from_fn(|| commands.try_recv().ok()));
        let texts: Vec<(String, Vec<String>)> = batch
            .streams
            .into_iter()
            .map(|(id, events)| (id.stream.to_string(), events.into_iter().map(|e| e.message).collect()))
            .collect();
        assert_eq!(texts, [("a".into(), vec!["1".into(), "3".into()]), ("b".into(), vec!["2".into()])]);
        assert_eq!(batch.cost, 3 * (1 + EVENT_COST));
        assert_eq!(writer.backlog_bytes(), batch.cost);
    }

    #[tokio::test]
    async fn producers_wait_for_room() {
        let (writer, commands) = idle_writer();
        writer.room().await;
        writer.append(&stream("a"), vec![event(&"x".repeat(BACKLOG_LIMIT))]);
        let waiting = tokio::spawn({
            let writer = writer.clone();
            async move { writer.room().await }
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        writer.backlog.release(BACKLOG_LIMIT);
        waiting.await.unwrap();
        // After shutdown nothing piles up and nobody waits.
        drop(commands);
        let before = writer.backlog_bytes();
        writer.append(&stream("a"), vec![event("late")]);
        assert_eq!(writer.backlog_bytes(), before);
        writer.flush().await;
    }
}
