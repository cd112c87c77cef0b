//! A client of the daemon's AWS API: signed requests over plain HTTP, one connection each.
//!
//! A connection per request costs a few tens of microseconds on the loopback interface, and there is
//! no pool to keep alive across a daemon's restart.

mod clock;
mod error;
mod events;
mod lambda;
mod logs;
mod sign;

use std::time::SystemTime;

use bytes::Bytes;
use http::{Method, Request, Response, header};
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::TokioIo;
use lambd_types::Region;
use tokio::net::TcpStream;

use crate::args::{ClientFlags, Endpoint};

pub(crate) use error::ClientError;
pub(crate) use lambda::{
    Environment, FunctionChange, FunctionConfiguration, Invocation, InvocationMode, NewFunction, RuntimeInUse,
};
pub(crate) use logs::{FilterQuery, LoggedEvent};
pub(crate) use sign::Credentials;

const JSON: &[(&str, &str)] = &[("content-type", "application/json")];

/// Calls one daemon in one region.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    endpoint: Endpoint,
    region: Region,
    credentials: Credentials,
}

impl Client {
    pub(crate) fn new(endpoint: Endpoint, region: Region, credentials: Credentials) -> Self {
        Self { endpoint, region, credentials }
    }

    /// The daemon that options and environment name.
    pub(crate) fn from_flags(flags: &ClientFlags) -> Result<Self, ClientError> {
        let env = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let endpoint = match (&flags.endpoint, env("AWS_ENDPOINT_URL")) {
            (Some(endpoint), _) => endpoint.clone(),
            (None, Some(url)) => url.parse().map_err(|reason| ClientError::EndpointUrl { url, reason })?,
            (None, None) => Endpoint { authority: "127.0.0.1:4566".into() },
        };
        let of_aws =
            || env("AWS_REGION").or_else(|| env("AWS_DEFAULT_REGION")).and_then(|name| Region::parse(&name));
        let region = flags.region.clone().or_else(of_aws).unwrap_or_else(Region::default_local);
        Ok(Self::new(endpoint, region, Credentials::from_env(env)))
    }

    pub(crate) fn region(&self) -> &Region {
        &self.region
    }

    /// Signs and sends one request, and reads the whole response. Statuses are left to the caller.
    async fn send(
        &self,
        service: &'static str,
        method: Method,
        path: &str,
        headers: &[(&'static str, &str)],
        body: Bytes,
    ) -> Result<Response<Bytes>, ClientError> {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.endpoint))
            .header(header::HOST, &self.endpoint.authority)
            .header(header::USER_AGENT, concat!("lambd-cli/", env!("CARGO_PKG_VERSION")));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(body).map_err(|source| ClientError::Request(Box::new(source)))?;
        let request = self.credentials.sign(request, service, &self.region, SystemTime::now())?;
        self.exchange(request).await
    }

    async fn exchange(&self, mut request: Request<Bytes>) -> Result<Response<Bytes>, ClientError> {
        let unreachable = |source| ClientError::Unreachable { endpoint: self.endpoint.to_string(), source };
        let broken = |source| ClientError::Broken { endpoint: self.endpoint.to_string(), source };
        let stream = TcpStream::connect(self.endpoint.address()).await.map_err(unreachable)?;
        stream.set_nodelay(true).map_err(unreachable)?;
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
        let connection = tokio::spawn(connection);
        // On a connection to the server itself, as opposed to a proxy, the target is the path alone.
        if let Some(path) = request.uri().path_and_query().cloned() {
            *request.uri_mut() = path.into();
        }
        let response = sender.send_request(request.map(Full::new)).await.map_err(broken)?;
        let (parts, body) = response.into_parts();
        let body = body.collect().await.map_err(broken)?.to_bytes();
        connection.abort();
        Ok(Response::from_parts(parts, body))
    }
}

/// The body of a successful JSON response.
fn decoded<T: serde::de::DeserializeOwned>(response: Response<Bytes>) -> Result<T, ClientError> {
    if !response.status().is_success() {
        return Err(ClientError::refused(&response));
    }
    serde_json::from_slice(response.body()).map_err(ClientError::Response)
}

fn encoded(body: &impl serde::Serialize) -> Result<Bytes, ClientError> {
    serde_json::to_vec(body).map(Bytes::from).map_err(|source| ClientError::Request(Box::new(source)))
}
