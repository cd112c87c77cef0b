//! One lane for each subscription that something is on its way to.
//!
//! A lane is a task that takes what is due from the outbox, makes attempts, and waits for what is due later; it ends
//! when nothing is left. So an endpoint that does not answer holds up nobody but itself.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream;
use lambd_store::topics::{DeliveriesLeft, DeliveryRow, SubscriptionRow};
use lambd_store::{Store, StoreError};
use lambd_types::{Clock, UnixMillis};
use tokio::sync::Notify;

use super::courier::{Courier, Outcome, arn_of};
use super::policy::{HttpPolicy, RetryPolicy};
use crate::book::Book;
use crate::message::{Kind, Message};

/// Deliveries that a lane reads at once.
const ROUND: usize = 64;
/// Attempts that a lane makes at once. With order, each group is one at a time.
const ATTEMPTS: usize = 16;
/// How long a lane waits after the database failed.
const AFTER_FAILURE: Duration = Duration::from_secs(1);

/// All lanes.
pub(crate) struct Lanes {
    store: Arc<Store>,
    clock: Arc<dyn Clock>,
    book: Arc<Book>,
    courier: Courier,
    running: Mutex<HashMap<i64, Arc<Lane>>>,
    stopping: AtomicBool,
    one_ended: Notify,
}

#[derive(Debug, Default)]
struct Lane {
    /// Something came since it last looked.
    more: AtomicBool,
    woken: Notify,
    /// When its endpoint may get the next request, if its policy spreads them.
    slot: Mutex<i64>,
}

/// What a lane does after a round.
enum Next {
    /// There may be more at once.
    Again,
    Wait(UnixMillis),
    End,
}

impl Lanes {
    pub(crate) fn new(
        store: Arc<Store>,
        clock: Arc<dyn Clock>,
        book: Arc<Book>,
        courier: Courier,
    ) -> Arc<Self> {
        Arc::new(Self {
            store,
            clock,
            book,
            courier,
            running: Mutex::default(),
            stopping: AtomicBool::new(false),
            one_ended: Notify::new(),
        })
    }

    /// Goes on with what an earlier daemon left.
    pub(crate) async fn resume(self: &Arc<Self>) -> Result<(), StoreError> {
        for subscription in self.store.topics().subscriptions_with_deliveries().await? {
            self.wake(subscription);
        }
        Ok(())
    }

    /// Something is in the outbox for a subscription.
    pub(crate) fn wake(self: &Arc<Self>, subscription: i64) {
        if self.stopping.load(Ordering::Acquire) {
            return;
        }
        let mut running = self.running();
        if let Some(lane) = running.get(&subscription) {
            lane.more.store(true, Ordering::Release);
            lane.woken.notify_one();
        } else {
            let lane = Arc::new(Lane::default());
            running.insert(subscription, lane.clone());
            let lanes = self.clone();
            tokio::spawn(async move { lanes.run(subscription, &lane).await });
        }
    }

    /// Begins no further attempt, and waits for those that are being made, up to `grace`.
    pub(crate) async fn stop(&self, grace: Duration) {
        self.stopping.store(true, Ordering::Release);
        let all_ended = async {
            loop {
                let ended = self.one_ended.notified();
                {
                    let running = self.running();
                    if running.is_empty() {
                        return;
                    }
                    running.values().for_each(|lane| lane.woken.notify_one());
                }
                ended.await;
            }
        };
        let _ = tokio::time::timeout(grace, all_ended).await;
    }

