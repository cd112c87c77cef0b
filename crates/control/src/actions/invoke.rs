//! `Invoke` (API-125).

use std::fmt::Write as _;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use http::{Response, StatusCode};
use lambd_api::{ApiError, Route, ThrottleReason, Throttling, Violations};
use lambd_http::{AwsRequest, AwsResponse, RequestHead, ResponseBody, empty};
use lambd_types::invocation::{Event, LogType, Outcome};
use lambd_types::{FunctionSnapshot, FunctionTarget, Version, limits, lineage, random};

use crate::context::{service_error, store_error};
use crate::functions::Target;
use crate::ports::{EngineError, Limit};
use crate::{Control, Found, condition, unsupported};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum InvocationType {
    RequestResponse,
    Event,
    DryRun,
}

/// What a request asks for.
pub(super) struct Asked {
    pub(super) invocation_type: InvocationType,
    pub(super) log_type: LogType,
    /// As it was named.
    pub(super) target: FunctionTarget,
    /// What it is now.
    pub(super) function: Arc<FunctionSnapshot>,
    pub(super) event: Event,
    /// Who asks: the access key.
    pub(super) caller: String,
}

/// Whether a request asks for asynchronous processing, which has a limit of its own.
pub(crate) fn is_asynchronous(head: &RequestHead) -> bool {
    head.header("x-amz-invocation-type") == Some("Event")
}

pub(crate) async fn call(
    control: &Control,
    route: &Route,
    request: AwsRequest,
) -> Result<AwsResponse, ApiError> {
    let asked = read(control, route, request, &["Event", "DryRun", "RequestResponse"]).await?;
    let Asked { invocation_type, log_type, target, function, event, caller } = asked;
    let version = function.key.version;
    let engine = control.engine()?;
    match invocation_type {
        InvocationType::DryRun => Ok(executed(empty(StatusCode::NO_CONTENT), version)),
        InvocationType::Event => {
            engine.enqueue(target, event, caller).await.map_err(engine_error)?;
            Ok(empty(StatusCode::ACCEPTED))
        }
        InvocationType::RequestResponse => {
            let outcome = engine.invoke(function, event, log_type.into()).await.map_err(engine_error)?;
            Ok(executed(answer(outcome), version))
        }
    }
}

/// Reads a request to invoke a function in one of the ways of `types`, and finds what it runs on.
pub(super) async fn read(
    control: &Control,
    route: &Route,
    request: AwsRequest,
    types: &[&str],
) -> Result<Asked, ApiError> {
    let AwsRequest { head, body } = request;
    let target = Target::namespaced(&head, route.function_name())?;
    let (invocation_type, log_type) = asked_types(&head, types)?;
    let client_context = client_context(&head)?;
    unsupported::invoke(&head)?;
    check_content_type(&head)?;
    check_json(&body)?;

    let function = ready(control, &target).await?;
    let named = target.function();
    let trace_id = trace_id(&head);
    let trace_id = match invocation_type {
        InvocationType::RequestResponse => entered(control, &named, &function.arn, &trace_id).await?,
        // The queue looks at it with each attempt.
        InvocationType::Event | InvocationType::DryRun => trace_id,
    };
    let event = Event {
        request_id: head.request_id.clone(),
        // A function called without a payload gets an empty object.
        payload: if body.is_empty() { Bytes::from_static(b"{}") } else { body },
        invoked_arn: target.arn(),
        trace_id,
        client_context,
    };
    let caller = head.caller.access_key;
    Ok(Asked { invocation_type, log_type, target: named, function, event, caller })
}

/// What an event for the target runs on.
pub(super) async fn ready(control: &Control, target: &Target) -> Result<Arc<FunctionSnapshot>, ApiError> {
    match control.resolve(&target.function()).await.map_err(|e| service_error(&e))? {
        None => Err(target.not_found()),
        Some(Found::NotReady(condition)) => Err(condition::not_invocable(condition)),
        Some(Found::Ready(function)) => Ok(function),
    }
}

