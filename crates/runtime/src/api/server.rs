//! The HTTP side of the Runtime API, served on a listener inside the sandbox.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Body as _, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde::Serialize;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use super::ExtensionsApi;
use super::connection::{Connection, Eager};
use super::mailbox::{Answering, Dispatch, Mailbox, Refused, Reply, ReportedError};
use super::streaming::{self, Mode};
use crate::error_document::ErrorDocument;
use crate::ports::Gate;

/// Largest response of a function, in bytes: 6 MB and some for the envelope, as the service has it.
pub(super) const RESPONSE_MAX: usize = 6 * 1024 * 1024 + 100;

/// Connections of one environment: each is a descriptor of the daemon, and may carry a whole response. Each of ten
/// extensions keeps one open, at least.
const CONNECTIONS: usize = 40;

/// Bytes of a request's head, and of trailers: the trace of an error may be in one.
const HEAD_MAX: usize = 256 * 1024;

const PREFIX: &str = "/2018-06-01/runtime/";
const ERROR_TYPE: &str = "lambda-runtime-function-error-type";

type Answer = Response<Full<Bytes>>;

/// Serves `mailbox` and `extensions` to those whom `gate` includes, until the future is dropped. A response that is streamed may have
/// `streamed_max` bytes.
pub(crate) async fn serve(
    listener: TcpListener,
    mailbox: Arc<Mailbox>,
    extensions: Arc<ExtensionsApi>,
    gate: Option<Gate>,
    streamed_max: u64,
) {
    let mut connections = tokio::task::JoinSet::new();
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    let mut http = http1::Builder::new();
    http.max_header_size(HEAD_MAX);
    loop {
        let place = places.clone().acquire_owned().await;
        let Ok((stream, peer)) = listener.accept().await else {
            // Descriptors ran out; the process inside will try again.
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            continue;
        };
        if !is_included(gate.as_ref(), &stream, peer).await {
            continue;
        }
        let _ = stream.set_nodelay(true);
        let (mailbox, extensions) = (mailbox.clone(), extensions.clone());
        let eager = Eager::default();
        let connection = Connection::new(stream, eager.clone());
        let service = service_fn(move |request| {
            let (mailbox, extensions, eager) = (mailbox.clone(), extensions.clone(), eager.clone());
            async move {
                let streams = Streams { max: streamed_max, eager: &eager };
                Ok::<_, Infallible>(answer(&mailbox, &extensions, request, streams).await)
            }
        });
        while connections.try_join_next().is_some() {}
        let http = http.clone();
        connections.spawn(async move {
            if let Err(error) = http.serve_connection(TokioIo::new(connection), service).await {
                tracing::trace!(%error, "a runtime's connection ended");
            }
            drop(place);
        });
    }
}

/// What a connection has for responses that are streamed.
#[derive(Clone, Copy)]
struct Streams<'a> {
    /// Most bytes of one.
    max: u64,
    eager: &'a Eager,
}

async fn is_included(gate: Option<&Gate>, stream: &TcpStream, peer: SocketAddr) -> bool {
    let Some(gate) = gate.cloned() else { return true };
    let Ok(local) = stream.local_addr() else { return false };
    let included = tokio::task::spawn_blocking(move || gate.includes(peer, local)).await.unwrap_or(false);
    if !included {
        tracing::warn!(%peer, %local, "refused a stranger at a Runtime API");
    }
    included
}

