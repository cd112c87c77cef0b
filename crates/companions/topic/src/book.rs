//! Topics as publications need them, in memory: with their subscriptions, and these with their filters parsed.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use lambd_store::topics::{SubscriptionRow, SubscriptionState, TopicRow};
use lambd_store::{Store, StoreError};

use crate::filter::{FilterPolicy, FilterScope};
use crate::names::TopicArn;

/// Topics that are kept; beyond that all are read again.
const KEPT: usize = 1000;

/// A topic with those who want its messages.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) row: TopicRow,
    pub(crate) subscribers: Vec<Subscriber>,
}

/// A confirmed subscription.
#[derive(Debug)]
pub(crate) struct Subscriber {
    pub(crate) row: SubscriptionRow,
    pub(crate) filter: Option<FilterPolicy>,
}

/// All topics that were asked for of late.
pub(crate) struct Book {
    store: Arc<Store>,
    pages: Mutex<Pages>,
}

#[derive(Default)]
struct Pages {
    entries: HashMap<TopicArn, Arc<Entry>>,
    /// Counts what was forgotten: what was read before that is not put in.
    edition: u64,
}

impl Book {
    pub(crate) fn new(store: Arc<Store>) -> Self {
        Self { store, pages: Mutex::default() }
    }

    fn pages(&self) -> MutexGuard<'_, Pages> {
        self.pages.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A topic has changed, or one of its subscriptions.
    pub(crate) fn forget(&self, arn: &TopicArn) {
        let mut pages = self.pages();
        pages.edition += 1;
        pages.entries.remove(arn);
    }

    /// A topic; `None` if there is none.
    pub(crate) async fn topic(&self, arn: &TopicArn) -> Result<Option<Arc<Entry>>, StoreError> {
        let edition = {
            let pages = self.pages();
            if let Some(entry) = pages.entries.get(arn) {
                return Ok(Some(entry.clone()));
            }
            pages.edition
        };
        let topics = self.store.topics();
        let Some(row) = topics.topic(&arn.scope, &arn.name).await? else { return Ok(None) };
        let subscriptions = topics.subscriptions_of(row.id, 0, usize::MAX).await?;
        let confirmed = subscriptions.into_iter().filter(|row| row.state == SubscriptionState::Confirmed);
        let entry = Arc::new(Entry { row, subscribers: confirmed.map(subscriber).collect() });
        let mut pages = self.pages();
        if pages.edition == edition {
            if pages.entries.len() >= KEPT {
                pages.entries.clear();
            }
            pages.entries.insert(arn.clone(), entry.clone());
        }
        Ok(Some(entry))
    }
}

fn subscriber(row: SubscriptionRow) -> Subscriber {
    let scope = row.attributes.get("FilterPolicyScope").and_then(|scope| FilterScope::parse(scope));
    let scope = scope.unwrap_or(FilterScope::Attributes);
    // It was checked when it was set.
    let policy = row.attributes.get("FilterPolicy");
    let filter = policy.and_then(|text| FilterPolicy::parse(text, scope).ok().flatten());
    Subscriber { row, filter }
}