fn asked_types(head: &RequestHead, types: &[&str]) -> Result<(InvocationType, LogType), ApiError> {
    let mut violations = Violations::default();
    let invocation_type = match head.header("x-amz-invocation-type") {
        None | Some("RequestResponse" | "") => InvocationType::RequestResponse,
        Some("Event") if types.contains(&"Event") => InvocationType::Event,
        Some("DryRun") => InvocationType::DryRun,
        Some(other) => {
            violations.enumeration(other, "invocationType", types);
            InvocationType::DryRun
        }
    };
    let log_type = match head.header("x-amz-log-type") {
        None | Some("None" | "") => LogType::None,
        Some("Tail") => LogType::Tail,
        Some(other) => {
            violations.enumeration(other, "logType", &["None", "Tail"]);
            LogType::None
        }
    };
    violations.into_result()?;
    Ok((invocation_type, log_type))
}

fn client_context(head: &RequestHead) -> Result<Option<String>, ApiError> {
    let Some(header) = head.header("x-amz-client-context") else { return Ok(None) };
    let invalid = || {
        ApiError::InvalidRequestContent(
            "Client context must be a valid Base64-encoded JSON object.".to_owned(),
        )
    };
    let bytes = STANDARD.decode(header).map_err(|_| invalid())?;
    if bytes.len() > limits::CLIENT_CONTEXT {
        let max = limits::CLIENT_CONTEXT;
        return Err(ApiError::InvalidRequestContent(format!("Client context must be at most {max} bytes.")));
    }
    let text = String::from_utf8(bytes).map_err(|_| invalid())?;
    let object: serde_json::Map<String, serde_json::Value> =
        serde_json::from_str(&text).map_err(|_| invalid())?;
    // On one line, for it travels on in a header.
    serde_json::to_string(&object).map(Some).map_err(|_| invalid())
}

/// Only an explicit type that is not JSON is refused: many clients send none, or the type of plain bytes
/// (API-702).
fn check_content_type(head: &RequestHead) -> Result<(), ApiError> {
    let Some(header) = head.header("content-type") else { return Ok(()) };
    if header == "application/json" {
        return Ok(());
    }
    let essence = header.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let accepted = essence.is_empty()
        || essence.ends_with("json")
        || essence.starts_with("application/x-amz-json")
        || matches!(
            essence.as_str(),
            "application/octet-stream" | "binary/octet-stream" | "application/x-www-form-urlencoded"
        );
    if accepted {
        return Ok(());
    }
    Err(ApiError::UnsupportedMediaType(format!(
        "The content type of the Invoke request body is not JSON: {essence}"
    )))
}

/// The payload must be JSON (CORE-249); it is scanned, not parsed into a tree.
pub(super) fn check_json(body: &[u8]) -> Result<(), ApiError> {
    if body.is_empty() {
        return Ok(());
    }
    let invalid = |detail: String| {
        ApiError::InvalidRequestContent(format!("Could not parse request body into json: {detail}"))
    };
    // The scan alone would not look into strings.
    let text = std::str::from_utf8(body).map_err(|error| invalid(format!("Invalid UTF-8: {error}")))?;
    serde_json::from_str::<serde::de::IgnoredAny>(text)
        .map(|_| ())
        .map_err(|error| invalid(unrecognized_token(text).unwrap_or_else(|| error.to_string())))
}

/// The service's own words for the commonest mistake: text without quotes (CORE-249).
fn unrecognized_token(text: &str) -> Option<String> {
    let token: String = text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
    if !token.starts_with(|c: char| c.is_alphabetic()) || matches!(token.as_str(), "true" | "false" | "null")
    {
        return None;
    }
    let quoted: String = text.chars().take(500).collect();
    // The service's parser counts a token that ends the text twice, and one character of what follows.
    let length = token.chars().count();
    let column = if length == text.chars().count() { 2 * length + 1 } else { length + 2 };
    Some(format!(
        "Unrecognized token '{token}': was expecting ('true', 'false' or 'null')\n at [Source: (byte[])\"{quoted}\"; \
         line: 1, column: {column}]"
    ))
}

/// Bytes of a tracing header that is made here.
const TRACE_HEADER: usize = 74;