async fn answer(
    mailbox: &Mailbox,
    extensions: &ExtensionsApi,
    request: Request<Incoming>,
    streams: Streams<'_>,
) -> Answer {
    let Some(path) = request.uri().path().strip_prefix(PREFIX) else {
        return extensions.answer(request).await;
    };
    let method = request.method();
    if path == "invocation/next" && method == Method::GET {
        return event(&*mailbox.next().await);
    }
    // Of functions with SnapStart: there is no snapshot, so they are restored at once.
    if path == "restore/next" && method == Method::GET {
        return Response::new(Full::default());
    }
    if method != Method::POST {
        return not_found();
    }
    let (answering, is_response) = match path.split_once('/') {
        Some(("init" | "restore", "error")) => (mailbox.fail_init(), false),
        Some(("invocation", rest)) => match rest.split_once('/') {
            Some((id, "response")) => (mailbox.answer(id), true),
            Some((id, "error")) => (mailbox.answer(id), false),
            _ => return not_found(),
        },
        _ => return not_found(),
    };
    match (answering, is_response) {
        (Ok(answering), true) => response(answering, request, streams).await,
        (Ok(answering), false) => match failure(request).await {
            Ok(error) => {
                answering.give_error(error);
                accepted()
            }
            Err(answer) => answer,
        },
        (Err(refused), _) => {
            // Read, so that the runtime sees the answer, but never kept.
            discard(request.into_body()).await;
            refusal(refused)
        }
    }
}

pub(super) fn not_found() -> Answer {
    error(StatusCode::NOT_FOUND, "InvalidPath", "no such resource")
}

async fn response(answering: Answering<'_>, request: Request<Incoming>, streams: Streams<'_>) -> Answer {
    match Mode::of(request.headers()) {
        Mode::Buffered => whole_response(answering, request).await,
        // Not on the way of those who do not stream.
        Mode::Streaming => Box::pin(streamed_response(answering, request, streams)).await,
        Mode::Invalid => {
            discard(request.into_body()).await;
            answering.give_error(streaming::invalid_mode());
            let text = "Invalid function response mode";
            error(StatusCode::BAD_REQUEST, "InvalidFunctionResponseMode", text)
        }
    }
}

async fn streamed_response(
    answering: Answering<'_>,
    request: Request<Incoming>,
    streams: Streams<'_>,
) -> Answer {
    let sink = answering.sink();
    streams.eager.set(true);
    // The connection waits for the body already: it looks again, and acknowledges the head.
    tokio::task::yield_now().await;
    let reply = streaming::receive(request, sink.as_deref(), streams.max).await;
    streams.eager.set(false);
    let answer = match reply {
        Reply::TooLarge { limit, .. } => too_large(limit),
        Reply::Truncated => {
            error(StatusCode::BAD_REQUEST, "TruncatedHTTPRequest", "HTTP request detected as truncated")
        }
        Reply::Response(_) | Reply::Streamed | Reply::Error(_) => accepted(),
    };
    answering.give(reply);
    answer
}

async fn whole_response(answering: Answering<'_>, request: Request<Incoming>) -> Answer {
    match collect(request.into_body()).await {
        Ok(body) => {
            answering.give(Reply::Response(body));
            accepted()
        }
        Err(Unread::TooLarge { size }) => {
            let limit = RESPONSE_MAX as u64;
            answering.give(Reply::TooLarge { size: size as u64, limit });
            too_large(limit)
        }
        Err(Unread::Broken) => broken(),
    }
}

/// The next event with its headers (RT-59..64).
fn event(dispatch: &Dispatch) -> Answer {
    const REQUEST_ID: HeaderName = HeaderName::from_static("lambda-runtime-aws-request-id");
    const DEADLINE: HeaderName = HeaderName::from_static("lambda-runtime-deadline-ms");
    const INVOKED_ARN: HeaderName = HeaderName::from_static("lambda-runtime-invoked-function-arn");
    const TRACE_ID: HeaderName = HeaderName::from_static("lambda-runtime-trace-id");
    const CLIENT_CONTEXT: HeaderName = HeaderName::from_static("lambda-runtime-client-context");

    let Dispatch { event, deadline, stream: _ } = dispatch;
    let mut response = Response::new(Full::new(event.payload.clone()));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    // A value that no header can carry is left out: the event itself matters more.
    let text = |value: &str| HeaderValue::from_bytes(value.as_bytes()).ok();
    let values = [
        (REQUEST_ID, text(event.request_id.as_str())),
        (DEADLINE, Some(HeaderValue::from(deadline.0))),
        (INVOKED_ARN, text(&event.invoked_arn)),
        (TRACE_ID, text(&event.trace_id)),
        (CLIENT_CONTEXT, event.client_context.as_deref().and_then(text)),
    ];
    headers.extend(values.into_iter().filter_map(|(name, value)| Some((name, value?))));
    response
}

