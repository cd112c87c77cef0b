//! Connections from the host to the debugger of whatever instance a function has.

use std::time::Duration;

use tokio::io::Interest;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::delve::{self, Delve};
use super::{Debuggee, State, Way};

/// How often a debugger that does not listen yet is tried.
const TRY_EVERY: Duration = Duration::from_millis(20);

/// Accepts connections until the future is dropped.
pub(super) async fn serve(
    listener: TcpListener,
    debuggee: watch::Sender<Option<Debuggee>>,
    state: watch::Sender<State>,
) {
    let mut connections = JoinSet::new();
    loop {
        let Ok((outside, _)) = listener.accept().await else {
            tokio::time::sleep(TRY_EVERY).await;
            continue;
        };
        while connections.try_join_next().is_some() {}
        connections.spawn(connect(outside, debuggee.subscribe(), state.clone()));
    }
}

/// One connection, from when there is an instance until either side closes it.
async fn connect(
    mut outside: TcpStream,
    debuggee: watch::Receiver<Option<Debuggee>>,
    state: watch::Sender<State>,
) {
    let (mut inside, delve) = tokio::select! {
        reached = reach(debuggee, &outside) => match reached {
            Ok(reached) => reached,
            Err(error) => return tracing::error!(%error, "cannot debug a function"),
        },
        () = closed(&outside) => return,
    };
    let _ = outside.set_nodelay(true);
    let _ = inside.set_nodelay(true);
    let _attached = Attached::begin(&state);
    let _ = tokio::io::copy_bidirectional(&mut outside, &mut inside).await;
    drop(inside);
    if let Some(delve) = delve {
        delve.leave().await;
    }
}

/// Waits for an instance whose debugger listens, or to which one can be attached.
async fn reach(
    mut debuggee: watch::Receiver<Option<Debuggee>>,
    outside: &TcpStream,
) -> std::io::Result<(TcpStream, Option<Delve>)> {
    loop {
        let present = debuggee.borrow_and_update().clone();
        let present = present.and_then(|present| Some((present.sandbox.upgrade()?, present.way)));
        let Some((sandbox, way)) = present else {
            // The sender is gone only with the relay itself.
            let _ = debuggee.changed().await;
            continue;
        };
        match way {
            Way::Inside(port) => {
                let connecting = sandbox.connect(port);
                drop(sandbox);
                if let Ok(inside) = connecting.await {
                    return Ok((inside, None));
                }
            }
            Way::Outside(_) if !delve::may_command(outside) => {
                return Err(std::io::Error::other("another user of the machine may not command Delve"));
            }
            Way::Outside(program) => {
                let process = sandbox.init().and_then(|init| delve::process_of(init, &program));
                drop(sandbox);
                if let Some(process) = process {
                    let (delve, stream) = Delve::attach(process).await?;
                    return Ok((stream, Some(delve)));
                }
            }
        }
        tokio::time::sleep(TRY_EVERY).await;
    }
}

/// Resolves when the other side has closed a connection, whatever it has sent before.
async fn closed(connection: &TcpStream) {
    loop {
        match connection.ready(Interest::READABLE).await {
            Ok(ready) if !ready.is_read_closed() => tokio::time::sleep(TRY_EVERY).await,
            _ => return,
        }
    }
}

/// Counts a connection while it is there.
struct Attached<'a>(&'a watch::Sender<State>);

impl<'a> Attached<'a> {
    fn begin(state: &'a watch::Sender<State>) -> Self {
        state.send_modify(|state| *state = State { awaited: false, connections: state.connections + 1 });
        Self(state)
    }
}

impl Drop for Attached<'_> {
    fn drop(&mut self) {
        self.0.send_modify(|state| state.connections -= 1);
    }
}
