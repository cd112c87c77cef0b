//! `runtime`'s endpoint inside a sandbox, served by `http`.

use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use lambd_http::{BoundListener, Server};
use lambd_runtime::ports::{EndpointServer, Gate};
use lambd_types::Scope;
use tokio::sync::oneshot;

pub(crate) struct Endpoint(pub(crate) Server);

impl EndpointServer for Endpoint {
    fn serve(&self, listener: TcpListener, gate: Option<Gate>, scope: &Scope) -> Box<dyn Send + Sync> {
        // Dropping the sender ends the serving; the sandbox is gone by then, so nobody waits.
        let (guard, gone) = oneshot::channel::<()>();
        let gone = async move {
            let _ = gone.await;
        };
        match BoundListener::from_std(listener) {
            Ok(listener) => {
                let listener = match gate {
                    Some(gate) => listener.behind(Arc::new(move |peer, local| gate.includes(peer, local))),
                    None => listener,
                };
                tokio::spawn(self.0.confined_to(scope.account.clone()).run(listener, gone, Duration::ZERO));
            }
            Err(error) => tracing::error!(%error, "cannot serve the AWS endpoint inside a sandbox"),
        }
        Box::new(guard)
    }
}
