//! The clock of what waits for a time of day, at `/_lambd/clock`: `GET` shows it, `POST {"advanceSeconds": 60}` moves one
//! that is manual.

use std::sync::Arc;

use http::{Method, StatusCode};
use lambd_cli::ClockChoice;
use lambd_http::{AwsRequest, AwsResponse, AwsService, Refusal, RequestHead, ServiceFuture, json};
use lambd_types::{Clock, ManualClock, SystemClock, UnixMillis, iso8601_millis};

const PATH: &str = "/_lambd/clock";
const BODY_LIMIT: usize = 1024;

/// The clock that was chosen.
#[derive(Debug, Clone)]
pub(crate) enum ChosenClock {
    /// The machine's.
    System,
    /// One that is moved; it begins at the machine's time.
    Manual(ManualClock),
}

impl ChosenClock {
    pub(crate) fn new(choice: ClockChoice) -> Self {
        match choice {
            ClockChoice::System => Self::System,
            ClockChoice::Manual => Self::Manual(ManualClock::at(SystemClock.now())),
        }
    }

    /// For those who wait.
    pub(crate) fn shared(&self) -> Arc<dyn Clock> {
        match self {
            Self::System => Arc::new(SystemClock),
            Self::Manual(clock) => Arc::new(clock.clone()),
        }
    }

    fn now(&self) -> UnixMillis {
        match self {
            Self::System => SystemClock.now(),
            Self::Manual(clock) => clock.now(),
        }
    }
}

/// The endpoint. It needs no credential, and functions cannot use it.
pub(crate) struct ClockService(pub(crate) ChosenClock);

impl ClockService {
    fn advance(&self, request: &AwsRequest) -> AwsResponse {
        // What a page in a browser can send without being asked has another type.
        let is_json = request.head.header("content-type").is_some_and(|t| t.starts_with("application/json"));
        let Some(seconds) = advance_seconds(&request.body).filter(|_| is_json) else {
            return refused(
                StatusCode::BAD_REQUEST,
                "InvalidParameterValueException",
                r#"expected {"advanceSeconds": NUMBER} with Content-Type: application/json"#,
            );
        };
        if seconds < 0.0 {
            return refused(
                StatusCode::BAD_REQUEST,
                "InvalidParameterValueException",
                "advanceSeconds is negative; the clock moves forward only",
            );
        }
        let ChosenClock::Manual(clock) = &self.0 else {
            return refused(
                StatusCode::CONFLICT,
                "ResourceConflictException",
                "the clock is the machine's; start lambd with --clock manual to move it",
            );
        };
        // More than the clock can show saturates.
        clock.advance((seconds * 1000.0).round() as i64);
        self.show()
    }

    fn show(&self) -> AwsResponse {
        let name = match self.0 {
            ChosenClock::System => "system",
            ChosenClock::Manual(_) => "manual",
        };
        let now = self.0.now();
        let shown = serde_json::json!({ "clock": name, "now": iso8601_millis(now), "nowMillis": now.0 });
        json(StatusCode::OK, &shown)
    }
}

fn advance_seconds(body: &[u8]) -> Option<f64> {
    let document: serde_json::Map<String, serde_json::Value> = serde_json::from_slice(body).ok()?;
    document.get("advanceSeconds").filter(|_| document.len() == 1)?.as_f64()
}

fn refused(status: StatusCode, code: &str, message: &str) -> AwsResponse {
    json(status, &serde_json::json!({ "__type": code, "message": message }))
}

impl AwsService for ClockService {
    fn signing_name(&self) -> &'static str {
        "lambd-clock"
    }

    fn recognises(&self, head: &RequestHead) -> bool {
        head.path == PATH
    }

    fn is_public(&self, _head: &RequestHead) -> bool {
        true
    }

    fn body_limit(&self, _head: &RequestHead) -> usize {
        BODY_LIMIT
    }

    fn refuse(&self, _head: &RequestHead, _why: Refusal) -> AwsResponse {
        refused(
            StatusCode::PAYLOAD_TOO_LARGE,
            "RequestTooLargeException",
            "the body has more than 1024 bytes",
        )
    }

    fn call(self: Arc<Self>, request: AwsRequest) -> ServiceFuture {
        Box::pin(async move {
            if request.head.caller.confined {
                let message = "functions cannot use this endpoint";
                return refused(StatusCode::FORBIDDEN, "AccessDeniedException", message);
            }
            match request.head.method {
                Method::GET => self.show(),
                Method::POST => self.advance(&request),
                _ => refused(StatusCode::METHOD_NOT_ALLOWED, "MethodNotAllowedException", "GET or POST"),
            }
        })
    }
}
