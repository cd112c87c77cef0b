//! Functions that run under their language's debugger.
//!
//! | module    | idea                                                        |
//! |-----------|-------------------------------------------------------------|
//! | `command` | how a runtime is started under its debugger                 |
//! | `delve`   | a debugger that attaches from outside, for programs in Go   |
//! | `relay`   | a port of the host that leads to the debugger, wherever it is |
//!
//! An instance of such a function waits for somebody to attach before it loads the handler; a program that is its own
//! runtime, before it gets its first event. Time limits do not count while it waits and while somebody is attached, and it
//! is not frozen.

mod command;
mod delve;
mod relay;

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Weak};
use std::time::Duration;

use lambd_types::FunctionName;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::Instant;

use crate::ports::Sandbox;

pub(crate) use command::under_debugger;

/// Memory of an instance under a debugger at least, in bytes: the debugger's own is not the function's affair.
pub(crate) const MEMORY_MIN: u64 = 1 << 30;

/// The functions that run under a debugger.
#[derive(Default)]
pub struct Debuggers(HashMap<FunctionName, Arc<Debugger>>);

impl Debuggers {
    /// Listens for whoever wants to debug one of these functions, at its address. Functions of all accounts and regions
    /// are meant.
    ///
    /// # Errors
    /// When an address cannot be listened on; it is in the error.
    pub async fn listen(
        functions: impl IntoIterator<Item = (FunctionName, SocketAddr)>,
    ) -> Result<Self, (SocketAddr, io::Error)> {
        let mut all = HashMap::new();
        for (name, address) in functions {
            let listener = TcpListener::bind(address).await.map_err(|error| (address, error))?;
            let port = listener.local_addr().map_err(|error| (address, error))?.port();
            all.insert(name, Debugger::start(listener, port));
        }
        Ok(Self(all))
    }

    /// The names of the functions.
    pub fn functions(&self) -> impl Iterator<Item = &FunctionName> {
        self.0.keys()
    }

    pub(crate) fn of(&self, function: &FunctionName) -> Option<Arc<Debugger>> {
        self.0.get(function).cloned()
    }
}

/// How a debugger is reached.
#[derive(Debug, Clone)]
pub(crate) enum Way {
    /// It runs inside, and listens on this port there.
    Inside(u16),
    /// It attaches to the process that runs this program.
    Outside(PathBuf),
}

/// The function's present instance.
#[derive(Clone)]
struct Debuggee {
    sandbox: Weak<dyn Sandbox>,
    way: Way,
}

/// The debugging of one function.
pub(crate) struct Debugger {
    port: u16,
    debuggee: watch::Sender<Option<Debuggee>>,
    state: watch::Sender<State>,
    relay: AbortHandle,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct State {
    /// The present instance waits for somebody to attach.
    awaited: bool,
    /// Open connections to it.
    connections: usize,
}

impl State {
    fn is_engaged(self) -> bool {
        self.awaited || self.connections > 0
    }
}

impl Debugger {
    fn start(listener: TcpListener, port: u16) -> Arc<Self> {
        let (debuggee, state) = (watch::Sender::new(None), watch::Sender::new(State::default()));
        let relay = tokio::spawn(relay::serve(listener, debuggee.clone(), state.clone())).abort_handle();
        Arc::new(Self { port, debuggee, state, relay })
    }

    /// The port that a debugger listens on inside: the one people know, where the network is the sandbox's own; where it
    /// is the host's, that is taken, and any other does.
    pub(crate) fn port_inside(&self, shares_network: bool) -> u16 {
        let free = || std::net::TcpListener::bind("127.0.0.1:0").and_then(|any| any.local_addr());
        if shares_network { free().map_or(0, |address| address.port()) } else { self.port }
    }

    /// An instance was started, whose debugger is reached in this way.
    pub(crate) fn present(&self, sandbox: &Arc<dyn Sandbox>, way: Way) {
        self.debuggee.send_replace(Some(Debuggee { sandbox: Arc::downgrade(sandbox), way }));
        self.state.send_modify(|state| state.awaited = true);
    }

    /// Resolves when somebody has attached to the present instance.
    pub(crate) async fn attached(&self) {
        // The sender is a part of this.
        let _ = self.state.subscribe().wait_for(|state| !state.awaited).await;
    }

    /// Resolves at `until`, but not while somebody debugs or is waited for; after that there is `again` once more.
    pub(crate) async fn time_over(&self, mut until: Instant, again: Duration) {
        let mut state = self.state.subscribe();
        loop {
            tokio::time::sleep_until(until).await;
            if !state.borrow_and_update().is_engaged() {
                return;
            }
            // The sender is a part of this.
            let _ = state.wait_for(|state| !state.is_engaged()).await;
            until = Instant::now() + again;
        }
    }
}

impl Drop for Debugger {
    fn drop(&mut self) {
        self.relay.abort();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn debugger() -> Arc<Debugger> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Debugger::start(listener, 5678)
    }

    #[tokio::test(start_paused = true)]
    async fn time_does_not_count_while_somebody_debugs() {
        let debugger = debugger().await;
        let second = Duration::from_secs(1);
        let start = Instant::now();
        debugger.time_over(start + second, second).await;
        assert_eq!(start.elapsed(), second, "nobody is there");

        debugger.state.send_modify(|state| state.awaited = true);
        let (start, waiting) = (Instant::now(), debugger.clone());
        let over = tokio::spawn(async move { waiting.time_over(start + second, second).await });
        tokio::time::sleep(100 * second).await;
        debugger.state.send_modify(|state| *state = State { awaited: false, connections: 1 });
        tokio::time::sleep(100 * second).await;
        assert!(!over.is_finished());
        debugger.state.send_modify(|state| state.connections = 0);
        over.await.unwrap();
        assert_eq!(start.elapsed(), 201 * second, "its time again, after the last has left");
    }
}
