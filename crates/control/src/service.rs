//! The Lambda endpoint: from requests to actions and back.

use std::sync::Arc;

use http::{HeaderName, HeaderValue, Method, StatusCode};
use lambd_api::{ApiError, Operation, Route, ThrottleReason};
use lambd_http::{AwsRequest, AwsResponse, AwsService, Refusal, RequestHead, ServiceFuture, json};
use lambd_types::limits;

use crate::{Control, actions};

/// Bodies that carry a package: 50 MB in base64 and the rest of the request (LANG2-182).
const PACKAGE_BODY: usize = 70_167_211;
/// Bodies that carry settings.
const SETTINGS_BODY: usize = 1024 * 1024;

/// The Lambda endpoint.
pub struct LambdaService {
    control: Control,
}

impl LambdaService {
    /// The endpoint over these rules.
    pub fn new(control: Control) -> Self {
        Self { control }
    }

    async fn answer(&self, route: Route, request: AwsRequest) -> AwsResponse {
        let control = self.control.clone();
        let result = match route.operation {
            Operation::Invoke => actions::invoke::call(&control, &route, request).await,
            // A client that hangs up must not leave a change half made: changes run to their end.
            Operation::CreateFunction
            | Operation::DeleteFunction
            | Operation::UpdateFunctionCode
            | Operation::UpdateFunctionConfiguration => {
                let change = tokio::spawn(async move { change(&control, &route, request).await });
                change.await.unwrap_or_else(|panic| {
                    tracing::error!(%panic, "a change was broken off");
                    Err(ApiError::Service("the change was broken off by a fault in lambd".to_owned()))
                })
            }
            Operation::GetFunction => actions::get_function::call(&control, &route, &request.head).await,
            Operation::GetFunctionConfiguration => {
                actions::get_function_configuration::call(&control, &route, &request.head).await
            }
            Operation::ListFunctions => actions::list_functions::call(&control, &request.head).await,
        };
        result.unwrap_or_else(|error| error_response(&error))
    }
}

async fn change(control: &Control, route: &Route, request: AwsRequest) -> Result<AwsResponse, ApiError> {
    match route.operation {
        Operation::CreateFunction => actions::create_function::call(control, request).await,
        Operation::DeleteFunction => actions::delete_function::call(control, route, &request.head).await,
        Operation::UpdateFunctionCode => actions::update_function_code::call(control, route, request).await,
        Operation::UpdateFunctionConfiguration => {
            actions::update_function_configuration::call(control, route, request).await
        }
        Operation::GetFunction
        | Operation::GetFunctionConfiguration
        | Operation::Invoke
        | Operation::ListFunctions => Err(ApiError::Service("not a change".to_owned())),
    }
}

impl AwsService for LambdaService {
    fn signing_name(&self) -> &'static str {
        "lambda"
    }

    fn recognises(&self, head: &RequestHead) -> bool {
        // Every path of the Lambda API begins with the date of the version that brought it.
        let date = head.path.get(1..11).unwrap_or_default();
        date.len() == 10
            && date
                .bytes()
                .enumerate()
                .all(|(at, b)| if at == 4 || at == 7 { b == b'-' } else { b.is_ascii_digit() })
    }

    fn body_limit(&self, head: &RequestHead) -> usize {
        match Operation::route(&head.method, &head.path).map(|r| r.operation) {
            Some(Operation::CreateFunction | Operation::UpdateFunctionCode) => PACKAGE_BODY,
            Some(Operation::Invoke) if actions::invoke::is_asynchronous(head) => limits::ASYNC_PAYLOAD,
            Some(Operation::Invoke) => limits::SYNC_PAYLOAD,
            _ => SETTINGS_BODY,
        }
    }

    fn refuse(&self, head: &RequestHead, why: Refusal) -> AwsResponse {
        let operation = Operation::route(&head.method, &head.path).map(|r| r.operation);
        error_response(&match why {
            Refusal::NotSigned => ApiError::MissingAuthenticationToken,
            Refusal::BodyTooLarge { limit } => {
                let text = |name: &str| {
                    format!("Request must be smaller than {limit} bytes for the {name} operation")
                };
                match operation {
                    Some(Operation::Invoke) => ApiError::RequestTooLarge(text("InvokeFunction")),
                    operation => {
                        ApiError::RequestEntityTooLarge(text(operation.map_or("requested", Operation::name)))
                    }
                }
            }
        })
    }

    fn call(self: Arc<Self>, request: AwsRequest) -> ServiceFuture {
        Box::pin(async move {
            match Operation::route(&request.head.method, &request.head.path) {
                Some(route) => self.answer(route, request).await,
                None => error_response(&unknown_operation(&request.head.method, &request.head.path)),
            }
        })
    }
}

fn unknown_operation(method: &Method, path: &str) -> ApiError {
    ApiError::UnknownOperation(format!(
        "lambd does not offer the operation {method} {path}; see docs/compatibility.md for those it offers"
    ))
}

/// An error with the headers by which clients recognise it (API-707, API-708).
fn error_response(error: &ApiError) -> AwsResponse {
    let mut response = json(error.status(), &error.body());
    let headers = response.headers_mut();
    headers.insert(HeaderName::from_static("x-amzn-errortype"), HeaderValue::from_static(error.code()));
    if let ApiError::TooManyRequests(ThrottleReason::ConcurrentInvocationLimitExceeded) = error {
        headers.insert(http::header::RETRY_AFTER, HeaderValue::from_static("1"));
    }
    response
}

/// A successful answer.
pub(crate) fn success(status: StatusCode, body: &impl serde::Serialize) -> Result<AwsResponse, ApiError> {
    Ok(json(status, body))
}
