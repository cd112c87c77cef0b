//! The IAM API on the wire.

use std::sync::Arc;

use lambd_http::protocol::query::{self, Params, QueryError, QueryService, Xml};
use lambd_http::{AwsRequest, AwsResponse, AwsService, Refusal, RequestHead, ServiceFuture};
use lambd_store::Store;
use lambd_store::identity::Identity;
use lambd_types::{AccountId, Clock};

use crate::actions::Operation;
use crate::input::Input;

const VERSION: &str = "2010-05-08";
const PROTOCOL: QueryService = QueryService { namespace: "https://iam.amazonaws.com/doc/2010-05-08/" };
const BODY_LIMIT: usize = 256 * 1024;

/// The IAM endpoint.
pub struct IamService {
    store: Arc<Store>,
    clock: Arc<dyn Clock>,
}

impl IamService {
    /// A service over the store.
    pub fn new(store: Arc<Store>, clock: Arc<dyn Clock>) -> Self {
        Self { store, clock }
    }

    async fn answer(&self, request: &AwsRequest) -> Result<AwsResponse, QueryError> {
        let params = Params::of(request);
        let action = params.action();
        let operation = Operation::parse(action).ok_or_else(|| QueryError::unknown_action("iam", &params))?;
        let cx = Context {
            store: self.store.identity(),
            clock: &*self.clock,
            account: &request.head.caller.scope.account,
        };
        let id = request.head.request_id.as_str();
        Ok(match operation.run(&cx, Input::new(&params)).await? {
            Reply::Empty => PROTOCOL.reply_empty(action, id),
            Reply::Result(result) => PROTOCOL.reply(action, id, |xml| {
                xml.append(&result);
            }),
        })
    }
}

impl AwsService for IamService {
    fn signing_name(&self) -> &'static str {
        "iam"
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
        Box::pin(async move {
            let answer = self.answer(&request).await;
            answer.unwrap_or_else(|error| PROTOCOL.error(&error, request.head.request_id.as_str()))
        })
    }
}

/// What actions work with.
pub(crate) struct Context<'a> {
    pub(crate) store: Identity<'a>,
    pub(crate) clock: &'a dyn Clock,
    pub(crate) account: &'a AccountId,
}

/// What an action answers with.
pub(crate) enum Reply {
    /// The operation has no output.
    Empty,
    /// The members of the output.
    Result(Xml),
}

impl Reply {
    /// An output that `write` fills in.
    pub(crate) fn of(write: impl FnOnce(&mut Xml)) -> Self {
        let mut xml = Xml::default();
        write(&mut xml);
        Self::Result(xml)
    }
}
