//! SNS, embedded: topics, subscriptions, and deliveries that survive.
//!
//! | module     | idea                                                                                |
//! |------------|-------------------------------------------------------------------------------------|
//! | `service`  | the API on the wire                                                                 |
//! | `actions`  | what it can be asked, one file per kind of resource                                 |
//! | `filter`   | which messages a subscription wants                                                 |
//! | `book`     | topics in memory, as publications need them                                         |
//! | `delivery` | from the outbox to queues, functions and web servers                                |
//! | `signing`  | signatures, and the certificate that tells whose they are                           |
//!
//! A publication finds its topic in memory, matches the filters, and commits the message with one row for each delivery;
//! then it is answered. Deliveries go on from there, also after a restart: a message is delivered at least once,
//! or given up by its policy and handed to the dead letter queue.
//!
//! This crate must not know how a queue or a function works: it reaches them as anybody does, over their APIs.

mod actions;
mod book;
mod delivery;
mod error;
mod filter;
mod message;
mod names;
mod service;
mod signing;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

pub use delivery::Destinations;
use delivery::{Courier, Lanes, Links};
use lambd_store::{Store, StoreError};
use lambd_types::Clock;
pub use service::TopicService;

/// How long attempts may take when the daemon is told to stop. What is not over is made again by the next one.
const GRACE: Duration = Duration::from_secs(5);

/// Deliveries in the background; dropping it leaves them running.
pub struct TopicsHandle {
    lanes: Arc<Lanes>,
}

impl TopicsHandle {
    /// Goes on with what an earlier daemon left to deliver: called when the destinations can be reached.
    ///
    /// # Errors
    /// The database failed.
    pub async fn resume(&self) -> Result<(), StoreError> {
        self.lanes.resume().await
    }

    /// Ends deliveries.
    pub async fn shutdown(self) {
        self.lanes.stop(GRACE).await;
    }
}

/// Builds the service, which listens at `own`, and what delivers its messages.
pub fn start(
    store: Arc<Store>,
    clock: Arc<dyn Clock>,
    destinations: Destinations,
    own: SocketAddr,
) -> (Arc<TopicService>, TopicsHandle) {
    let book = Arc::new(book::Book::new(store.clone()));
    let signer = Arc::new(signing::Signer::new(store.clone(), clock.clone()));
    let links = Links { own: (!own.ip().is_unspecified()).then(|| own.to_string()) };
    let courier = Courier { destinations, signer: signer.clone(), clock: clock.clone(), links };
    let lanes = Lanes::new(store.clone(), clock.clone(), book.clone(), courier);
    let changes = tokio::sync::Mutex::default();
    let service = TopicService { store, clock, book, lanes: lanes.clone(), signer, changes };
    (Arc::new(service), TopicsHandle { lanes })
}