    fn running(&self) -> MutexGuard<'_, HashMap<i64, Arc<Lane>>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn run(&self, subscription: i64, lane: &Lane) {
        while !self.stopping.load(Ordering::Acquire) {
            lane.more.store(false, Ordering::Release);
            match self.round(subscription, lane).await {
                Ok(Next::Again) => {}
                Ok(Next::Wait(until)) => {
                    tokio::select! {
                        () = self.clock.reaches(until) => {}
                        () = lane.woken.notified() => {}
                    }
                }
                Ok(Next::End) => {
                    let mut running = self.running();
                    // Who wakes a lane holds the lock too.
                    if !lane.more.load(Ordering::Acquire) {
                        running.remove(&subscription);
                        return;
                    }
                }
                Err(error) => {
                    tell(&error, subscription);
                    tokio::time::sleep(AFTER_FAILURE).await;
                }
            }
        }
        self.running().remove(&subscription);
        self.one_ended.notify_one();
    }

    async fn round(&self, id: i64, lane: &Lane) -> Result<Next, StoreError> {
        let topics = self.store.topics();
        let Some(to) = topics.subscription_of_id(id).await? else { return Ok(Next::End) };
        let now = self.clock.now();
        let rows = if arn_of(&to).topic.is_fifo() {
            topics.due_deliveries_in_order(id, now, ROUND).await?
        } else {
            topics.due_deliveries(id, now, ROUND).await?
        };
        if rows.is_empty() {
            return Ok(match topics.deliveries_left(id, now).await? {
                DeliveriesLeft::None => Next::End,
                DeliveriesLeft::Due => Next::Again,
                DeliveriesLeft::DueAt(at) => Next::Wait(at),
            });
        }
        let topic = self.book.topic(&arn_of(&to).topic).await?;
        let policy = topic.as_ref().and_then(|topic| topic.row.attributes.get("DeliveryPolicy"));
        let policy = HttpPolicy::in_force(
            policy.map(String::as_str),
            to.attributes.get("DeliveryPolicy").map(String::as_str),
        );
        let at = Attempts { to: &to, policy: &policy, lane };
        let failed = stream::iter(chains(rows))
            .map(|chain| self.chain(&at, chain))
            .buffer_unordered(ATTEMPTS)
            .filter_map(async |result: Result<(), StoreError>| result.err())
            .collect::<Vec<_>>()
            .await;
        failed.into_iter().next().map_or(Ok(Next::Again), Err)
    }

    /// Delivers one after the other, until one has to wait.
    async fn chain(&self, at: &Attempts<'_>, chain: Vec<DeliveryRow>) -> Result<(), StoreError> {
        for row in chain {
            if self.stopping.load(Ordering::Acquire) || !self.deliver(at, row).await? {
                break;
            }
        }
        Ok(())
    }

    /// Makes one attempt; tells whether the delivery is over.
    async fn deliver(&self, at: &Attempts<'_>, row: DeliveryRow) -> Result<bool, StoreError> {
        let (topics, to) = (self.store.topics(), at.to);
        let message: Message = match serde_json::from_str(&row.document) {
            Ok(message) => message,
            Err(error) => {
                tracing::error!(%error, message = row.uuid, "a stored message of SNS is damaged; it is dropped");
                topics.delivered(row.id).await?;
                return Ok(true);
            }
        };
        let dead_letters = dead_letter_queue(to).filter(|_| message.kind == Kind::Notification);
        let (outcome, policy) = match (&row.failure, &dead_letters) {
            (None, _) => {
                let web = matches!(to.protocol.as_str(), "http" | "https");
                if web {
                    at.slot(&*self.clock).await;
                }
                let outcome = self.courier.deliver(to, &row, &message, at.policy).await;
                (outcome, if web { at.policy.retry.clone() } else { RetryPolicy::managed() })
            }
            (Some(_), Some(queue)) => {
                (self.courier.to_queue(queue, to, &row, &message).await, RetryPolicy::managed())
            }
            (Some(failure), None) => (Outcome::Never(failure.clone()), RetryPolicy::managed()),
        };
        let now = self.clock.now();
        let failed = row.attempts.saturating_add(1);
        let why = match outcome {
            Outcome::Delivered => {
                topics.delivered(row.id).await?;
                return Ok(true);
            }
            Outcome::Later(why) => {
                tracing::debug!(
                    message = row.uuid,
                    endpoint = to.endpoint,
                    attempt = failed,
                    why,
                    "not delivered"
                );
                if let Some(delay) = policy.delay(failed) {
                    let due = UnixMillis(now.0.saturating_add(delay));
                    topics.postpone_delivery(row.id, due, failed, row.failure).await?;
                    return Ok(false);
                }
                why
            }
            Outcome::Never(why) => why,
        };
        if row.failure.is_none() && dead_letters.is_some() {
            topics.postpone_delivery(row.id, now, 0, Some(why)).await?;
            return Ok(false);
        }
        let subscription = arn_of(to).to_string();
        let lost = "a message of SNS could not be delivered, and is dropped";
        tracing::warn!(
            message = row.uuid,
            subscription,
            endpoint = to.endpoint,
            attempts = failed,
            why,
            "{lost}"
        );
        topics.delivered(row.id).await?;
        Ok(true)
    }
}

/// What the attempts of one round have in common.
struct Attempts<'a> {
    to: &'a SubscriptionRow,
    policy: &'a HttpPolicy,
    lane: &'a Lane,
}

impl Attempts<'_> {
    /// Waits until the endpoint may get another request.
    async fn slot(&self, clock: &dyn Clock) {
        let Some(most) = self.policy.per_second else { return };
        let at = {
            let mut next = self.lane.slot.lock().unwrap_or_else(PoisonError::into_inner);
            let at = clock.now().0.max(*next);
            *next = at.saturating_add(1000 / i64::from(most));
            at
        };
        clock.reaches(UnixMillis(at)).await;
    }
}

fn tell(error: &StoreError, subscription: i64) {
    let error = error as &dyn std::error::Error;
    tracing::error!(error, subscription, "messages of SNS cannot be delivered now");
}

/// Rows of one group in one list, in their order; each row without a group in a list of its own.
fn chains(rows: Vec<DeliveryRow>) -> Vec<Vec<DeliveryRow>> {
    let mut chains: Vec<Vec<DeliveryRow>> = Vec::new();
    let mut places: HashMap<String, usize> = HashMap::new();
    for row in rows {
        match row.lane.clone() {
            None => chains.push(vec![row]),
            Some(lane) => {
                let place = *places.entry(lane).or_insert_with(|| {
                    chains.push(Vec::new());
                    chains.len() - 1
                });
                chains[place].push(row);
            }
        }
    }
    chains
}

fn dead_letter_queue(subscription: &SubscriptionRow) -> Option<String> {
    let policy: serde_json::Value =
        serde_json::from_str(subscription.attributes.get("RedrivePolicy")?).ok()?;
    policy.get("deadLetterTargetArn")?.as_str().map(str::to_owned)
}
