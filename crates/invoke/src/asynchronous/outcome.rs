//! What became of an event, how it is kept until it is told, and how it is told.

use lambd_types::invocation::FunctionError;
use lambd_types::{UnixMillis, function_arn, iso8601_millis};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::ports::{Content, NewEvent};

/// Bytes of an error message that go to a dead letter queue (CORE-277).
const MESSAGE_MAX: usize = 1024;

/// Why an event's processing is over, in the words of its record (CORE-266).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Condition {
    Success,
    RetriesExhausted,
    EventAgeExceeded,
    ZeroReservedConcurrency,
}

/// How an attempt ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Ended {
    /// The function ran.
    Answered { version: String, payload: String, error: Option<FunctionError> },
    /// There was no room for it.
    Throttled { message: String },
    /// The system failed.
    Fault { status: u16, message: String },
    /// No execution is reserved for the function: it never runs.
    ZeroReserved,
    /// The function caused itself too often.
    Loop,
    /// The function, its version or its alias is gone.
    Gone,
    /// The event was not tried: it is too old.
    TooOld,
    /// The daemon is stopping: nothing is known of the attempt.
    CutOff,
}

/// Where an outcome is still to be told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Told {
    Record(String),
    DeadLetter(String),
}

/// The outcome of an event, as the store keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Outcome {
    pub(crate) condition: Condition,
    pub(crate) at: i64,
    pub(crate) invoke_count: u32,
    /// An HTTP status; `None` when nothing was tried.
    pub(crate) status: Option<u16>,
    pub(crate) version: Option<String>,
    pub(crate) function_error: Option<String>,
    /// The response, or the error document.
    pub(crate) response: Option<String>,
    /// What is said of the failure to people and to dead letter queues.
    pub(crate) message: String,
    pub(crate) pending: Vec<Told>,
}

impl Outcome {
    /// The outcome of an event whose last attempt ended like this. `invoke_count` counts the function's runs.
    pub(crate) fn of(ended: Ended, condition: Condition, invoke_count: u32, at: UnixMillis) -> Self {
        let mut outcome = Self {
            condition,
            at: at.0,
            invoke_count,
            status: None,
            version: None,
            function_error: None,
            response: None,
            message: String::new(),
            pending: Vec::new(),
        };
        match ended {
            Ended::Answered { version, payload, error } => {
                outcome.status = Some(200);
                outcome.version = Some(version);
                outcome.function_error = error.map(|error| error.as_str().to_owned());
                outcome.message = error.map(|_| error_message(&payload)).unwrap_or_default();
                outcome.response = Some(payload);
            }
            Ended::Throttled { message } => {
                outcome.status = Some(429);
                outcome.message = message;
            }
            Ended::Fault { status, message } => {
                outcome.status = Some(status);
                outcome.message = message;
            }
            Ended::ZeroReserved => {
                outcome.message =
                    "Function not invoked. Function is configured with zero reserved concurrent executions"
                        .to_owned();
            }
            Ended::Loop => {
                outcome.status = Some(400);
                outcome.function_error = Some("RecursiveInvocationException".to_owned());
                outcome.message =
                    "Function not invoked. It has caused itself too often: a recursive loop".to_owned();
            }
            Ended::Gone => {
                outcome.status = Some(404);
                outcome.message = "Function not found".to_owned();
            }
            Ended::TooOld | Ended::CutOff => {
                outcome.message = "Event age exceeded".to_owned();
            }
        }
        outcome
    }

    pub(crate) fn succeeded(&self) -> bool {
        self.condition == Condition::Success
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice(bytes).ok()
    }

    /// The record of the invocation (EX-34).
    pub(crate) fn record(&self, new: &NewEvent) -> String {
        let raw = |text: &str| -> Box<RawValue> {
            // What is not JSON is told as a text.
            RawValue::from_string(text.to_owned())
                .or_else(|_| serde_json::value::to_raw_value(text))
                .unwrap_or_default()
        };
        let request = String::from_utf8_lossy(&new.event.payload);
        let record = Record {
            version: "1.0",
            timestamp: iso8601_millis(UnixMillis(self.at)),
            request_context: RequestContext {
                request_id: new.event.request_id.as_str(),
                function_arn: qualified_arn(new),
                condition: self.condition,
                approximate_invoke_count: self.invoke_count,
            },
            request_payload: raw(&request),
            response_context: self.status.map(|status_code| ResponseContext {
                status_code,
                executed_version: self.version.as_deref(),
                function_error: self.function_error.as_deref(),
            }),
            response_payload: self.response.as_deref().map(raw),
        };
        serde_json::to_string(&record).unwrap_or_default()
    }

    /// What one of the places is told.
    pub(crate) fn content(&self, told: &Told, new: &NewEvent) -> Content {
        match told {
            Told::Record(_) => Content::Record { success: self.succeeded(), document: self.record(new) },
            Told::DeadLetter(_) => Content::DeadLetter {
                event: String::from_utf8_lossy(&new.event.payload).into_owned(),
                code: self.status.unwrap_or(500),
                message: match self.message.as_str() {
                    "" => "Unknown error".to_owned(),
                    text => shortened(text).to_owned(),
                },
            },
        }
    }
}

