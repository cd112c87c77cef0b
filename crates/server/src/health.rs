//! `GET /_lambd/health`: whether the daemon answers.

use std::sync::Arc;

use http::StatusCode;
use lambd_http::{AwsRequest, AwsResponse, AwsService, Refusal, RequestHead, ServiceFuture, json};

const PATH: &str = "/_lambd/health";

/// The health endpoint. It needs no credential.
pub(crate) struct HealthService;

impl AwsService for HealthService {
    fn signing_name(&self) -> &'static str {
        "lambd-health"
    }

    fn recognises(&self, head: &RequestHead) -> bool {
        head.path == PATH
    }

    fn is_public(&self, _head: &RequestHead) -> bool {
        true
    }

    fn body_limit(&self, _head: &RequestHead) -> usize {
        0
    }

    fn refuse(&self, _head: &RequestHead, _why: Refusal) -> AwsResponse {
        json(StatusCode::BAD_REQUEST, &serde_json::json!({ "message": "a health check takes no body" }))
    }

    fn call(self: Arc<Self>, _request: AwsRequest) -> ServiceFuture {
        Box::pin(async {
            json(StatusCode::OK, &serde_json::json!({ "status": "ok", "version": env!("CARGO_PKG_VERSION") }))
        })
    }
}
