//! STS: who a caller is.

use std::sync::Arc;

use lambd_http::protocol::query::{self, Params, QueryError, QueryService};
use lambd_http::{AwsRequest, AwsResponse, AwsService, Refusal, RequestHead, ServiceFuture};
use lambd_types::Partition;

const VERSION: &str = "2011-06-15";
const PROTOCOL: QueryService = QueryService { namespace: "https://sts.amazonaws.com/doc/2011-06-15/" };
const BODY_LIMIT: usize = 64 * 1024;

/// The STS endpoint.
#[derive(Debug, Default)]
pub struct StsService;

impl StsService {
    /// The service; it keeps nothing.
    pub fn new() -> Self {
        Self
    }

    fn answer(request: &AwsRequest) -> AwsResponse {
        let params = Params::of(request);
        let id = request.head.request_id.as_str();
        match params.action() {
            action @ "GetCallerIdentity" => {
                let scope = &request.head.caller.scope;
                let partition = Partition::of(scope.region.as_str()).as_str();
                PROTOCOL.reply(action, id, |xml| {
                    xml.text("Arn", format_args!("arn:{partition}:iam::{}:root", scope.account));
                    xml.text("UserId", &scope.account).text("Account", &scope.account);
                })
            }
            _ => PROTOCOL.error(&QueryError::unknown_action("sts", &params), id),
        }
    }
}

impl AwsService for StsService {
    fn signing_name(&self) -> &'static str {
        "sts"
    }

    fn recognises(&self, head: &RequestHead) -> bool {
        query::looks_like(head, VERSION)
    }

    fn body_limit(&self, _head: &RequestHead) -> usize {
        BODY_LIMIT
    }

    fn refuse(&self, head: &RequestHead, why: Refusal) -> AwsResponse {
        PROTOCOL.error(&QueryError::refused(why), head.request_id.as_str())
    }

    fn call(self: Arc<Self>, request: AwsRequest) -> ServiceFuture {
        Box::pin(std::future::ready(Self::answer(&request)))
    }
}
