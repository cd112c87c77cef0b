//! Freeing the space of deleted and expired events.

use std::sync::Arc;
use std::time::Duration;

use lambd_store::Store;
use lambd_types::Clock;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;

/// How often expired events are looked for.
const PERIOD: Duration = Duration::from_secs(3600);

/// Asks for a sweep before its time.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sweep(Arc<Notify>);

impl Sweep {
    /// Something was deleted, or a retention set.
    pub(crate) fn soon(&self) {
        self.0.notify_one();
    }
}

pub(crate) fn start(store: Arc<Store>, clock: Arc<dyn Clock>) -> (Sweep, JoinHandle<()>) {
    let sweep = Sweep::default();
    let task = tokio::spawn(run(store, clock, sweep.clone()));
    (sweep, task)
}

async fn run(store: Arc<Store>, clock: Arc<dyn Clock>, sweep: Sweep) {
    let mut ticks = tokio::time::interval(PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = sweep.0.notified() => {}
        }
        loop {
            match store.logs().sweep_step(clock.now()).await {
                Ok(0) => break,
                // Writers that wait for the database get in between two steps.
                Ok(_) => tokio::task::yield_now().await,
                Err(error) => {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "old log events could not be deleted"
                    );
                    break;
                }
            }
        }
    }
}
