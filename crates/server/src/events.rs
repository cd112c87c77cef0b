//! The queues of asynchronous events, at `/_lambd/events`: `GET` lists the functions that have one, `GET …/NAME` shows what
//! is in one, `POST …/NAME` with an action purges, replays, pauses or resumes it.

use std::sync::{Arc, OnceLock};

use http::{Method, StatusCode};
use lambd_http::{
    AwsRequest, AwsResponse, AwsService, Refusal, RequestHead, ServiceFuture, json, percent_decode,
};
use lambd_invoke::ports::{EventSummary, Metric, PortError, Stage};
use lambd_invoke::{AsyncQueue, Counters, QueueReport, QueuedReport};
use lambd_types::{FunctionName, FunctionRef, Scope, iso8601_millis};
use serde_json::{Value, json};

const PATH: &str = "/_lambd/events";
const BODY_LIMIT: usize = 4096;
/// Events of each state that are shown, and the most that can be asked for.
const SHOWN: usize = 100;
const SHOWN_MAX: usize = 1_000;

/// The endpoint. It needs no credential, and functions cannot use it.
pub(crate) struct EventsService {
    /// The queue, which is made after the listener.
    pub(crate) queue: Arc<OnceLock<Arc<AsyncQueue>>>,
    pub(crate) counters: Arc<Counters>,
}

