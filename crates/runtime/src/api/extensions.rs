//! The HTTP side of the Extensions API (2020-01-01), the Telemetry API (2022-07-01) and the Logs API (2020-08-15).

use std::sync::Arc;

use bytes::Bytes;
use http::header::{HeaderName, HeaderValue};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use lambd_types::{Clock, FunctionSnapshot, random};
use serde::Deserialize;
use serde_json::{Value, json};

use super::server::{accepted, error, json as json_answer, not_found};
use crate::extensions::{Crew, Notice, Refused, State};
use crate::log::InstanceLog;
use crate::report::PlatformEvent;
use crate::telemetry::{Api, Connect, Subscription, Telemetry};

/// Largest request body, in bytes: all there is are short documents.
const BODY_MAX: usize = 64 * 1024;

const NAME: &str = "lambda-extension-name";
const IDENTIFIER: &str = "lambda-extension-identifier";
const EVENT_IDENTIFIER: &str = "lambda-extension-event-identifier";
const ACCEPT_FEATURE: &str = "lambda-extension-accept-feature";
const ERROR_TYPE: &str = "lambda-extension-function-error-type";

type Answer = Response<Full<Bytes>>;

/// What extensions of one environment can ask for.
pub(crate) struct ExtensionsApi {
    pub(crate) crew: Arc<Crew>,
    pub(crate) telemetry: Arc<Telemetry>,
    pub(crate) log: InstanceLog,
    pub(crate) function: Arc<FunctionSnapshot>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) connect: Connect,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Registration {
    #[serde(default)]
    events: Vec<String>,
    #[serde(default)]
    configuration_keys: Vec<String>,
}

impl ExtensionsApi {
    /// Answers a request to any of the three APIs; others are to nothing.
    pub(super) async fn answer(&self, request: Request<Incoming>) -> Answer {
        let (head, body) = request.into_parts();
        let path = head.uri.path().trim_end_matches('/').to_owned();
        let headers = &head.headers;
        let refused = match (&head.method, path.as_str()) {
            (&Method::GET, "/2020-01-01/extension/event/next") => self.next(headers).await,
            (&Method::POST, "/2020-01-01/extension/register") => self.register(headers, body).await,
            (&Method::POST, "/2020-01-01/extension/init/error") => {
                self.report(headers, State::InitError, body).await
            }
            (&Method::POST, "/2020-01-01/extension/exit/error") => {
                self.report(headers, State::ExitError, body).await
            }
            (&Method::PUT, "/2022-07-01/telemetry") => self.subscribe(Api::Telemetry, headers, body).await,
            (&Method::PUT, "/2020-08-15/logs") => self.subscribe(Api::Logs, headers, body).await,
            _ => Ok(not_found()),
        };
        refused.unwrap_or_else(|Refused { kind, message }| error(StatusCode::FORBIDDEN, kind, &message))
    }

    async fn register(&self, headers: &HeaderMap, body: Incoming) -> Result<Answer, Refused> {
        let body = match collect(body).await {
            Ok(body) => body,
            Err(answer) => return Ok(answer),
        };
        let name = text(headers, NAME).filter(|name| !name.is_empty());
        let name = name.ok_or(Refused::new("Extension.InvalidExtensionName", "Empty extension name"))?;
        let invalid = |message: String| Refused::new("InvalidRequestFormat", message);
        let asked: Registration =
            serde_json::from_slice(&body).map_err(|error| invalid(error.to_string()))?;
        if !asked.configuration_keys.is_empty() {
            let text = "configurationKeys are deprecated; use environment variables instead";
            return Err(invalid(text.to_owned()));
        }
        let id = self.crew.register(name, &asked.events)?;
        let key = &self.function.key;
        let mut document = json!({
            "functionName": key.name.as_str(),
            "functionVersion": key.version.to_string(),
            "handler": self.function.handler,
        });
        let mut features = text(headers, ACCEPT_FEATURE).unwrap_or_default().split(',');
        if features.any(|feature| feature.trim() == "accountId") {
            document["accountId"] = key.scope.account.as_str().into();
        }
        Ok(with_header(json_answer(StatusCode::OK, &document), IDENTIFIER, &id))
    }

    async fn next(&self, headers: &HeaderMap) -> Result<Answer, Refused> {
        let notice = self.crew.next(identifier(headers)?).await?;
        let answer = json_answer(StatusCode::OK, &document(&notice));
        Ok(with_header(answer, EVENT_IDENTIFIER, &random::uuid()))
    }

