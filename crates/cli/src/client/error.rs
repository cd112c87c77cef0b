//! What can go wrong between the command line and the daemon.

use std::io;

use bytes::Bytes;
use http::Response;

/// Why a call did not succeed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClientError {
    #[error("nothing listens at {endpoint}: {source}")]
    Unreachable { endpoint: String, source: io::Error },
    #[error("the connection to {endpoint} broke: {source}")]
    Broken { endpoint: String, source: hyper::Error },
    #[error("AWS_ENDPOINT_URL is {url:?}: {reason}")]
    EndpointUrl { url: String, reason: &'static str },
    #[error("{code}: {message}")]
    Refused { status: u16, code: String, message: String },
    #[error("the response is not what this API answers: {0}")]
    Response(#[source] serde_json::Error),
    #[error("cannot form the request: {0}")]
    Request(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("function {name} ended up {state}: {reason}")]
    NotReady { name: String, state: String, reason: String },
}

impl ClientError {
    /// The error that a response with a bad status carries, found where AWS's clients look for it.
    pub(super) fn refused(response: &Response<Bytes>) -> Self {
        let body: serde_json::Value = serde_json::from_slice(response.body()).unwrap_or_default();
        let field =
            |names: &[&str]| names.iter().find_map(|name| body.get(*name)?.as_str()).map(ToOwned::to_owned);
        let header = response.headers().get("x-amzn-errortype").and_then(|value| value.to_str().ok());
        let code = header.map(ToOwned::to_owned).or_else(|| field(&["__type", "code"]));
        let code = code.unwrap_or_else(|| format!("HTTP status {}", response.status().as_u16()));
        // `com.amazonaws.logs#ResourceNotFoundException:http://...` is `ResourceNotFoundException`.
        let code =
            code.split(':').next().unwrap_or_default().rsplit('#').next().unwrap_or_default().to_owned();
        let message = field(&["message", "Message"]);
        let message = message.unwrap_or_else(|| String::from_utf8_lossy(response.body()).trim().to_owned());
        Self::Refused { status: response.status().as_u16(), code, message }
    }

    /// Whether there was no daemon to answer.
    pub(crate) fn is_unreachable(&self) -> bool {
        matches!(self, Self::Unreachable { .. } | Self::Broken { .. })
    }

    /// Whether the daemon does not know what was asked for.
    pub(crate) fn is_not_found(&self) -> bool {
        matches!(self, Self::Refused { code, .. } if code == "ResourceNotFoundException")
    }

    /// What the user can do about it.
    pub(crate) fn remedy(&self) -> Option<String> {
        let text = match self {
            Self::Unreachable { .. } => {
                "start the daemon with `lambd serve`, or name another with --endpoint or LAMBD_ENDPOINT"
            }
            Self::EndpointUrl { .. } => "unset it, or name the daemon with --endpoint http://HOST:PORT",
            Self::Refused { code, .. } if code == "ResourceNotFoundException" => {
                "`lambd functions` lists what there is; functions belong to a region, see --region"
            }
            Self::Broken { .. } => "see what the daemon wrote before it went away, then try again",
            Self::Response(_) => "check that lambd, and not another program, listens at that endpoint",
            Self::Refused { .. } | Self::Request(_) | Self::NotReady { .. } => return None,
        };
        Some(text.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(header: Option<&str>, body: &'static str) -> (String, String) {
        let mut response = Response::builder().status(404);
        if let Some(value) = header {
            response = response.header("x-amzn-ErrorType", value);
        }
        match ClientError::refused(&response.body(Bytes::from_static(body.as_bytes())).unwrap()) {
            ClientError::Refused { code, message, .. } => (code, message),
            other => panic!("{other}"),
        }
    }

    #[test]
    fn errors_are_recognised_wherever_aws_puts_them() {
        let not_found = ("ResourceNotFoundException".to_owned(), "no f".to_owned());
        assert_eq!(refused(Some("ResourceNotFoundException:x"), r#"{"Message":"no f"}"#), not_found);
        assert_eq!(
            refused(None, r#"{"__type":"a.b#ResourceNotFoundException","message":"no f"}"#),
            not_found
        );
        assert_eq!(refused(None, "gone\n"), ("HTTP status 404".to_owned(), "gone".to_owned()));
    }
}
