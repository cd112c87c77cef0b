//! A request as services see it.

use bytes::Bytes;
use http::{HeaderMap, Method};
use lambd_types::RequestId;

use crate::{Caller, CallerDefaults, QueryPairs};

/// A request before its body is read.
#[derive(Debug, Clone)]
pub struct RequestHead {
    /// HTTP method.
    pub method: Method,
    /// Path as sent, still percent-encoded.
    pub path: String,
    /// Decoded query.
    pub query: QueryPairs,
    /// Headers.
    pub headers: HeaderMap,
    /// Who calls.
    pub caller: Caller,
    /// Identity of this request, returned in `x-amzn-RequestId` (API-709).
    pub request_id: RequestId,
}

impl RequestHead {
    pub(crate) fn new(parts: http::request::Parts, defaults: &CallerDefaults) -> Self {
        let query = parts.uri.query().map(QueryPairs::parse).unwrap_or_default();
        let caller = Caller::of(&parts.headers, &query, defaults);
        Self {
            method: parts.method,
            path: parts.uri.path().to_owned(),
            query,
            headers: parts.headers,
            caller,
            request_id: RequestId::random(),
        }
    }

    /// A header's value, when it is there and is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The host and port that the client used to reach us, for addresses that we hand out.
    pub fn host(&self) -> &str {
        self.header("host").unwrap_or("localhost")
    }
}

/// A whole request.
#[derive(Debug, Clone)]
pub struct AwsRequest {
    /// Everything but the body.
    pub head: RequestHead,
    /// The body, at most as long as the service allowed.
    pub body: Bytes,
}
