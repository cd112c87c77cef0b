//! What waits for one subscriber.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio::time::Instant;

use super::subscription::Buffering;

/// While one batch is on its way, so many others may wait for it to arrive.
const BATCHES: usize = 2;

/// How much a subscriber has missed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Dropped {
    pub(super) records: usize,
    pub(super) bytes: usize,
}

impl Dropped {
    pub(super) fn add(&mut self, bytes: usize) {
        self.records += 1;
        self.bytes += bytes;
    }
}

/// What is delivered at once.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Batch {
    pub(super) records: Vec<String>,
    /// What was dropped before it.
    pub(super) dropped: Option<Dropped>,
}

/// A bounded queue. Pushing never waits.
pub(super) struct Queue {
    buffering: Buffering,
    inside: Mutex<Inside>,
    changed: Notify,
}

#[derive(Default)]
struct Inside {
    records: VecDeque<String>,
    bytes: usize,
    /// When the oldest came.
    since: Option<Instant>,
    dropped: Dropped,
    /// What there is is due, whatever its age.
    is_urgent: bool,
    is_closed: bool,
}

impl Inside {
    fn is_empty(&self) -> bool {
        self.records.is_empty() && self.dropped == Dropped::default()
    }
}

impl Queue {
    /// An empty queue before which so much was dropped.
    pub(super) fn new(buffering: Buffering, dropped: Dropped) -> Self {
        let inside = Inside { dropped, ..Inside::default() };
        Self { buffering, inside: Mutex::new(inside), changed: Notify::new() }
    }

    fn inside(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a record, or drops it.
    pub(super) fn push(&self, record: String) {
        let Buffering { max_items, max_bytes, .. } = self.buffering;
        let mut inside = self.inside();
        if inside.records.len() >= BATCHES * max_items || inside.bytes + record.len() > BATCHES * max_bytes {
            inside.dropped.add(record.len());
            return;
        }
        inside.bytes += record.len();
        inside.since.get_or_insert_with(Instant::now);
        inside.records.push_back(record);
        let is_full = inside.records.len() >= max_items || inside.bytes >= max_bytes;
        // The first starts the clock.
        if is_full || inside.records.len() == 1 {
            drop(inside);
            self.changed.notify_one();
        }
    }

    /// A batch could not be delivered.
    pub(super) fn lost(&self, batch: &Batch) {
        let mut inside = self.inside();
        // Nobody is left to be told.
        if inside.is_closed {
            return;
        }
        for record in &batch.records {
            inside.dropped.add(record.len());
        }
        if let Some(before) = batch.dropped {
            inside.dropped.records += before.records;
            inside.dropped.bytes += before.bytes;
        }
    }

    /// Everything is due now.
    pub(super) fn urge(&self) {
        self.inside().is_urgent = true;
        self.changed.notify_one();
    }

    /// Nothing more will come.
    pub(super) fn close(&self) {
        self.inside().is_closed = true;
        self.changed.notify_one();
    }

    /// Whether nothing more will come.
    pub(super) fn is_closed(&self) -> bool {
        self.inside().is_closed
    }

    /// Waits for the next batch: until it is full, or its oldest record old enough. `None` when the queue is closed
    /// and empty.
    pub(super) async fn batch(&self) -> Option<Batch> {
        loop {
            let due = {
                let mut inside = self.inside();
                if inside.is_closed && inside.is_empty() {
                    return None;
                }
                let due = inside.since.map(|since| since + self.buffering.timeout);
                let is_due = due.is_some_and(|due| due <= Instant::now());
                let is_full = inside.records.len() >= self.buffering.max_items
                    || inside.bytes >= self.buffering.max_bytes;
                if is_full || (!inside.is_empty() && (is_due || inside.is_urgent || inside.is_closed)) {
                    return Some(self.take(&mut inside));
                }
                inside.is_urgent = false;
                due
            };
            match due {
                Some(due) => {
                    let _ = tokio::time::timeout_at(due, self.changed.notified()).await;
                }
                None => self.changed.notified().await,
            }
        }
    }

    /// How much waits.
    #[cfg(test)]
    pub(super) fn waiting_bytes(&self) -> usize {
        self.inside().bytes
    }

    fn take(&self, inside: &mut Inside) -> Batch {
        let dropped = std::mem::take(&mut inside.dropped);
        let mut batch =
            Batch { records: Vec::new(), dropped: (dropped != Dropped::default()).then_some(dropped) };
        let mut bytes = 0;
        while let Some(record) = inside.records.front()
            && batch.records.len() < self.buffering.max_items
            && (batch.records.is_empty() || bytes + record.len() <= self.buffering.max_bytes)
        {
            bytes += record.len();
            batch.records.extend(inside.records.pop_front());
        }
        inside.bytes -= bytes;
        inside.since = (!inside.records.is_empty()).then(Instant::now);
        inside.is_urgent &= !inside.records.is_empty();
        batch
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures_util::FutureExt as _;

    use super::*;

    const BUFFERING: Buffering =
        Buffering { max_items: 3, max_bytes: 100, timeout: Duration::from_millis(500) };

    fn queue() -> Queue {
        Queue::new(BUFFERING, Dropped::default())
    }

    #[tokio::test(start_paused = true)]
    async fn a_batch_is_due_when_it_is_full_or_old() {
        let queue = queue();
        queue.push("a".into());
        let begun = Instant::now();
        assert_eq!(queue.batch().await.unwrap().records, ["a"]);
        assert_eq!(begun.elapsed(), BUFFERING.timeout);
        for record in ["a", "b", "c", "d"] {
            queue.push(record.into());
        }
        let batch = queue.batch().now_or_never().expect("it is full").unwrap();
        assert_eq!(batch.records, ["a", "b", "c"]);
        assert!(queue.batch().now_or_never().is_none());
        queue.urge();
        assert_eq!(queue.batch().now_or_never().expect("urgent").unwrap().records, ["d"]);
        queue.push("x".repeat(100));
        assert!(queue.batch().now_or_never().is_some(), "full by size");
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_too_much_is_dropped_and_counted() {
        let queue = queue();
        for _ in 0..10 {
            queue.push("xy".into());
        }
        let first = queue.batch().await.unwrap();
        assert_eq!(first.dropped, Some(Dropped { records: 4, bytes: 8 }));
        queue.lost(&first);
        let second = queue.batch().await.unwrap();
        assert_eq!(second.records.len(), 3);
        assert_eq!(second.dropped, Some(Dropped { records: 7, bytes: 14 }));
        queue.push("x".repeat(150));
        queue.push("x".repeat(51));
        assert_eq!(queue.batch().await.unwrap().dropped, Some(Dropped { records: 1, bytes: 51 }));
    }

    #[tokio::test(start_paused = true)]
    async fn a_closed_queue_is_emptied() {
        let queue = queue();
        queue.push("a".into());
        queue.close();
        let last = queue.batch().now_or_never().unwrap().unwrap();
        assert_eq!(last.records, ["a"]);
        queue.lost(&last);
        assert_eq!(queue.batch().await, None);
    }
}
