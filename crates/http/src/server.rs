//! Accepting connections and serving requests.

use std::convert::Infallible;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderName, HeaderValue, Request, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use lambd_types::AccountId;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::body::{self, BodyError, Room};
use crate::page;
use crate::router::unknown_service;
use crate::{AwsRequest, AwsResponse, CallerDefaults, Refusal, RequestBody, RequestHead, Router, empty};

/// A client that opened a connection sends its request head within this time.
const HEAD_TIMEOUT: Duration = Duration::from_secs(60);

/// Identity of a request (API-709).
const REQUEST_ID: HeaderName = HeaderName::from_static("x-amzn-requestid");

/// Connections from inside one sandbox.
const CONFINED_CONNECTIONS: usize = 64;

/// Bytes of request bodies from inside one sandbox that the daemon holds at a time, in memory or on disk: room for the largest
/// request that there is, a package of 50 MB in base64, and some smaller ones.
const CONFINED_BODIES: usize = 96 * 1024 * 1024;

/// The listener could not be opened.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}: {source}")]
pub struct ListenError {
    /// The address asked for.
    pub address: SocketAddr,
    /// What the kernel said.
    #[source]
    pub source: io::Error,
}

/// An open listener that does not accept yet, so that the process can be assembled behind it.
pub struct BoundListener {
    listener: TcpListener,
    gate: Option<Gate>,
}

/// Whether a connection may be served, by the addresses of the peer and of the listener. May block for a
/// moment.
pub type Gate = Arc<dyn Fn(SocketAddr, SocketAddr) -> bool + Send + Sync>;

impl fmt::Debug for BoundListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BoundListener").field("listener", &self.listener).finish_non_exhaustive()
    }
}

impl BoundListener {
    /// Binds `address`; port 0 takes a free one.
    pub async fn bind(address: SocketAddr) -> Result<Self, ListenError> {
        let listener = TcpListener::bind(address).await.map_err(|source| ListenError { address, source })?;
        Ok(Self { listener, gate: None })
    }

    /// A listener that was opened elsewhere, for example in another network namespace.
    pub fn from_std(listener: std::net::TcpListener) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        Ok(Self { listener: TcpListener::from_std(listener)?, gate: None })
    }

    /// The address in use.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// The same listener, which closes connections that `gate` refuses.
    #[must_use]
    pub fn behind(self, gate: Gate) -> Self {
        Self { gate: Some(gate), ..self }
    }

    /// The next connection that may be served.
    async fn accept(&self) -> io::Result<TcpStream> {
        loop {
            let (stream, peer) = self.listener.accept().await?;
            let Some(gate) = self.gate.clone() else { return Ok(stream) };
            let local = stream.local_addr()?;
            if tokio::task::spawn_blocking(move || gate(peer, local)).await.unwrap_or(false) {
                return Ok(stream);
            }
            tracing::warn!(%peer, %local, "refused a stranger at the endpoint of a sandbox");
        }
    }
}

/// Serves a router on listeners. Clones are the same server.
#[derive(Clone)]
pub struct Server {
    inner: Arc<Inner>,
}

struct Inner {
    router: Router,
    defaults: CallerDefaults,
    connections: usize,
    room: Room,
}

impl Server {
    /// A server of `router`.
    pub fn new(router: Router, defaults: CallerDefaults) -> Self {
        let (connections, room) = (Semaphore::MAX_PERMITS, Room::unlimited());
        Self { inner: Arc::new(Inner { router, defaults, connections, room }) }
    }

    /// The same services for callers inside a sandbox: they act in `account`, whatever credential they
    /// show, and may hold few connections and little data in them, because both are the daemon's.
    pub fn confined_to(&self, account: AccountId) -> Self {
        let Inner { router, defaults, .. } = &*self.inner;
        let defaults = CallerDefaults { account, region: defaults.region.clone(), confined: true };
        let (router, connections) = (router.clone(), CONFINED_CONNECTIONS);
        let room = Room::of_bytes(CONFINED_BODIES);
        Self { inner: Arc::new(Inner { router, defaults, connections, room }) }
    }

    /// Accepts until `stop` resolves, then waits up to `grace` for requests in flight to finish.
    pub async fn run(self, listener: BoundListener, stop: impl Future<Output = ()>, grace: Duration) {
        let connections = GracefulShutdown::new();
        let places = Arc::new(Semaphore::new(self.inner.connections));
        let mut stop = std::pin::pin!(stop);
        loop {
            let accepted = async {
                let place = places.clone().acquire_owned().await;
                (listener.accept().await, place)
            };
            tokio::select! {
                (accepted, place) = accepted => match accepted {
                    Ok(stream) => self.inner.clone().serve(stream, place.ok(), &connections),
                    Err(error) => {
                        // Out of descriptors or the like: let others finish before trying again.
                        tracing::warn!(%error, "cannot accept a connection");
                        tokio::time::sleep(Duration::from_millis(50)).await;
                    }
                },
                () = &mut stop => break,
            }
        }
        drop(listener);
        let drained = tokio::time::timeout(grace, connections.shutdown()).await;
        if drained.is_err() && !grace.is_zero() {
            tracing::warn!("requests were still in flight after {grace:?}; closing their connections");
        }
    }
}

impl Inner {
    fn serve(
        self: Arc<Self>,
        stream: TcpStream,
        place: Option<OwnedSemaphorePermit>,
        connections: &GracefulShutdown,
    ) {
        // Small answers must not wait for the acknowledgement of earlier ones.
        let _ = stream.set_nodelay(true);
        let service = service_fn(move |request| {
            let server = self.clone();
            async move { Ok::<_, Infallible>(server.answer(request).await) }
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIMEOUT)
            .serve_connection(TokioIo::new(stream), service);
        let connection = connections.watch(connection);
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "connection ended");
            }
            drop(place);
        });
    }

    async fn answer(&self, request: Request<Incoming>) -> AwsResponse {
        let (parts, body) = request.into_parts();
        let head = RequestHead::new(parts, &self.defaults);
        let request_id = head.request_id.clone();
        let mut response = self.dispatch(head, body).await;
        if let Ok(value) = HeaderValue::from_str(request_id.as_str()) {
            response.headers_mut().entry(REQUEST_ID).or_insert(value);
        }
        response
    }

    async fn dispatch(&self, head: RequestHead, body: Incoming) -> AwsResponse {
        let Some(service) = self.router.find(&head) else {
            body::discard(body).await;
            return unknown_service(&head);
        };
        if !service.is_public(&head) {
            if page::is_foreign(&head.headers) {
                body::discard(body).await;
                return page::refusal();
            }
            if !head.caller.is_signed() {
                body::discard(body).await;
                return service.refuse(&head, Refusal::NotSigned);
            }
        }
        let limit = service.body_limit(&head);
        if service.reads_body(&head) {
            return service
                .clone()
                .call_with_body(head, RequestBody::new(body, limit, self.room.clone()))
                .await;
        }
        match body::collect(body, limit, &self.room).await {
            Ok(body) => {
                let response = service.clone().call(AwsRequest { head, body: body.bytes }).await;
                drop(body.taken);
                response
            }
            // Which clients take as a reason to try again a little later.
            Err(BodyError::NoRoom) => empty(StatusCode::SERVICE_UNAVAILABLE),
            Err(BodyError::TooLarge) => service.refuse(&head, Refusal::BodyTooLarge { limit }),
            Err(BodyError::Broken(error)) => {
                tracing::debug!(%error, "a request body broke off");
                empty(StatusCode::BAD_REQUEST)
            }
        }
    }
}
