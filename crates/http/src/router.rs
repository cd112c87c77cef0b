//! Finding the service that a request is for.

use std::pin::Pin;
use std::sync::Arc;

use http::StatusCode;

use crate::{AwsRequest, AwsResponse, RequestBody, RequestHead, json};

/// The future of a service's answer.
pub type ServiceFuture = Pin<Box<dyn Future<Output = AwsResponse> + Send>>;

/// Why a request never reached its service's action.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// The body is longer than [`AwsService::body_limit`].
    BodyTooLarge {
        /// That limit, in bytes.
        limit: usize,
    },
    /// The request carries no credential (API-001).
    NotSigned,
}

/// One AWS endpoint.
pub trait AwsService: Send + Sync + 'static {
    /// The name in the credential scope of its requests, such as `lambda`.
    fn signing_name(&self) -> &'static str;

    /// Whether a request that names no service (an unsigned one, or a link handed out by the service)
    /// is for this one, judged by path and headers.
    fn recognises(&self, head: &RequestHead) -> bool;

    /// Whether `head`, if it is for this service, may be served without a credential.
    fn is_public(&self, _head: &RequestHead) -> bool {
        false
    }

    /// Longest body accepted for this request, in bytes.
    fn body_limit(&self, head: &RequestHead) -> usize;

    /// The error, in the service's own protocol, for a request that is refused before it is read.
    fn refuse(&self, head: &RequestHead, why: Refusal) -> AwsResponse;

    /// Answers a request.
    fn call(self: Arc<Self>, request: AwsRequest) -> ServiceFuture;

    /// Whether this request is one for [`Self::call_with_body`], because its body need not be held in memory.
    fn reads_body(&self, _head: &RequestHead) -> bool {
        false
    }

    /// Answers a request whose body is still to be read. What the service leaves of it must be
    /// [discarded](RequestBody::discard), or the client may never read the answer.
    fn call_with_body(self: Arc<Self>, head: RequestHead, body: RequestBody) -> ServiceFuture {
        Box::pin(async move {
            let limit = body.limit();
            body.discard().await;
            self.refuse(&head, Refusal::BodyTooLarge { limit })
        })
    }
}

/// All services behind the listener.
#[derive(Clone, Default)]
pub struct Router {
    services: Arc<[Arc<dyn AwsService>]>,
}

impl Router {
    /// A router over these services; the first that recognises a request wins.
    pub fn new(services: Vec<Arc<dyn AwsService>>) -> Self {
        Self { services: services.into() }
    }

    /// The service for `head`: a public place by its path, whatever credential came along, then by
    /// credential scope, then by what the request looks like.
    pub(crate) fn find(&self, head: &RequestHead) -> Option<&Arc<dyn AwsService>> {
        let public = self.services.iter().find(|s| s.is_public(head) && s.recognises(head));
        let by_scope = || self.services.iter().find(|s| s.signing_name() == head.caller.service);
        public.or_else(by_scope).or_else(|| self.services.iter().find(|s| s.recognises(head)))
    }
}

/// The answer to a request for a service that is not there.
pub(crate) fn unknown_service(head: &RequestHead) -> AwsResponse {
    #[derive(serde::Serialize)]
    struct Unknown {
        #[serde(rename = "__type")]
        code: &'static str,
        message: String,
    }
    let service = &head.caller.service;
    let message = if service.is_empty() {
        format!("no service of lambd answers {} {}", head.method, head.path)
    } else {
        format!("lambd does not offer the service {service:?}; see docs/compatibility.md for what it offers")
    };
    let mut response = json(StatusCode::NOT_IMPLEMENTED, &Unknown { code: "ServiceNotOffered", message });
    response.headers_mut().insert("x-amzn-errortype", http::HeaderValue::from_static("ServiceNotOffered"));
    response
}
