//! HTTP and HTTPS connections.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client as Pool;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use lambd_types::{Region, UnixMillis};
use rustls::{ClientConfig, RootCertStore};

use crate::Credentials;
use crate::fetch::bare;
use crate::service::ANSWER_MAX;

/// How long a connection may take to be made.
pub(crate) const CONNECT: Duration = Duration::from_secs(10);
/// How long the head of an answer may be awaited.
pub(crate) const ANSWER: Duration = Duration::from_secs(60);

/// A request got no answer.
#[derive(Debug, thiserror::Error)]
pub enum OutboundError {
    /// It cannot be sent at all.
    #[error("the request cannot be made: {0}")]
    Request(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// No connection, or one that broke.
    #[error("cannot reach {authority}")]
    Unreachable {
        /// Host and port.
        authority: String,
        /// What went wrong.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// No answer in time.
    #[error("{authority} has not answered within {} s", limit.as_secs())]
    Late {
        /// Host and port.
        authority: String,
        /// How long an answer was awaited.
        limit: Duration,
    },
}

type Connections = Pool<HttpsConnector<HttpConnector>, Full<Bytes>>;

/// Sends requests; clones share connections. It trusts the machine's certificates; where there are none, HTTPS fails
/// and HTTP works.
#[derive(Debug, Clone, Default)]
pub struct Client {
    /// Made when first used: reading all certificates takes as long as the start of a daemon.
    connections: Arc<OnceLock<Connections>>,
}

fn connections() -> Connections {
    Pool::builder(TokioExecutor::new()).build(connector(http_connector()))
}

pub(crate) fn http_connector() -> HttpConnector {
    let mut http = HttpConnector::new();
    http.set_connect_timeout(Some(CONNECT));
    http.set_nodelay(true);
    http.enforce_http(false);
    http
}

/// HTTPS over what `http` connects to, and HTTP.
pub(crate) fn connector<C>(http: C) -> HttpsConnector<C> {
    let builder = HttpsConnectorBuilder::new().with_native_roots().unwrap_or_else(|_| {
        let nobody = ClientConfig::builder().with_root_certificates(RootCertStore::empty());
        HttpsConnectorBuilder::new().with_tls_config(nobody.with_no_client_auth())
    });
    builder.https_or_http().enable_http1().wrap_connector(http)
}

impl Client {
    /// Signs and sends a request, and returns the answer, whatever its status, with its body still to be read.
    ///
    /// # Errors
    /// There is no answer.
    pub async fn send(
        &self,
        mut request: Request<Bytes>,
        service: &str,
        region: &Region,
        credentials: &Credentials,
        at: UnixMillis,
    ) -> Result<Response<Incoming>, OutboundError> {
        let authority = request.uri().authority().map(ToString::to_string).unwrap_or_default();
        if let Ok(host) = HeaderValue::from_str(&authority) {
            request.headers_mut().insert(header::HOST, host);
        }
        let request = credentials.sign(request, service, region, at)?.map(Full::new);
        self.exchange(request, authority, ANSWER).await
    }

    /// Posts something to whoever wants to hear of it, unsigned, and returns the status of the answer. A user and a
    /// password in the URL are sent as basic authentication; redirections are not followed.
    ///
    /// # Errors
    /// There is no answer within `limit`.
    pub async fn post(
        &self,
        url: &Uri,
        headers: HeaderMap,
        body: Bytes,
        limit: Duration,
    ) -> Result<StatusCode, OutboundError> {
        let cannot = |error: http::Error| OutboundError::Request(Box::new(error));
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = bare(url).map_err(cannot)?;
        *request.headers_mut() = headers;
        let authority = url.authority().map(ToString::to_string).unwrap_or_default();
        let host = request.uri().authority().map(ToString::to_string).unwrap_or_default();
        if let Some((user, _)) = authority.rsplit_once('@') {
            let user = percent_encoding::percent_decode_str(user).collect::<Vec<u8>>();
            let value = format!("Basic {}", STANDARD.encode(user));
            let value = HeaderValue::from_str(&value).map_err(|error| cannot(error.into()))?;
            request.headers_mut().insert(header::AUTHORIZATION, value);
        }
        let response = self.exchange(request, host, limit).await?;
        let status = response.status();
        // Read to its end, a short answer leaves its connection to the next request.
        let rest = Limited::new(response.into_body(), ANSWER_MAX).collect();
        let _ = tokio::time::timeout(limit, rest).await;
        Ok(status)
    }

    async fn exchange(
        &self,
        request: Request<Full<Bytes>>,
        authority: String,
        limit: Duration,
    ) -> Result<Response<Incoming>, OutboundError> {
        match tokio::time::timeout(limit, self.connections.get_or_init(connections).request(request)).await {
            Ok(Ok(response)) => Ok(response),
            Ok(Err(error)) => Err(OutboundError::Unreachable { authority, source: Box::new(error) }),
            Err(_) => Err(OutboundError::Late { authority, limit }),
        }
    }
}