impl Told {
    pub(crate) fn arn(&self) -> &str {
        match self {
            Self::Record(arn) | Self::DeadLetter(arn) => arn,
        }
    }
}

/// The function's ARN with what was invoked of it.
pub(crate) fn qualified_arn(new: &NewEvent) -> String {
    format!("{}:{}", function_arn(&new.target.scope, &new.target.name), new.target.qualifier)
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Record<'a> {
    version: &'static str,
    timestamp: String,
    request_context: RequestContext<'a>,
    request_payload: Box<RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_context: Option<ResponseContext<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_payload: Option<Box<RawValue>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct RequestContext<'a> {
    request_id: &'a str,
    function_arn: String,
    condition: Condition,
    approximate_invoke_count: u32,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ResponseContext<'a> {
    status_code: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    executed_version: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    function_error: Option<&'a str>,
}

/// The message of an error document, or all of what is none.
fn error_message(payload: &str) -> String {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Document {
        error_message: String,
    }
    match serde_json::from_str::<Document>(payload) {
        Ok(document) => document.error_message,
        Err(_) => payload.to_owned(),
    }
}

fn shortened(text: &str) -> &str {
    let end = (0..=MESSAGE_MAX.min(text.len())).rev().find(|end| text.is_char_boundary(*end));
    &text[..end.unwrap_or(0)]
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use serde_json::{Value, json};

    use super::*;
    use crate::fixtures;

    fn new(payload: &'static str) -> NewEvent {
        let mut event = fixtures::event("");
        event.payload = Bytes::from_static(payload.as_bytes());
        NewEvent {
            target: fixtures::target("my-function"),
            event,
            caller: String::new(),
            on_failure: None,
            dead_letter: None,
            accepted_at: UnixMillis(0),
        }
    }

    fn failed(payload: &str) -> Ended {
        let error = Some(FunctionError::Unhandled);
        Ended::Answered { version: "$LATEST".into(), payload: payload.into(), error }
    }

    /// CORE-266, EX-34.
    #[test]
    fn the_record_of_a_failure_is_that_of_the_guide() {
        let new = new(r#"{"ORDER_IDS": ["9e07af03", 12345678901234567890123]}"#);
        let answer = r#"{"errorMessage": "RequestId: e4b4 Process exited before completing request"}"#;
        let at = UnixMillis(1_573_755_365_568);
        let outcome = Outcome::of(failed(answer), Condition::RetriesExhausted, 3, at);
        let outcome = Outcome::decode(&outcome.encode()).unwrap();
        let record = outcome.record(&new);
        assert!(record.contains("12345678901234567890123"), "payloads are passed on to the letter: {record}");
        let mut record: Value = serde_json::from_str(&record).unwrap();
        record["requestPayload"] = json!(0);
        assert_eq!(
            record,
            json!({
                "version": "1.0",
                "timestamp": "2019-11-14T18:16:05.568Z",
                "requestContext": {
                    "requestId": new.event.request_id.as_str(),
                    "functionArn": "arn:aws:lambda:us-east-1:000000000000:function:my-function:$LATEST",
                    "condition": "RetriesExhausted",
                    "approximateInvokeCount": 3,
                },
                "requestPayload": 0,
                "responseContext": {"statusCode": 200, "executedVersion": "$LATEST", "functionError": "Unhandled"},
                "responsePayload": {"errorMessage": "RequestId: e4b4 Process exited before completing request"},
            })
        );
    }

    #[test]
    fn a_record_has_no_answer_where_there_was_none() {
        let outcome = Outcome::of(Ended::ZeroReserved, Condition::ZeroReservedConcurrency, 0, UnixMillis(0));
        let record: Value = serde_json::from_str(&outcome.record(&new("1"))).unwrap();
        assert_eq!(record["requestContext"]["condition"], "ZeroReservedConcurrency");
        assert_eq!(record["requestContext"]["approximateInvokeCount"], 0);
        assert!(record.get("responseContext").is_none() && record.get("responsePayload").is_none());
        let throttled = Ended::Throttled { message: "full".into() };
        let outcome = Outcome::of(throttled, Condition::EventAgeExceeded, 0, UnixMillis(0));
        let record: Value = serde_json::from_str(&outcome.record(&new("1"))).unwrap();
        assert_eq!(record["responseContext"], json!({"statusCode": 429}));
    }

    /// CORE-259, CORE-277: the event alone, and three attributes.
    #[test]
    fn dead_letters_have_the_event_and_the_first_kilobyte_of_the_message() {
        let of = |payload: &str| {
            let outcome = Outcome::of(failed(payload), Condition::RetriesExhausted, 1, UnixMillis(0));
            match outcome.content(&Told::DeadLetter("arn".into()), &new("[1]")) {
                Content::DeadLetter { event, code, message } => (event, code, message),
                Content::Record { .. } => panic!("a dead letter is no record"),
            }
        };
        assert_eq!(of(r#"{"errorMessage":"no"}"#), ("[1]".to_owned(), 200, "no".to_owned()));
        assert_eq!(of("not json").2, "not json");
        assert_eq!(of(r#"{"errorMessage":""}"#).2, "Unknown error");
        let long = format!("{{\"errorMessage\":\"x{}\"}}", "é".repeat(1000));
        assert_eq!(of(&long).2.len(), 1023, "cut between characters");
    }
}
