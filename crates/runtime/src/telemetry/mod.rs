//! The streams that extensions subscribe to: what the function and the extensions write, and what the platform tells.
//!
//! | module         | idea                                                                     |
//! |----------------|--------------------------------------------------------------------------|
//! | `record`       | one event as either API words it                                         |
//! | `subscription` | what a subscriber asks for                                               |
//! | `queue`        | what waits for a subscriber: bounded, handed over in batches             |
//! | `delivery`     | the way to a subscriber, over HTTP or TCP                                |
//!
//! Nothing here ever waits for a subscriber but the one task that delivers to it. What a subscriber does not take
//! in time is dropped and counted.

mod delivery;
mod queue;
mod record;
mod subscription;

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use lambd_types::{LogFormat, UnixMillis};

pub(crate) use self::delivery::Connect;
use self::queue::{Dropped, Queue};
pub(crate) use self::record::Category;
use self::record::Record;
pub(crate) use self::subscription::{Api, Subscription};
use crate::report::PlatformEvent;

/// What is kept of the time before the first subscription, in records and bytes.
const BACKLOG_RECORDS: usize = 10_000;
const BACKLOG_BYTES: usize = 1 << 20;

/// The streams of one instance. Subscriptions are those of its present environment.
pub(crate) struct Telemetry {
    /// Whether anybody reads, or may ask to within this initialisation.
    is_wanted: AtomicBool,
    format: LogFormat,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Whether there may be subscriptions.
    is_open: bool,
    /// All since the environment began, for those who subscribe later.
    backlog: VecDeque<Record>,
    backlog_bytes: usize,
    backlog_dropped: Dropped,
    subscribers: Vec<Subscriber>,
}

struct Subscriber {
    extension: String,
    subscription: Subscription,
    queue: Arc<Queue>,
}

impl Subscriber {
    fn offer(&self, record: &Record, format: LogFormat) {
        if self.subscription.types.contains(&record.category())
            && let Some(text) = record.text(self.subscription.schema, format)
        {
            self.queue.push(text);
        }
    }
}

impl Drop for Subscriber {
    fn drop(&mut self) {
        self.queue.close();
    }
}

/// An extension has a subscription of the other API already.
#[derive(Debug)]
pub(crate) struct OtherApi;

impl Telemetry {
    /// Streams of a function with this kind of log.
    pub(crate) fn new(format: LogFormat) -> Self {
        Self { is_wanted: AtomicBool::new(false), format, state: Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A new environment begins: nobody is subscribed, and everything is kept for those who will be. Those of the one
    /// before get what waits for them.
    pub(crate) fn begin(&self) {
        *self.state() = State { is_open: true, ..State::default() };
        self.is_wanted.store(true, Ordering::Release);
    }

    /// The environment is initialised: nobody can subscribe any more.
    pub(crate) fn close(&self) {
        let mut state = self.state();
        state.is_open = false;
        state.backlog = VecDeque::new();
        self.is_wanted.store(!state.subscribers.is_empty(), Ordering::Release);
    }

    /// Whether anybody can subscribe.
    pub(crate) fn is_open(&self) -> bool {
        self.state().is_open
    }

    /// Whether anybody reads, or may ask to.
    pub(crate) fn is_wanted(&self) -> bool {
        self.is_wanted.load(Ordering::Acquire)
    }

    /// The platform tells of an event, `trace` being the tracing header of what it belongs to.
    pub(crate) fn event(&self, at: UnixMillis, event: &PlatformEvent<'_>, trace: Option<&str>) {
        if self.is_wanted() {
            self.record(Record::of_platform(at, event, trace));
        }
    }

    /// Lines that a process wrote.
    pub(crate) fn lines<'a>(&self, at: UnixMillis, from: Category, lines: impl Iterator<Item = &'a [u8]>) {
        for line in lines {
            self.record(Record::of_line(at, from, line));
        }
    }

    fn record(&self, record: Record) {
        let mut state = self.state();
        for subscriber in &state.subscribers {
            subscriber.offer(&record, self.format);
        }
        if !state.is_open {
            return;
        }
        let size = record.size();
        if state.backlog.len() < BACKLOG_RECORDS && state.backlog_bytes + size <= BACKLOG_BYTES {
            state.backlog_bytes += size;
            state.backlog.push_back(record);
        } else {
            state.backlog_dropped.add(size);
        }
    }

    /// Delivers to an extension from now on and what was before, in the place of what it asked for before.
    pub(crate) fn subscribe(
        &self,
        extension: &str,
        subscription: Subscription,
        connect: Connect,
    ) -> Result<(), OtherApi> {
        let mut state = self.state();
        if let Some(present) = state.subscribers.iter().position(|other| other.extension == extension) {
            let other = &state.subscribers[present].subscription;
            if other.schema.api() != subscription.schema.api() {
                return Err(OtherApi);
            }
            if *other == subscription {
                return Ok(());
            }
            state.subscribers.remove(present);
        }
        let queue = Arc::new(Queue::new(subscription.buffering, state.backlog_dropped));
        tokio::spawn(delivery::run(queue.clone(), subscription.clone(), connect));
        let subscriber = Subscriber { extension: extension.to_owned(), subscription, queue };
        for record in &state.backlog {
            subscriber.offer(record, self.format);
        }
        state.subscribers.push(subscriber);
        Ok(())
    }

    /// Delivers at once what waits for its batch.
    pub(crate) fn flush(&self) {
        for subscriber in &self.state().subscribers {
            subscriber.queue.urge();
        }
    }
}