/// Why a request is refused.
struct Refused(StatusCode, &'static str, String);

impl EventsService {
    async fn answer(&self, request: &AwsRequest) -> Result<Value, Refused> {
        let head = &request.head;
        if head.caller.confined {
            let text = "functions cannot use this endpoint".to_owned();
            return Err(Refused(StatusCode::FORBIDDEN, "AccessDeniedException", text));
        }
        let starting = || "lambd is starting".to_owned();
        let queue = self.queue.get().ok_or_else(|| {
            Refused(StatusCode::SERVICE_UNAVAILABLE, "ServiceUnavailableException", starting())
        })?;
        let named = head.path.strip_prefix(PATH).unwrap_or_default().trim_matches('/');
        if named.is_empty() {
            return self.overview(queue, &head.caller.scope).await;
        }
        let (scope, name) = function(named, &head.caller.scope)?;
        match head.method {
            Method::GET => {
                let asked = head.query.get("limit").map(str::parse::<usize>).transpose();
                let limit = asked.map_err(|_| invalid("limit is no number"))?.unwrap_or(SHOWN).min(SHOWN_MAX);
                let report = queue.report(&scope, &name, limit).await.map_err(fault)?;
                Ok(self.shown(&scope, &name, report.as_ref()))
            }
            Method::POST => act(queue, &scope, &name, request).await,
            _ => Err(Refused(
                StatusCode::METHOD_NOT_ALLOWED,
                "MethodNotAllowedException",
                "GET or POST".to_owned(),
            )),
        }
    }

    async fn overview(&self, queue: &AsyncQueue, scope: &Scope) -> Result<Value, Refused> {
        let mut functions = Vec::new();
        for (of, name) in queue.functions() {
            if of == *scope {
                let report = queue.report(&of, &name, 0).await.map_err(fault)?;
                functions.push(self.shown(&of, &name, report.as_ref()));
            }
        }
        Ok(json!({ "functions": functions }))
    }

    fn shown(&self, scope: &Scope, name: &FunctionName, report: Option<&QueueReport>) -> Value {
        let metrics = self.counters.of(scope, name);
        let metrics: serde_json::Map<String, Value> = metrics
            .into_iter()
            .map(|(metric, m)| {
                let value = match metric {
                    Metric::AsyncEventAge => {
                        json!({ "count": m.count, "sum": m.sum, "maximum": m.max, "last": m.last })
                    }
                    _ => json!(m.sum),
                };
                (format!("{metric:?}"), value)
            })
            .collect();
        let count = |stage| {
            let counts = report.map_or(&[][..], |report| &report.counts);
            counts.iter().find(|(of, _)| *of == stage).map_or(0, |(_, count)| *count)
        };
        json!({
            "function": name.as_str(),
            "paused": report.is_some_and(|report| report.paused),
            "queued": count(Stage::Invoke),
            "delivering": count(Stage::Deliver),
            "failed": count(Stage::Failed),
            "unreadable": count(Stage::Unreadable),
            "inFlight": report.map_or(0, |report| report.in_flight),
            "metrics": metrics,
            "events": report.map_or(&[][..], |report| &report.events).iter().map(event).collect::<Vec<_>>(),
        })
    }
}

fn event(report: &QueuedReport) -> Value {
    let EventSummary { request_id, qualifier, caller, accepted_at, bytes, progress, .. } = &report.event;
    let state = match progress.stage {
        Stage::Invoke if report.in_flight => "running",
        Stage::Invoke if progress.function_errors + progress.system_errors > 0 => "retrying",
        Stage::Invoke => "queued",
        Stage::Deliver => "delivering",
        Stage::Failed => "failed",
        Stage::Unreadable => "unreadable",
    };
    let mut shown = json!({
        "requestId": request_id,
        "qualifier": qualifier,
        "caller": caller,
        "state": state,
        "acceptedAt": iso8601_millis(*accepted_at),
        "bytes": bytes,
        "functionErrors": progress.function_errors,
        "systemErrors": progress.system_errors,
    });
    match progress.stage {
        Stage::Invoke | Stage::Deliver => shown["nextAt"] = iso8601_millis(progress.due_at).into(),
        Stage::Failed => shown["keptUntil"] = iso8601_millis(progress.due_at).into(),
        Stage::Unreadable => {}
    }
    if let Some(error) = &progress.last_error {
        shown["lastError"] = error.as_str().into();
    }
    shown
}

async fn act(
    queue: &AsyncQueue,
    scope: &Scope,
    name: &FunctionName,
    request: &AwsRequest,
) -> Result<Value, Refused> {
    // What a page in a browser can send without being asked has another type.
    let is_json = request.head.header("content-type").is_some_and(|t| t.starts_with("application/json"));
    let expected = || {
        invalid(
            r#"expected {"action": "purge"|"replay"|"pause"|"resume"} with Content-Type: application/json; "failed": true purges what has failed, "requestId" replays one event"#,
        )
    };
    let body: Value = serde_json::from_slice(&request.body).map_err(|_| expected())?;
    let action = body.get("action").and_then(Value::as_str).filter(|_| is_json).ok_or_else(expected)?;
    let known: &[&str] = match action {
        "purge" => &["action", "failed"],
        "replay" => &["action", "requestId"],
        "pause" | "resume" => &["action"],
        _ => return Err(expected()),
    };
    if body.as_object().is_none_or(|body| body.keys().any(|key| !known.contains(&key.as_str()))) {
        return Err(expected());
    }
    let events = match action {
        "purge" => {
            let failed = body.get("failed").map_or(Some(false), Value::as_bool).ok_or_else(expected)?;
            queue.purge(scope, name, failed).await.map_err(fault)?
        }
        "replay" => {
            let request_id = body.get("requestId").map(|id| id.as_str().ok_or_else(expected)).transpose()?;
            let replayed = queue.replay(scope, name, request_id).await.map_err(fault)?;
            if let (Some(id), 0) = (request_id, replayed) {
                let text = format!("no failed event of {name} has the request id {id}");
                return Err(Refused(StatusCode::NOT_FOUND, "ResourceNotFoundException", text));
            }
            replayed
        }
        _ => {
            queue.pause(scope, name, action == "pause").await.map_err(fault)?;
            0
        }
    };
    Ok(json!({ "function": name.as_str(), "action": action, "events": events }))
}

/// The function that a path names, with the account and region of the caller unless it says otherwise.
fn function(named: &str, caller: &Scope) -> Result<(Scope, FunctionName), Refused> {
    let named = percent_decode(named);
    let found = FunctionRef::parse(&named).map_err(|error| invalid(&error.to_string()))?;
    let scope = Scope {
        account: found.account.unwrap_or_else(|| caller.account.clone()),
        region: found.region.unwrap_or_else(|| caller.region.clone()),
    };
    Ok((scope, found.name))
}

fn invalid(text: &str) -> Refused {
    Refused(StatusCode::BAD_REQUEST, "InvalidParameterValueException", text.to_owned())
}

fn fault(error: PortError) -> Refused {
    Refused(StatusCode::INTERNAL_SERVER_ERROR, "ServiceException", error.text)
}

fn refusal(Refused(status, code, message): Refused) -> AwsResponse {
    json(status, &json!({ "__type": code, "message": message }))
}

impl AwsService for EventsService {
    fn signing_name(&self) -> &'static str {
        "lambd-events"
    }

    fn recognises(&self, head: &RequestHead) -> bool {
        head.path.strip_prefix(PATH).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }

    fn is_public(&self, _head: &RequestHead) -> bool {
        true
    }

    fn body_limit(&self, _head: &RequestHead) -> usize {
        BODY_LIMIT
    }

    fn refuse(&self, _head: &RequestHead, _why: Refusal) -> AwsResponse {
        let text = format!("the body has more than {BODY_LIMIT} bytes");
        refusal(Refused(StatusCode::PAYLOAD_TOO_LARGE, "RequestTooLargeException", text))
    }

    fn call(self: Arc<Self>, request: AwsRequest) -> ServiceFuture {
        Box::pin(async move {
            match self.answer(&request).await {
                Ok(answer) => json(StatusCode::OK, &answer),
                Err(refused) => refusal(refused),
            }
        })
    }
}
