//! The CloudWatch Logs API on the wire.

use std::sync::Arc;

use lambd_http::protocol::json::{self, JsonError, JsonVersion};
use lambd_http::protocol::validation::Checks;
use lambd_http::{AwsRequest, AwsResponse, AwsService, Refusal, RequestHead, ServiceFuture};
use lambd_store::Store;
use lambd_store::logs::GroupRow;
use lambd_types::{Clock, Scope};
use serde::Serialize;

use crate::actions::{self as act, Operation};
use crate::error::LogsError;
use crate::sweep::Sweep;
use crate::writer::LogWriter;

const TARGET: &str = "Logs_20140328";
const PROTOCOL: JsonVersion = JsonVersion::V1_1;

/// Longest request: `PutLogEvents` with 1 MiB of events, which escapes and field names make longer.
const BODY_LIMIT: usize = 4 * 1024 * 1024;

/// The CloudWatch Logs endpoint.
pub struct LogsService {
    store: Arc<Store>,
    clock: Arc<dyn Clock>,
    writer: LogWriter,
    sweep: Sweep,
}

impl LogsService {
    pub(crate) fn new(store: Arc<Store>, clock: Arc<dyn Clock>, writer: LogWriter, sweep: Sweep) -> Self {
        Self { store, clock, writer, sweep }
    }

    async fn answer(&self, request: &AwsRequest) -> Result<AwsResponse, JsonError> {
        let name = json::operation(&request.head, TARGET).unwrap_or_default();
        let operation = Operation::parse(name).ok_or_else(|| JsonError::unknown_operation("logs", name))?;
        let scope = &request.head.caller.scope;
        let cx = Context {
            store: &self.store,
            clock: &*self.clock,
            writer: &self.writer,
            sweep: &self.sweep,
            scope,
        };
        let body = &request.body;
        match operation {
            Operation::CreateLogGroup => none(act::create_log_group::run(&cx, json::decode(body)?).await?),
            Operation::CreateLogStream => none(act::create_log_stream::run(&cx, json::decode(body)?).await?),
            Operation::DeleteLogGroup => none(act::delete_log_group::run(&cx, json::decode(body)?).await?),
            Operation::DeleteLogStream => none(act::delete_log_stream::run(&cx, json::decode(body)?).await?),
            Operation::DeleteRetentionPolicy => {
                none(act::delete_retention_policy::run(&cx, json::decode(body)?).await?)
            }
            Operation::DescribeLogGroups => {
                some(&act::describe_log_groups::run(&cx, json::decode(body)?).await?)
            }
            Operation::DescribeLogStreams => {
                some(&act::describe_log_streams::run(&cx, json::decode(body)?).await?)
            }
            Operation::FilterLogEvents => some(&act::filter_log_events::run(&cx, json::decode(body)?).await?),
            Operation::GetLogEvents => some(&act::get_log_events::run(&cx, json::decode(body)?).await?),
            Operation::ListTagsForResource => {
                some(&act::list_tags_for_resource::run(&cx, json::decode(body)?).await?)
            }
            Operation::PutLogEvents => some(&act::put_log_events::run(&cx, json::decode(body)?).await?),
            Operation::PutRetentionPolicy => {
                none(act::put_retention_policy::run(&cx, json::decode(body)?).await?)
            }
            Operation::TagResource => none(act::tag_resource::run(&cx, json::decode(body)?).await?),
            Operation::UntagResource => none(act::untag_resource::run(&cx, json::decode(body)?).await?),
        }
    }
}

fn some(output: &impl Serialize) -> Result<AwsResponse, JsonError> {
    Ok(PROTOCOL.reply(output))
}

fn none((): ()) -> Result<AwsResponse, JsonError> {
    Ok(PROTOCOL.reply_empty())
}

impl AwsService for LogsService {
    fn signing_name(&self) -> &'static str {
        "logs"
    }

    fn recognises(&self, head: &RequestHead) -> bool {
        json::operation(head, TARGET).is_some()
    }

    fn body_limit(&self, _head: &RequestHead) -> usize {
        BODY_LIMIT
    }

    fn refuse(&self, _head: &RequestHead, why: Refusal) -> AwsResponse {
        let error = match why {
            Refusal::BodyTooLarge { limit } => JsonError::sender(
                "InvalidParameterException",
                format!("Upload too large: more than {limit} bytes"),
            ),
            why => JsonError::refused(why),
        };
        PROTOCOL.error(&error)
    }

    fn call(self: Arc<Self>, request: AwsRequest) -> ServiceFuture {
        Box::pin(async move { self.answer(&request).await.unwrap_or_else(|error| PROTOCOL.error(&error)) })
    }
}

/// What actions work with.
pub(crate) struct Context<'a> {
    pub(crate) store: &'a Store,
    pub(crate) clock: &'a dyn Clock,
    pub(crate) writer: &'a LogWriter,
    pub(crate) sweep: &'a Sweep,
    pub(crate) scope: &'a Scope,
}

impl Context<'_> {
    /// The group of that name, which must exist.
    pub(crate) async fn group(&self, name: &str) -> Result<GroupRow, LogsError> {
        self.store.logs().group(self.scope, name).await?.ok_or(LogsError::GroupNotFound)
    }
}

/// Turns violations into the error of the API.
pub(crate) fn finish(checks: Checks) -> Result<(), LogsError> {
    checks.finish().map_err(LogsError::InvalidParameter)
}
