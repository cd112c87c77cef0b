//! What a service of AWS answers when it does not do what it was asked.

use bytes::Bytes;
use http::{Response, StatusCode};
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;

use crate::OutboundError;
use crate::client::ANSWER;

/// Bytes of an answer that are read.
const ANSWER_MAX: usize = 64 * 1024;

/// Codes with a status of 4xx that say "later", not "never".
const LATER: [&str; 8] = [
    "KmsThrottled",
    "OverLimit",
    "RequestLimitExceeded",
    "RequestThrottled",
    "ThrottledException",
    "Throttling",
    "ThrottlingException",
    "TooManyRequestsException",
];

/// A service did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    /// It said no.
    #[error("{code}: {message}")]
    Refused {
        /// The HTTP status.
        status: StatusCode,
        /// Its error code without namespace, such as `QueueDoesNotExist`; the status where it gave none.
        code: String,
        /// Its explanation.
        message: String,
    },
    /// It could not be asked, or its answer was not understood.
    #[error(transparent)]
    Outbound(#[from] OutboundError),
}

impl ServiceError {
    /// Whether the same request may succeed later: the service could not be reached, failed, or had too much to do.
    /// Anything else it refuses for good until somebody changes something.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Refused { status, code, .. } => {
                status.is_server_error()
                    || matches!(*status, StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT)
                    || LATER.contains(&code.as_str())
            }
            Self::Outbound(OutboundError::Request(_)) => false,
            Self::Outbound(_) => true,
        }
    }
}

/// A request that cannot be made.
pub(crate) fn impossible(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> ServiceError {
    ServiceError::Outbound(OutboundError::Request(error.into()))
}

/// The body of a success, or what the service said instead, in any of AWS's JSON protocols.
pub(crate) async fn answer_of(response: Response<Incoming>) -> Result<Bytes, ServiceError> {
    let (head, body) = response.into_parts();
    let collecting = tokio::time::timeout(ANSWER, Limited::new(body, ANSWER_MAX).collect());
    let body = collecting.await.ok().and_then(Result::ok).map(http_body_util::Collected::to_bytes);
    if head.status.is_success() {
        // What was asked is done, whatever became of the rest of the answer.
        return Ok(body.unwrap_or_default());
    }
    let document: serde_json::Value = serde_json::from_slice(&body.unwrap_or_default()).unwrap_or_default();
    let named =
        |names: &[&str]| names.iter().find_map(|name| document.get(name)?.as_str().map(str::to_owned));
    let header = head.headers.get("x-amzn-errortype").and_then(|value| value.to_str().ok());
    let code = header.map(str::to_owned).or_else(|| named(&["__type", "code", "Code"]));
    // `com.amazonaws.sqs#QueueDoesNotExist`, `ResourceNotFoundException:http://internal/`
    let short = |code: String| {
        let code = code.rsplit_once('#').map_or(code.as_str(), |(_, name)| name);
        code.split(':').next().unwrap_or_default().to_owned()
    };
    let reason = || head.status.canonical_reason().unwrap_or("unknown").to_owned();
    Err(ServiceError::Refused {
        status: head.status,
        code: code.map(short).unwrap_or_else(|| head.status.as_u16().to_string()),
        message: named(&["message", "Message"]).unwrap_or_else(reason),
    })
}

#[cfg(test)]
pub(crate) mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;
    use tokio::task::JoinHandle;

    use super::*;
    use crate::Endpoint;

    /// A request as the other end saw it.
    pub(crate) struct Seen {
        /// Request line and headers, names in lower case.
        pub(crate) head: String,
        /// The body.
        pub(crate) body: serde_json::Value,
    }

    /// A server that gives one answer, and what it was asked.
    pub(crate) async fn server(answer: String) -> (Endpoint, JoinHandle<Seen>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
        let seen = tokio::spawn(async move {
            let (mut client, _) = listener.accept().await.unwrap();
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(client.read_u8().await.unwrap());
            }
            let head = String::from_utf8(head).unwrap();
            let length = head.lines().find_map(|line| {
                let (name, value) = line.split_once(": ")?;
                name.eq_ignore_ascii_case("content-length").then(|| value.parse().unwrap())
            });
            let mut body = vec![0; length.unwrap_or(0)];
            client.read_exact(&mut body).await.unwrap();
            client.write_all(answer.as_bytes()).await.unwrap();
            Seen { head, body: serde_json::from_slice(&body).unwrap_or_default() }
        });
        (endpoint, seen)
    }

    /// An answer with this status line, further headers and body.
    pub(crate) fn answer(status: &str, headers: &str, body: &str) -> String {
        let length = body.len();
        format!("HTTP/1.1 {status}\r\nconnection: close\r\n{headers}content-length: {length}\r\n\r\n{body}")
    }

    #[test]
    fn later_and_never_are_told_apart() {
        let refused = |status: u16, code: &str| ServiceError::Refused {
            status: StatusCode::from_u16(status).unwrap(),
            code: code.into(),
            message: String::new(),
        };
        for (status, code, transient) in [
            (400, "QueueDoesNotExist", false),
            (403, "AccessDenied", false),
            (404, "ResourceNotFoundException", false),
            (413, "RequestEntityTooLargeException", false),
            (400, "ThrottlingException", true),
            (403, "RequestThrottled", true),
            (429, "TooManyRequestsException", true),
            (500, "InternalError", true),
            (503, "503", true),
        ] {
            assert_eq!(refused(status, code).is_transient(), transient, "{status} {code}");
        }
        assert!(!impossible("a line break in a header").is_transient());
        let late = OutboundError::Late { authority: "a".into() };
        assert!(ServiceError::from(late).is_transient());
    }
}