/// An error report: the document when it is one, else what the header tells (RT-68, S-13).
async fn failure(request: Request<Incoming>) -> Result<ReportedError, Answer> {
    let header =
        request.headers().get(ERROR_TYPE).and_then(|v| v.to_str().ok()).unwrap_or("Unhandled").to_owned();
    let body = match collect(request.into_body()).await {
        Ok(body) => body,
        Err(Unread::TooLarge { .. }) => {
            return Err(error(
                StatusCode::PAYLOAD_TOO_LARGE,
                "RequestEntityTooLarge",
                "the error is too large",
            ));
        }
        Err(Unread::Broken) => return Err(broken()),
    };
    let is_json = serde_json::from_slice::<serde::de::IgnoredAny>(&body).is_ok();
    let document = if is_json { body } else { ErrorDocument::of_type(&header).to_bytes() };
    Ok(ReportedError { document, error_type: header })
}

enum Unread {
    TooLarge { size: usize },
    Broken,
}

/// Reads a body; what is over the limit is counted and thrown away, so that the runtime sees the answer.
///
/// A body of one piece is not copied. Those of many are, at once: a piece keeps the whole buffer that it is part
/// of, and each of a million chunks of one byte would be one.
async fn collect(mut body: Incoming) -> Result<Bytes, Unread> {
    let announced = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX).min(RESPONSE_MAX);
    let mut first: Option<Bytes> = None;
    let mut rest: Vec<u8> = Vec::new();
    let mut size = 0;
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|_| Unread::Broken)?.into_data() else { continue };
        size += data.len();
        if size > RESPONSE_MAX {
            (first, rest) = (None, Vec::new());
            continue;
        }
        if let Some(head) = first.take() {
            rest.reserve_exact(announced);
            rest.extend_from_slice(&head);
        }
        if rest.is_empty() {
            first = Some(data);
        } else {
            rest.extend_from_slice(&data);
        }
    }
    if size > RESPONSE_MAX {
        return Err(Unread::TooLarge { size });
    }
    Ok(first.unwrap_or_else(|| rest.into()))
}

async fn discard(mut body: Incoming) {
    while let Some(Ok(_)) = body.frame().await {}
}

pub(super) fn accepted() -> Answer {
    of_json(StatusCode::ACCEPTED, Bytes::from_static(br#"{"status":"OK"}"#))
}

fn refusal(refused: Refused) -> Answer {
    match refused {
        Refused::InvalidRequestId => error(StatusCode::BAD_REQUEST, "InvalidRequestID", "Invalid request ID"),
        Refused::InvalidStateTransition => error(
            StatusCode::FORBIDDEN,
            "InvalidStateTransition",
            "this call does not fit what the runtime is doing",
        ),
    }
}

fn too_large(limit: u64) -> Answer {
    let text = format!("Exceeded maximum allowed payload size ({limit} bytes).");
    error(StatusCode::PAYLOAD_TOO_LARGE, "RequestEntityTooLarge", &text)
}

fn broken() -> Answer {
    error(StatusCode::BAD_REQUEST, "InvalidRequest", "the request body broke off")
}

pub(super) fn error(status: StatusCode, error_type: &str, message: &str) -> Answer {
    json(status, &serde_json::json!({ "errorMessage": message, "errorType": error_type }))
}

pub(super) fn json(status: StatusCode, body: &impl Serialize) -> Answer {
    of_json(status, serde_json::to_vec(body).unwrap_or_default().into())
}

fn of_json(status: StatusCode, body: Bytes) -> Answer {
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