/// The caller's tracing header, or a new unsampled one (RT-62).
pub(super) fn trace_id(head: &RequestHead) -> String {
    match head.header("x-amzn-trace-id") {
        Some(header) => header.to_owned(),
        None => {
            let (root, parent) = (random::of_name::<12>(), random::of_name::<8>());
            let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default().as_secs();
            let mut header = String::with_capacity(TRACE_HEADER);
            // Writing to a text cannot fail.
            let _ = write!(header, "Root=1-{now:08x}-");
            random::push_hex(&mut header, &root);
            header.push_str(";Parent=");
            random::push_hex(&mut header, &parent);
            header.push_str(";Sampled=0");
            header
        }
    }
}

/// The trace header that the function gets.
///
/// # Errors
/// It is part of a chain of requests in which the function ran too often.
async fn entered(
    control: &Control,
    target: &FunctionTarget,
    arn: &str,
    trace: &str,
) -> Result<String, ApiError> {
    let (header, before) = lineage::entered(trace, arn);
    if before >= lineage::RECURSION_LIMIT
        && !control.event_settings(target).await.map_err(store_error)?.may_recurse
    {
        return Err(ApiError::RecursiveInvocation(format!(
            "The function has run {before} times in this chain of requests: a recursive loop"
        )));
    }
    Ok(header)
}

pub(super) fn executed(mut response: AwsResponse, version: Version) -> AwsResponse {
    const EXECUTED_VERSION: HeaderName = HeaderName::from_static("x-amz-executed-version");
    let version = match version {
        Version::Latest => HeaderValue::from_static("$LATEST"),
        Version::Published(number) => HeaderValue::from(number),
    };
    response.headers_mut().insert(EXECUTED_VERSION, version);
    response
}

fn answer(outcome: Outcome) -> AwsResponse {
    let mut response = Response::new(ResponseBody::from(outcome.payload));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if let Some(error) = outcome.error {
        headers.insert(
            HeaderName::from_static("x-amz-function-error"),
            HeaderValue::from_static(error.as_str()),
        );
    }
    if let Some(value) = outcome.log_tail.and_then(|tail| HeaderValue::from_str(&STANDARD.encode(tail)).ok())
    {
        headers.insert(HeaderName::from_static("x-amz-log-result"), value);
    }
    response
}

pub(super) fn engine_error(error: EngineError) -> ApiError {
    match error {
        EngineError::Throttled { limit, retry_after } => {
            use ThrottleReason as Reason;
            let (reason, detail) = match limit {
                Limit::Account => (Reason::ConcurrentInvocationLimitExceeded, None),
                Limit::Function => (Reason::ReservedFunctionConcurrentInvocationLimitExceeded, None),
                Limit::Requests => (Reason::FunctionInvocationRateLimitExceeded, None),
                Limit::FunctionRequests => (Reason::ReservedFunctionInvocationRateLimitExceeded, None),
                Limit::Events => (Reason::CallerRateLimitExceeded, None),
                Limit::Machine(text) => (Reason::ConcurrentInvocationLimitExceeded, Some(text)),
            };
            // Whole seconds, at least one, as the header has them.
            let retry_after = retry_after.as_millis().div_ceil(1000).max(1) as u64;
            ApiError::TooManyRequests(Throttling { reason, retry_after, detail })
        }
        EngineError::Runtime(text) => ApiError::InvalidRuntime(text),
        EngineError::Fault(text) => {
            tracing::error!(error = %text, "an invocation failed");
            ApiError::Service(text)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// CORE-249, to the letter.
    #[test]
    fn the_guide_s_own_mistake_gets_the_guide_s_own_text() {
        assert_eq!(
            check_json(b"value").unwrap_err().to_string(),
            "Could not parse request body into json: Unrecognized token 'value': was expecting ('true', 'false' or \
             'null')\n at [Source: (byte[])\"value\"; line: 1, column: 11]"
        );
    }

    #[test]
    fn json_of_any_kind_is_a_payload() {
        for good in ["", "{}", "[1]", "null", "1", "\"x\"", " {\"a\": [true]} "] {
            assert!(check_json(good.as_bytes()).is_ok(), "{good}");
        }
        for bad in ["{", "{}{}", "'x'", "\u{feff}{}", "[1,]", "nul"] {
            assert!(matches!(check_json(bad.as_bytes()), Err(ApiError::InvalidRequestContent(_))), "{bad}");
        }
        assert!(matches!(check_json(b"\"\xff\""), Err(ApiError::InvalidRequestContent(_))));
    }
}