    async fn report(&self, headers: &HeaderMap, to: State, body: Incoming) -> Result<Answer, Refused> {
        let id = identifier(headers)?;
        // An error document is welcome, but the header is what counts.
        if let Err(answer) = collect(body).await {
            return Ok(answer);
        }
        let missing = || {
            let text = "Lambda-Extension-Function-Error-Type not found";
            Refused::new("Extension.MissingHeader", text)
        };
        let kind = text(headers, ERROR_TYPE).filter(|kind| !kind.is_empty()).ok_or_else(missing)?;
        self.crew.report(id, to, kind)?;
        Ok(accepted())
    }

    async fn subscribe(&self, api: Api, headers: &HeaderMap, body: Incoming) -> Result<Answer, Refused> {
        let id = identifier(headers)?;
        let body = match collect(body).await {
            Ok(body) => body,
            Err(answer) => return Ok(answer),
        };
        let name = self.crew.name_of(id)?;
        let (closed, text) = match api {
            Api::Telemetry => {
                ("Telemetry.SubscriptionClosed", "Telemetry API subscription is closed already")
            }
            Api::Logs => ("Logs.SubscriptionClosed", "Logs API subscription is closed already"),
        };
        if !self.telemetry.is_open() {
            return Err(Refused::new(closed, text));
        }
        let subscription = match Subscription::parse(api, &body) {
            Ok(subscription) => subscription,
            Err(text) => return Ok(error(StatusCode::BAD_REQUEST, "ValidationError", &text)),
        };
        let types = subscription.types.clone();
        if self.telemetry.subscribe(&name, subscription, self.connect.clone()).is_err() {
            let text = "the extension is subscribed by the other one of Telemetry API and Logs API";
            return Ok(error(StatusCode::BAD_REQUEST, "ValidationError", text));
        }
        let (at, event) = (self.clock.now(), PlatformEvent::Subscribed { api, name: &name, types: &types });
        self.telemetry.event(at, &event, None);
        self.log.platform(event.line(self.function.log_format, at).into_iter().collect());
        Ok(json_answer(StatusCode::OK, &"OK"))
    }
}

/// What `event/next` answers.
fn document(notice: &Notice) -> Value {
    match notice {
        Notice::Invoke(invoked) => {
            let mut document = json!({
                "eventType": "INVOKE",
                "deadlineMs": invoked.deadline,
                "requestId": invoked.request_id,
                "invokedFunctionArn": invoked.function_arn,
            });
            if !invoked.trace_id.is_empty() {
                document["tracing"] = json!({ "type": "X-Amzn-Trace-Id", "value": invoked.trace_id });
            }
            document
        }
        Notice::Shutdown { reason, deadline } => json!({
            "eventType": "SHUTDOWN",
            "deadlineMs": deadline,
            "shutdownReason": reason.as_str(),
        }),
    }
}

/// Who asks.
fn identifier(headers: &HeaderMap) -> Result<&str, Refused> {
    let id = text(headers, IDENTIFIER).filter(|id| !id.is_empty());
    let id = id.ok_or_else(|| {
        let text = "Missing Lambda-Extension-Identifier header";
        Refused::new("Extension.MissingExtensionIdentifier", text)
    })?;
    let is_uuid = id.len() == 36
        && id.bytes().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        });
    if is_uuid {
        Ok(id)
    } else {
        Err(Refused::new("Extension.InvalidExtensionIdentifier", "Invalid Lambda-Extension-Identifier"))
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

fn with_header(mut answer: Answer, name: &'static str, value: &str) -> Answer {
    if let Ok(value) = HeaderValue::from_str(value) {
        answer.headers_mut().insert(HeaderName::from_static(name), value);
    }
    answer
}

/// Reads a body; what is over the limit is thrown away, so that the sender sees the answer.
async fn collect(mut body: Incoming) -> Result<Vec<u8>, Answer> {
    let (mut bytes, mut is_too_large) = (Vec::new(), false);
    while let Some(frame) = body.frame().await {
        let broken = |_| error(StatusCode::BAD_REQUEST, "InvalidRequest", "the request body broke off");
        let Ok(data) = frame.map_err(broken)?.into_data() else { continue };
        is_too_large |= bytes.len() + data.len() > BODY_MAX;
        if is_too_large {
            bytes = Vec::new();
        } else {
            bytes.extend_from_slice(&data);
        }
    }
    if is_too_large {
        let text = format!("Exceeded maximum allowed payload size ({BODY_MAX} bytes).");
        return Err(error(StatusCode::PAYLOAD_TOO_LARGE, "RequestEntityTooLarge", &text));
    }
    Ok(bytes)
}
