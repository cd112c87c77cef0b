//! What the daemon tells of itself: `GET /_lambd/health`, whether it answers; `GET /_lambd/runtimes`, which runtimes run
//! in which version.

use std::sync::Arc;

use http::StatusCode;
use lambd_http::{AwsRequest, AwsResponse, AwsService, Refusal, RequestHead, ServiceFuture, json};
use lambd_runtime::LiveCatalogue;
use tokio::sync::SetOnce;

use crate::runtimes;

const HEALTH: &str = "/_lambd/health";
const RUNTIMES: &str = "/_lambd/runtimes";

/// Both endpoints. They need no credential.
pub(crate) struct HealthService {
    /// Set when the interpreters of the machine are known.
    pub(crate) catalogue: Arc<SetOnce<Arc<LiveCatalogue>>>,
}

impl AwsService for HealthService {
    fn signing_name(&self) -> &'static str {
        "lambd-health"
    }

    fn recognises(&self, head: &RequestHead) -> bool {
        head.path == HEALTH || head.path == RUNTIMES
    }

    fn is_public(&self, _head: &RequestHead) -> bool {
        true
    }

    fn body_limit(&self, _head: &RequestHead) -> usize {
        0
    }

    fn refuse(&self, _head: &RequestHead, _why: Refusal) -> AwsResponse {
        json(StatusCode::BAD_REQUEST, &serde_json::json!({ "message": "this takes no body" }))
    }

    fn call(self: Arc<Self>, request: AwsRequest) -> ServiceFuture {
        Box::pin(async move {
            if request.head.path == RUNTIMES {
                return json(StatusCode::OK, &runtimes::in_use(&self.catalogue.wait().await.current()));
            }
            json(StatusCode::OK, &serde_json::json!({ "status": "ok", "version": env!("CARGO_PKG_VERSION") }))
        })
    }
}
