//! `InvokeWithResponseStream` (API-415): what `Invoke` does, with the response as a stream of events.
//!
//! The answer begins with the response, or with its end: until then an event that could not be taken is an ordinary
//! error. Whatever happens later is told in the last event.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures_util::{Stream, StreamExt as _, stream};
use http::StatusCode;
use http::header::{HeaderName, HeaderValue};
use lambd_api::responses::InvokeComplete;
use lambd_api::{ApiError, Route};
use lambd_http::protocol::event_stream;
use lambd_http::{AwsRequest, AwsResponse, ResponseBody, empty, of_type};
use lambd_types::invocation::{FunctionError, Outcome};
use lambd_types::streaming::ResponsePart;

use super::invoke::{self, Asked, InvocationType};
use crate::Control;
use crate::ports::EngineError;
use crate::streamed::Streamed;

pub(crate) async fn call(
    control: &Control,
    route: &Route,
    request: AwsRequest,
) -> Result<AwsResponse, ApiError> {
    let asked = invoke::read(control, route, request, &["RequestResponse", "DryRun"]).await?;
    let Asked { invocation_type, log_type, function, event, .. } = asked;
    let version = function.key.version;
    if invocation_type == InvocationType::DryRun {
        return Ok(invoke::executed(empty(StatusCode::NO_CONTENT), version));
    }
    let mut streamed = Streamed::start(control.engine()?.clone(), function, event, log_type);
    let (content_type, body) = match streamed.next().await {
        Some(ResponsePart::Begin { content_type }) => {
            (Some(content_type), ResponseBody::made_by(events(streamed)))
        }
        Some(ResponsePart::Data(part)) => {
            (None, ResponseBody::made_by(stream::iter(chunk(part)).chain(events(streamed))))
        }
        None => {
            let outcome = streamed.end().transpose().map_err(invoke::engine_error)?;
            (None, ResponseBody::made_by(stream::iter(outcome.map_or_else(Vec::new, whole))))
        }
    };
    let mut response = of_type(StatusCode::OK, event_stream::CONTENT_TYPE, body);
    // The response's own type, of which the envelope's has taken the place.
    if let Some(value) = content_type.and_then(|text| HeaderValue::from_str(&text).ok()) {
        response.headers_mut().insert(HeaderName::from_static("x-amzn-remapped-content-type"), value);
    }
    Ok(invoke::executed(response, version))
}

/// What is left of a response, and its end.
fn events(streamed: Streamed) -> impl Stream<Item = Bytes> {
    let events = stream::unfold(Some(streamed), |streamed| async {
        let mut streamed = streamed?;
        loop {
            match streamed.next().await {
                Some(ResponsePart::Data(part)) => return Some((chunk(part), Some(streamed))),
                Some(ResponsePart::Begin { .. }) => {}
                None => return Some((complete(streamed.end()), None)),
            }
        }
    });
    events.flat_map(stream::iter)
}

fn chunk(payload: Bytes) -> Vec<Bytes> {
    event_stream::event("PayloadChunk", "application/octet-stream", payload).collect()
}

/// The end of a response whose parts were sent.
fn complete(end: Option<Result<Outcome, EngineError>>) -> Vec<Bytes> {
    match end {
        Some(Ok(outcome)) => last(outcome),
        Some(Err(error)) => last_fault(&invoke::engine_error(error)),
        None => Vec::new(),
    }
}

/// The response of a function that does not stream.
fn whole(mut outcome: Outcome) -> Vec<Bytes> {
    let mut events = match outcome.error {
        None if !outcome.payload.is_empty() => chunk(std::mem::take(&mut outcome.payload)),
        _ => Vec::new(),
    };
    events.extend(last(outcome));
    events
}

fn last(outcome: Outcome) -> Vec<Bytes> {
    let Outcome { payload, error, log_tail } = outcome;
    event(&InvokeComplete {
        error_code: error.map(FunctionError::as_str).map(str::to_owned),
        error_details: error.map(|_| String::from_utf8_lossy(&payload).into_owned()),
        log_result: log_tail.map(|tail| STANDARD.encode(tail)),
    })
}

fn last_fault(error: &ApiError) -> Vec<Bytes> {
    event(&InvokeComplete {
        error_code: Some(error.code().to_owned()),
        error_details: Some(error.to_string()),
        log_result: None,
    })
}

fn event(complete: &InvokeComplete) -> Vec<Bytes> {
    let payload = serde_json::to_vec(complete).unwrap_or_default();
    event_stream::event("InvokeComplete", "application/json", payload.into()).collect()
}
