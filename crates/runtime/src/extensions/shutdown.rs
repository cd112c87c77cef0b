//! The end of an environment that has extensions.

use std::time::Duration;

use lambd_types::{Clock, limits};
use tokio::time::Instant;

use super::{Crew, ShutdownReason};
use crate::ports::Sandbox;

/// The runtime's share of the time, in percent, as the service has it.
const RUNTIME_SHARE: u32 = 30;

/// Ends the runtime and then its extensions: the runtime by SIGTERM, and by SIGKILL when its share of the time is
/// over, or at once where it has had its time already; the extensions by telling them, and all that is left when
/// the time is over. Resolves when nothing is left.
pub(crate) async fn shut_down(sandbox: &dyn Sandbox, crew: &Crew, reason: ShutdownReason, clock: &dyn Clock) {
    let longest = Duration::from_millis(limits::SHUTDOWN_WITH_EXTENSIONS_MILLIS);
    let (until, deadline) = (Instant::now() + longest, clock.now().0 + longest.as_millis() as i64);
    crew.end();
    if reason != ShutdownReason::Timeout {
        let share = longest * RUNTIME_SHARE / 100;
        sandbox.terminate_process().await;
        if tokio::time::timeout(share, sandbox.exited()).await.is_err() {
            sandbox.kill_process().await;
        }
    } else {
        sandbox.kill_process().await;
    }
    let told = async {
        sandbox.exited().await;
        crew.shut_down(reason, deadline).await;
    };
    let _ = tokio::time::timeout_at(until, told).await;
    sandbox.kill();
    sandbox.gone().await;
}
