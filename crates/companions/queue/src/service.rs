//! The SQS API on the wire.

use std::sync::Arc;

use lambd_http::protocol::json;
use lambd_http::protocol::query::{self, Params};
use lambd_http::{AwsRequest, AwsResponse, AwsService, Refusal, RequestHead, ServiceFuture};
use lambd_store::queues::QueueId;
use lambd_types::{Scope, UnixMillis};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::actions::Operation;
use crate::error::{Kind, SqsError};
use crate::queues::Shared;
use crate::registry::Queue;
use crate::wire::Protocol;
use crate::{form, names, policy};

const TARGET: &str = "AmazonSQS";
const VERSION: &str = "2012-11-05";

/// Longest request: 1 MiB of messages, which the escapes of either protocol make longer.
const BODY_LIMIT: usize = 8 * 1024 * 1024;

/// The SQS endpoint.
pub struct QueueService {
    shared: Arc<Shared>,
}

impl QueueService {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    async fn answer(&self, request: &AwsRequest) -> AwsResponse {
        let head = &request.head;
        let protocol = protocol_of(head);
        let id = head.request_id.as_str();
        let params = if protocol == Protocol::Query { Params::of(request) } else { Params::default() };
        let name = match protocol {
            Protocol::Json => json::operation(head, TARGET).unwrap_or_default(),
            Protocol::Query => params.action(),
        };
        let Some(operation) = Operation::parse(name) else {
            return protocol.error(&unknown(name), id);
        };
        let cx = Context { shared: &self.shared, head, action: name };
        let input = match protocol {
            Protocol::Json => Ok(Input::Json(&request.body)),
            Protocol::Query => form::to_json(&params).map(Input::Form),
        };
        let run = async { operation.run(&cx, input?, protocol).await };
        run.await.unwrap_or_else(|error| protocol.error(&error, id))
    }
}

fn unknown(name: &str) -> SqsError {
    let message = if name.is_empty() {
        "the request names no operation".to_owned()
    } else {
        format!("The action {name} is not valid for this endpoint.")
    };
    SqsError::new(Kind::INVALID_ACTION, message)
}

fn protocol_of(head: &RequestHead) -> Protocol {
    if json::operation(head, TARGET).is_some() { Protocol::Json } else { Protocol::Query }
}

impl AwsService for QueueService {
    fn signing_name(&self) -> &'static str {
        "sqs"
    }

    fn recognises(&self, head: &RequestHead) -> bool {
        let is_queue = names::parse_url(&head.path).is_ok() && head.query.get("Action").is_some();
        json::operation(head, TARGET).is_some() || query::looks_like(head, VERSION) || is_queue
    }

    fn body_limit(&self, _head: &RequestHead) -> usize {
        BODY_LIMIT
    }

    fn refuse(&self, head: &RequestHead, why: Refusal) -> AwsResponse {
        let error = match why {
            Refusal::BodyTooLarge { limit } => SqsError::invalid(format!(
                "One or more parameters are invalid. Reason: the request is longer than {limit} bytes."
            )),
            Refusal::NotSigned => {
                SqsError::new(Kind::MISSING_TOKEN, "Request is missing Authentication Token")
            }
        };
        protocol_of(head).error(&error, head.request_id.as_str())
    }

    fn call(self: Arc<Self>, request: AwsRequest) -> ServiceFuture {
        Box::pin(async move { self.answer(&request).await })
    }
}

/// The input of a request, in either protocol.
pub(crate) enum Input<'a> {
    Json(&'a [u8]),
    Form(Value),
}

impl Input<'_> {
    pub(crate) fn read<T: DeserializeOwned>(self) -> Result<T, SqsError> {
        match self {
            Self::Json(body) => {
                json::decode(body).map_err(|error| SqsError::new(Kind::MALFORMED, error.message))
            }
            Self::Form(value) => serde_json::from_value(value)
                .map_err(|error| SqsError::new(Kind::MALFORMED, error.to_string())),
        }
    }
}

/// What actions work with.
pub(crate) struct Context<'a> {
    pub(crate) shared: &'a Shared,
    pub(crate) head: &'a RequestHead,
    /// Name of the operation.
    pub(crate) action: &'a str,
}

impl Context<'_> {
    pub(crate) fn now(&self) -> UnixMillis {
        self.shared.clock.now()
    }

    pub(crate) fn scope(&self) -> &Scope {
        &self.head.caller.scope
    }

    /// The URL of a queue for this client.
    pub(crate) fn url(&self, queue: &Queue) -> String {
        names::url(self.head.host(), &queue.row.scope, &queue.row.name)
    }

    /// The queue that the request is for: by its URL, or by the path that it was sent to.
    pub(crate) fn queue(&self, url: Option<&str>) -> Result<Arc<Queue>, SqsError> {
        let url = match url {
            Some(url) => url,
            None if self.head.path == "/" => return Err(SqsError::missing("QueueUrl")),
            None => &self.head.path,
        };
        let (account, name) = names::parse_url(url)?;
        let scope = Scope { account, region: self.scope().region.clone() };
        let queue = self.shared.registry.find(&scope, name).ok_or_else(SqsError::no_queue)?;
        self.authorise(&queue)?;
        Ok(queue)
    }

    /// The queue, as it is after the store said that the content `gone` is not there any more: it was deleted or emptied.
    pub(crate) async fn queue_after(
        &self,
        url: Option<&str>,
        gone: &mut Option<QueueId>,
    ) -> Result<Arc<Queue>, SqsError> {
        loop {
            let queue = self.queue(url)?;
            if *gone != Some(queue.id()) {
                return Ok(queue);
            }
            // The store knows it before the registry does: whoever changes the queue is not done.
            drop(self.shared.registry.changing.lock().await);
            *gone = None;
        }
    }

    /// Another account needs the queue's permission.
    pub(crate) fn authorise(&self, queue: &Queue) -> Result<(), SqsError> {
        let caller = &self.scope().account;
        let policy = queue.row.attributes.get("Policy").map(String::as_str);
        // The entries of a batch are what is allowed, not the batch.
        let action = self.action.strip_suffix("Batch").unwrap_or(self.action);
        let allowed = *caller == queue.row.scope.account
            || !is_owners(action) && policy::allows(policy, caller, action);
        if allowed {
            return Ok(());
        }
        let action = action.to_lowercase();
        Err(SqsError::new(
            Kind::ACCESS_DENIED,
            format!(
                "User: arn:aws:iam::{caller}:root is not authorized to perform: sqs:{action} on resource: {} \
                 because no resource-based policy allows the sqs:{action} action",
                queue.arn
            ),
        ))
    }
}

/// Whether an operation is for a queue's own account alone, whatever its policy says.
fn is_owners(action: &str) -> bool {
    matches!(
        action,
        "AddPermission"
            | "CancelMessageMoveTask"
            | "CreateQueue"
            | "DeleteQueue"
            | "ListMessageMoveTasks"
            | "ListQueues"
            | "ListQueueTags"
            | "RemovePermission"
            | "SetQueueAttributes"
            | "StartMessageMoveTask"
            | "TagQueue"
            | "UntagQueue"
    )
}
