//! The Application Auto Scaling API on the wire.

use std::sync::Arc;

use lambd_http::protocol::json::{self, JsonError, JsonVersion};
use lambd_http::{AwsRequest, AwsResponse, AwsService, Refusal, RequestHead, ServiceFuture};
use lambd_store::Store;
use lambd_types::{Scope, UnixMillis};
use serde::Serialize;

use crate::actions::{self as act, Operation};
use crate::error::ScalingError;
use crate::scaler::Scaler;

const TARGET: &str = "AnyScaleFrontendService";
const PROTOCOL: JsonVersion = JsonVersion::V1_1;
const BODY_LIMIT: usize = 256 * 1024;

/// The Application Auto Scaling endpoint.
pub struct ScalingService {
    scaler: Arc<Scaler>,
}

impl ScalingService {
    pub(crate) fn new(scaler: Arc<Scaler>) -> Self {
        Self { scaler }
    }

    async fn answer(&self, request: &AwsRequest) -> Result<AwsResponse, JsonError> {
        let name = json::operation(&request.head, TARGET).unwrap_or_default();
        let unknown = || JsonError::unknown_operation("application-autoscaling", name);
        let operation = Operation::parse(name).ok_or_else(unknown)?;
        let cx = Context { scaler: &self.scaler, scope: &request.head.caller.scope };
        let body = &request.body;
        match operation {
            Operation::DeleteScalingPolicy => {
                some(&act::delete_rule::policy(&cx, json::decode(body)?).await?)
            }
            Operation::DeleteScheduledAction => {
                some(&act::delete_rule::action(&cx, json::decode(body)?).await?)
            }
            Operation::DeregisterScalableTarget => {
                some(&act::deregister_scalable_target::run(&cx, json::decode(body)?).await?)
            }
            Operation::DescribeScalableTargets => {
                some(&act::describe_scalable_targets::run(&cx, json::decode(body)?).await?)
            }
            Operation::DescribeScalingActivities => {
                some(&act::describe_scaling_activities::run(&cx, json::decode(body)?).await?)
            }
            Operation::DescribeScalingPolicies => {
                some(&act::describe_scaling_policies::run(&cx, json::decode(body)?).await?)
            }
            Operation::DescribeScheduledActions => {
                some(&act::describe_scheduled_actions::run(&cx, json::decode(body)?).await?)
            }
            Operation::ListTagsForResource => some(&act::tagging::list(&cx, json::decode(body)?).await?),
            Operation::PutScalingPolicy => {
                some(&act::put_scaling_policy::run(&cx, json::decode(body)?).await?)
            }
            Operation::PutScheduledAction => {
                some(&act::put_scheduled_action::run(&cx, json::decode(body)?).await?)
            }
            Operation::RegisterScalableTarget => {
                some(&act::register_scalable_target::run(&cx, json::decode(body)?).await?)
            }
            Operation::TagResource => some(&act::tagging::tag(&cx, json::decode(body)?).await?),
            Operation::UntagResource => some(&act::tagging::untag(&cx, json::decode(body)?).await?),
        }
    }
}

fn some(output: &impl Serialize) -> Result<AwsResponse, JsonError> {
    Ok(PROTOCOL.reply(output))
}

/// The output of an operation that has none: an empty object.
#[derive(Debug, Serialize)]
pub(crate) struct Nothing {}

impl AwsService for ScalingService {
    fn signing_name(&self) -> &'static str {
        "application-autoscaling"
    }

    fn recognises(&self, head: &RequestHead) -> bool {
        json::operation(head, TARGET).is_some()
    }

    fn body_limit(&self, _head: &RequestHead) -> usize {
        BODY_LIMIT
    }

    fn refuse(&self, _head: &RequestHead, why: Refusal) -> AwsResponse {
        PROTOCOL.error(&JsonError::refused(why))
    }

    fn call(self: Arc<Self>, request: AwsRequest) -> ServiceFuture {
        // A change runs to its end even if its caller hangs up: a capacity without its activity would be half of it.
        let answer = tokio::spawn(async move {
            self.answer(&request).await.unwrap_or_else(|error| PROTOCOL.error(&error))
        });
        Box::pin(async move { answer.await.unwrap_or_else(|_| PROTOCOL.error(&JsonError::internal())) })
    }
}

/// What actions work with.
pub(crate) struct Context<'a> {
    pub(crate) scaler: &'a Scaler,
    pub(crate) scope: &'a Scope,
}

impl Context<'_> {
    pub(crate) fn store(&self) -> &Store {
        &self.scaler.store
    }

    pub(crate) fn now(&self) -> UnixMillis {
        self.scaler.now()
    }

    /// The target of a resource, which must be registered.
    pub(crate) async fn registered(
        &self,
        resource: &str,
    ) -> Result<lambd_store::scaling::TargetRow, ScalingError> {
        let target = self.store().scaling_target(self.scope, resource).await?;
        target.ok_or_else(|| ScalingError::not_registered(resource))
    }
}
