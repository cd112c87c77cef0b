//! What the daemon tells of its instances: `GET /_lambd/instances`, how many there are, what became of others, of
//! events that found none and of interpreters that were started ahead, and the metrics of concurrency of the caller's account and region.

use std::sync::{Arc, OnceLock};

use http::StatusCode;
use lambd_http::{AwsRequest, AwsResponse, AwsService, Refusal, RequestHead, ServiceFuture};
use lambd_invoke::Invoker;
use lambd_invoke::metrics::Metrics;
use lambd_sandbox::{AheadNow, Spawner};
use lambd_types::Scope;
use serde_json::{Map, Value, json};

const PATH: &str = "/_lambd/instances";

/// The endpoint. It needs no credential, and functions may not use it.
#[derive(Default)]
pub(crate) struct InstancesService {
    /// Once there are both.
    pub(crate) sources: OnceLock<(Invoker, Spawner)>,
}

fn document(metrics: &impl Metrics, ahead: AheadNow, scope: &Scope) -> Value {
    let now = metrics.instances();
    let concurrency = metrics.concurrency(scope);
    let mut provisioned = metrics.all_provisioned();
    provisioned.retain(|(key, _)| key.scope == *scope);
    provisioned.sort_by(|(a, _), (b, _)| (a.name.as_str(), a.version).cmp(&(b.name.as_str(), b.version)));
    let provisioned = provisioned.iter().map(|(key, metrics)| {
        json!({
            "FunctionName": key.name.as_str(),
            "Version": key.version.to_string(),
            "ProvisionedConcurrentExecutions": metrics.concurrent_executions,
            "ProvisionedConcurrencyInvocations": metrics.invocations,
            "ProvisionedConcurrencySpilloverInvocations": metrics.spillover_invocations,
            "ProvisionedConcurrencyUtilization": metrics.utilization(),
        })
    });
    let counters: Map<String, Value> =
        metrics.counters().named().map(|(name, value)| (name.to_owned(), value.into())).collect();
    // No bound is no number.
    let most = (now.most < usize::MAX).then_some(now.most);
    json!({
        "instances": {
            "total": now.total,
            "idle": now.idle,
            "most": most,
            "waiting": now.waiting,
            "memory_is_short": now.memory_is_short,
        },
        "started_ahead": { "waiting": ahead.waiting, "used": ahead.used, "restored": ahead.restored, "missed": ahead.missed },
        "counters": counters,
        "metrics": {
            "ConcurrentExecutions": concurrency.concurrent_executions,
            "UnreservedConcurrentExecutions": concurrency.unreserved_concurrent_executions,
            "provisioned": provisioned.collect::<Vec<_>>(),
        },
    })
}

impl AwsService for InstancesService {
    fn signing_name(&self) -> &'static str {
        "lambd-instances"
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
        lambd_http::json(StatusCode::BAD_REQUEST, &json!({ "message": "this takes no body" }))
    }

    fn call(self: Arc<Self>, request: AwsRequest) -> ServiceFuture {
        Box::pin(async move {
            let caller = &request.head.caller;
            if caller.confined {
                let message = "functions cannot use this endpoint";
                let refusal = json!({ "__type": "AccessDeniedException", "message": message });
                return lambd_http::json(StatusCode::FORBIDDEN, &refusal);
            }
            match self.sources.get() {
                Some((invoker, spawner)) => {
                    let document = document(invoker, spawner.started_ahead(), &caller.scope);
                    lambd_http::json(StatusCode::OK, &document)
                }
                None => lambd_http::json(StatusCode::SERVICE_UNAVAILABLE, &json!({ "message": "not yet" })),
            }
        })
    }
}
