//! The SNS API on the wire.

use std::sync::Arc;

use http::{Method, StatusCode};
use lambd_http::protocol::query::{self, Params, QueryError, QueryService, Xml};
use lambd_http::{AwsRequest, AwsResponse, AwsService, Refusal, RequestHead, ServiceFuture, text};
use lambd_store::Store;
use lambd_types::{AccountId, Clock, Scope};

use crate::actions::Operation;
use crate::book::Book;
use crate::delivery::{CERTIFICATES, Lanes};
use crate::error::SnsError;
use crate::names::TopicArn;
use crate::signing::Signer;

const VERSION: &str = "2010-03-31";
const PROTOCOL: QueryService = QueryService { namespace: "http://sns.amazonaws.com/doc/2010-03-31/" };
/// A batch of messages, encoded as a form.
const BODY_LIMIT: usize = 2 * 1024 * 1024;

/// The SNS endpoint.
pub struct TopicService {
    pub(crate) store: Arc<Store>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) book: Arc<Book>,
    pub(crate) lanes: Arc<Lanes>,
    pub(crate) signer: Arc<Signer>,
    /// One change of a topic or its subscriptions at a time: each reads what it changes.
    pub(crate) changes: tokio::sync::Mutex<()>,
}

impl TopicService {
    async fn answer(&self, request: &AwsRequest) -> Result<AwsResponse, QueryError> {
        let params = Params::of(request);
        let action = params.action();
        let operation = Operation::parse(action).ok_or_else(|| QueryError::unknown_action("sns", &params))?;
        let cx = Context { service: self, head: &request.head, params: &params };
        let id = request.head.request_id.as_str();
        Ok(match operation.run(&cx).await? {
            Reply::Empty => PROTOCOL.reply_empty(action, id),
            Reply::Result(result) => PROTOCOL.reply(action, id, |xml| {
                xml.append(&result);
            }),
        })
    }

    async fn certificate(&self, name: &str) -> AwsResponse {
        match self.signer.certificate().await {
            Ok(certificate) if certificate.name == name => {
                text(StatusCode::OK, "application/x-pem-file", certificate.pem)
            }
            Ok(_) => text(StatusCode::NOT_FOUND, "text/plain", "no message was signed with that".to_owned()),
            Err(error) => {
                tracing::error!(error = &error as &dyn std::error::Error, "there is no certificate for SNS");
                text(StatusCode::INTERNAL_SERVER_ERROR, "text/plain", error.to_string())
            }
        }
    }
}

impl AwsService for TopicService {
    fn signing_name(&self) -> &'static str {
        "sns"
    }

    fn recognises(&self, head: &RequestHead) -> bool {
        head.path.starts_with(CERTIFICATES) || query::looks_like(head, VERSION)
    }

    /// Certificates, and the links in messages: whoever follows them has no credential.
    fn is_public(&self, head: &RequestHead) -> bool {
        let linked = ["ConfirmSubscription", "Unsubscribe"];
        head.path.starts_with(CERTIFICATES)
            || (!head.caller.is_signed()
                && head.query.get("Action").is_some_and(|action| linked.contains(&action)))
    }

    fn body_limit(&self, _head: &RequestHead) -> usize {
        BODY_LIMIT
    }

    fn refuse(&self, head: &RequestHead, why: Refusal) -> AwsResponse {
        PROTOCOL.error(&QueryError::refused(why), head.request_id.as_str())
    }

    fn call(self: Arc<Self>, request: AwsRequest) -> ServiceFuture {
        Box::pin(async move {
            if let Some(name) = request.head.path.strip_prefix(CERTIFICATES) {
                return match request.head.method {
                    Method::GET | Method::HEAD => self.certificate(name).await,
                    _ => text(StatusCode::METHOD_NOT_ALLOWED, "text/plain", "use GET".to_owned()),
                };
            }
            let answer = self.answer(&request).await;
            answer.unwrap_or_else(|error| PROTOCOL.error(&error, request.head.request_id.as_str()))
        })
    }
}

/// What actions work with.
pub(crate) struct Context<'a> {
    pub(crate) service: &'a TopicService,
    pub(crate) head: &'a RequestHead,
    pub(crate) params: &'a Params,
}

impl Context<'_> {
    pub(crate) fn scope(&self) -> &Scope {
        &self.head.caller.scope
    }

    pub(crate) fn account(&self) -> &AccountId {
        &self.head.caller.scope.account
    }

    /// A required member.
    pub(crate) fn required(&self, name: &'static str) -> Result<&str, SnsError> {
        self.params
            .get(name)
            .filter(|value| !value.is_empty())
            .ok_or_else(|| SnsError::reason(name, "no value for required parameter"))
    }

    /// The ARN of a topic, in the region that is asked.
    pub(crate) fn topic_arn(&self, name: &'static str) -> Result<TopicArn, SnsError> {
        self.arn_in(name, self.required(name)?)
    }

    /// The same of a value that was read already.
    pub(crate) fn arn_in(&self, name: &'static str, value: &str) -> Result<TopicArn, SnsError> {
        let elements = value.split(':').count();
        if elements < 6 {
            let reason = format!("An ARN must have at least 6 elements, not {elements}");
            return Err(SnsError::reason(name, reason));
        }
        let arn = TopicArn::parse(value).ok_or_else(|| SnsError::parameter(name))?;
        // Links have no region but their ARN's.
        if self.head.caller.is_signed() && arn.scope.region != self.scope().region {
            return Err(SnsError::parameter(name));
        }
        Ok(arn)
    }
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
