//! The Lambda endpoint: from requests to actions and back.

use std::sync::Arc;

use http::{HeaderName, HeaderValue, Method, StatusCode};
use lambd_api::archive::ScanError;
use lambd_api::{ApiError, Effect, Operation, Route, Routed, Unoffered};
use lambd_http::{
    AwsRequest, AwsResponse, AwsService, BodyError, Refusal, RequestBody, RequestHead, ServiceFuture, empty,
    json,
};
use lambd_store::packages::Arrived;
use lambd_types::limits;

use crate::uploads::{self, Upload, UploadError};
use crate::{Control, actions};

/// What a request may carry beside a package.
const BESIDE_PACKAGE: usize = 256 * 1024;
/// Bodies that carry settings.
const SETTINGS_BODY: usize = 1024 * 1024;

/// Bytes of a body that carries a package of this size: in base64, with the rest of the request (LANG2-182).
fn package_body(zipped: u64) -> usize {
    let encoded = usize::try_from(zipped.div_ceil(3)).unwrap_or(usize::MAX).saturating_mul(4);
    encoded.saturating_add(BESIDE_PACKAGE)
}

/// The Lambda endpoint.
pub struct LambdaService {
    control: Control,
}

impl LambdaService {
    /// The endpoint over these rules.
    pub fn new(control: Control) -> Self {
        Self { control }
    }

    async fn answer(&self, route: Route, request: AwsRequest, package: Option<Arrived>) -> AwsResponse {
        let control = self.control.clone();
        let result = match route.operation.effect() {
            Effect::Invoke | Effect::Read => dispatch(&control, &route, request, package).await,
            // A client that hangs up must not leave a change half made: changes run to their end.
            Effect::Change => {
                let change = tokio::spawn(async move { dispatch(&control, &route, request, package).await });
                change.await.unwrap_or_else(|panic| {
                    tracing::error!(%panic, "a change was broken off");
                    Err(ApiError::Service("the change was broken off by a fault in lambd".to_owned()))
                })
            }
        };
        result.unwrap_or_else(|error| error_response(&error))
    }
}

async fn dispatch(
    control: &Control,
    route: &Route,
    request: AwsRequest,
    package: Option<Arrived>,
) -> Result<AwsResponse, ApiError> {
    use actions as a;
    let head = &request.head;
    match route.operation {
        Operation::AddLayerVersionPermission => {
            a::add_layer_version_permission::call(control, route, request).await
        }
        Operation::AddPermission => a::add_permission::call(control, route, request).await,
        Operation::CreateAlias => a::create_alias::call(control, route, request).await,
        Operation::CreateEventSourceMapping => a::create_event_source_mapping::call(control, request).await,
        Operation::CreateCodeSigningConfig => a::create_code_signing_config::call(control, request).await,
        Operation::CreateFunction => a::create_function::call(control, request, package).await,
        Operation::CreateFunctionUrlConfig => {
            a::create_function_url_config::call(control, route, request).await
        }
        Operation::DeleteAlias => a::delete_alias::call(control, route, head).await,
        Operation::DeleteEventSourceMapping => {
            a::delete_event_source_mapping::call(control, route, head).await
        }
        Operation::DeleteCodeSigningConfig => a::delete_code_signing_config::call(control, route, head).await,
        Operation::DeleteFunction => a::delete_function::call(control, route, head).await,
        Operation::DeleteLayerVersion => a::delete_layer_version::call(control, route, head).await,
        Operation::DeleteFunctionCodeSigningConfig => {
            a::delete_function_code_signing_config::call(control, route, head).await
        }
        Operation::DeleteFunctionConcurrency => {
            a::delete_function_concurrency::call(control, route, head).await
        }
        Operation::DeleteFunctionEventInvokeConfig => {
            a::delete_function_event_invoke_config::call(control, route, head).await
        }
        Operation::DeleteProvisionedConcurrencyConfig => {
            a::delete_provisioned_concurrency_config::call(control, route, head).await
        }
        Operation::DeleteFunctionUrlConfig => a::delete_function_url_config::call(control, route, head).await,
        Operation::GetAccountSettings => a::get_account_settings::call(control, head).await,
        Operation::GetAlias => a::get_alias::call(control, route, head).await,
        Operation::GetEventSourceMapping => a::get_event_source_mapping::call(control, route, head).await,
        Operation::GetCodeSigningConfig => a::get_code_signing_config::call(control, route, head).await,
        Operation::GetFunction => a::get_function::call(control, route, head).await,
        Operation::GetFunctionCodeSigningConfig => {
            a::get_function_code_signing_config::call(control, route, head).await
        }
        Operation::GetFunctionConcurrency => a::get_function_concurrency::call(control, route, head).await,
        Operation::GetFunctionConfiguration => {
            a::get_function_configuration::call(control, route, head).await
        }
        Operation::GetLayerVersion => a::get_layer_version::call(control, route, head).await,
        Operation::GetLayerVersionByArn => a::get_layer_version_by_arn::call(control, head).await,
        Operation::GetLayerVersionPolicy => a::get_layer_version_policy::call(control, route, head).await,
        Operation::GetFunctionEventInvokeConfig => {
            a::get_function_event_invoke_config::call(control, route, head).await
        }
        Operation::GetFunctionRecursionConfig => {
            a::get_function_recursion_config::call(control, route, head).await
        }
        Operation::GetFunctionUrlConfig => a::get_function_url_config::call(control, route, head).await,
        Operation::GetProvisionedConcurrencyConfig => {
            a::get_provisioned_concurrency_config::call(control, route, head).await
        }
        Operation::GetPolicy => a::get_policy::call(control, route, head).await,
        Operation::GetRuntimeManagementConfig => {
            a::get_runtime_management_config::call(control, route, head).await
        }
        Operation::Invoke => a::invoke::call(control, route, request).await,
        Operation::InvokeAsync => a::invoke_async::call(control, route, request).await,
        Operation::InvokeWithResponseStream => {
            a::invoke_with_response_stream::call(control, route, request).await
        }
        Operation::ListAliases => a::list_aliases::call(control, route, head).await,
        Operation::ListEventSourceMappings => a::list_event_source_mappings::call(control, head).await,
        Operation::ListCodeSigningConfigs => a::list_code_signing_configs::call(control, head).await,
        Operation::ListFunctionEventInvokeConfigs => {
            a::list_function_event_invoke_configs::call(control, route, head).await
        }
        Operation::ListFunctionUrlConfigs => a::list_function_url_configs::call(control, route, head).await,
        Operation::ListFunctions => a::list_functions::call(control, head).await,
        Operation::ListLayerVersions => a::list_layer_versions::call(control, route, head).await,
        Operation::ListLayers => a::list_layers::call(control, head).await,
        Operation::ListFunctionsByCodeSigningConfig => {
            a::list_functions_by_code_signing_config::call(control, route, head).await
        }
        Operation::ListProvisionedConcurrencyConfigs => {
            a::list_provisioned_concurrency_configs::call(control, route, head).await
        }
        Operation::ListTags => a::list_tags::call(control, route, head).await,
        Operation::ListVersionsByFunction => a::list_versions_by_function::call(control, route, head).await,
        Operation::PublishLayerVersion => {
            a::publish_layer_version::call(control, route, request, package).await
        }
        Operation::PublishVersion => a::publish_version::call(control, route, request).await,
        Operation::RemoveLayerVersionPermission => {
            a::remove_layer_version_permission::call(control, route, head).await
        }
        Operation::PutFunctionCodeSigningConfig => {
            a::put_function_code_signing_config::call(control, route, request).await
        }
        Operation::PutFunctionConcurrency => a::put_function_concurrency::call(control, route, request).await,
        Operation::PutFunctionEventInvokeConfig => {
            a::put_function_event_invoke_config::call(control, route, request).await
        }
        Operation::PutProvisionedConcurrencyConfig => {
            a::put_provisioned_concurrency_config::call(control, route, request).await
        }
        Operation::PutFunctionRecursionConfig => {
            a::put_function_recursion_config::call(control, route, request).await
        }
        Operation::PutRuntimeManagementConfig => {
            a::put_runtime_management_config::call(control, route, request).await
        }
        Operation::RemovePermission => a::remove_permission::call(control, route, head).await,
        Operation::TagResource => a::tag_resource::call(control, route, request).await,
        Operation::UntagResource => a::untag_resource::call(control, route, head).await,
        Operation::UpdateAlias => a::update_alias::call(control, route, request).await,
        Operation::UpdateEventSourceMapping => {
            a::update_event_source_mapping::call(control, route, request).await
        }
        Operation::UpdateCodeSigningConfig => {
            a::update_code_signing_config::call(control, route, request).await
        }
        Operation::UpdateFunctionCode => {
            a::update_function_code::call(control, route, request, package).await
        }
        Operation::UpdateFunctionConfiguration => {
            a::update_function_configuration::call(control, route, request).await
        }
        Operation::UpdateFunctionEventInvokeConfig => {
            a::update_function_event_invoke_config::call(control, route, request).await
        }
        Operation::UpdateFunctionUrlConfig => {
            a::update_function_url_config::call(control, route, request).await
        }
    }
}

fn route(head: &RequestHead) -> Routed {
    Operation::route(&head.method, &head.path, |name, value| head.query.get(name) == Some(value))
}

/// The operation alone.
fn operation(head: &RequestHead) -> Option<Operation> {
    Operation::of(&head.method, &head.path, |name, value| head.query.get(name) == Some(value))
}

/// The name of the operation that a request asks for, for errors.
fn name(head: &RequestHead) -> &'static str {
    match route(head) {
        Routed::Offered(route) => route.operation.name(),
        Routed::Unoffered(unoffered) => unoffered.name,
        Routed::Unknown => "requested",
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
        match operation(head) {
            Some(operation) if operation.archive().is_some() => {
                package_body(self.control.options().code_size_zipped)
            }
            Some(Operation::Invoke) if actions::invoke::is_asynchronous(head) => limits::ASYNC_PAYLOAD,
            Some(Operation::Invoke | Operation::InvokeWithResponseStream) => limits::SYNC_PAYLOAD,
            Some(Operation::InvokeAsync) => limits::INVOKE_ASYNC_PAYLOAD,
            _ => SETTINGS_BODY,
        }
    }

    fn refuse(&self, head: &RequestHead, why: Refusal) -> AwsResponse {
        error_response(&match why {
            Refusal::NotSigned => ApiError::MissingAuthenticationToken,
            Refusal::BodyTooLarge { limit } => {
                let text = |name: &str| {
                    format!("Request must be smaller than {limit} bytes for the {name} operation")
                };
                match name(head) {
                    "Invoke" => ApiError::RequestTooLarge(text("InvokeFunction")),
                    name @ "InvokeWithResponseStream" => ApiError::RequestTooLarge(text(name)),
                    name => ApiError::RequestEntityTooLarge(text(name)),
                }
            }
        })
    }

    fn reads_body(&self, head: &RequestHead) -> bool {
        operation(head).is_some_and(|operation| operation.archive().is_some())
    }

    fn call_with_body(self: Arc<Self>, head: RequestHead, body: RequestBody) -> ServiceFuture {
        Box::pin(async move {
            let limit = body.limit();
            let Routed::Offered(route) = route(&head) else { return empty(StatusCode::BAD_REQUEST) };
            let path = route.operation.archive().unwrap_or_default();
            match uploads::receive(&self.control, path, body).await {
                Ok(Upload { document, package }) => {
                    self.answer(route, AwsRequest { head, body: document }, package).await
                }
                Err(UploadError::Body(BodyError::TooLarge) | UploadError::Scan(ScanError::TooLong)) => {
                    self.refuse(&head, Refusal::BodyTooLarge { limit })
                }
                Err(UploadError::Body(BodyError::NoRoom)) => empty(StatusCode::SERVICE_UNAVAILABLE),
                Err(UploadError::Body(error @ BodyError::Broken(_))) => {
                    tracing::debug!(%error, "a request broke off");
                    empty(StatusCode::BAD_REQUEST)
                }
                Err(UploadError::Scan(error @ ScanError::NotBase64)) => {
                    error_response(&ApiError::Serialization(error.to_string()))
                }
                Err(UploadError::Package(error)) => error_response(&actions::package_error(error)),
            }
        })
    }

    fn call(self: Arc<Self>, request: AwsRequest) -> ServiceFuture {
        match route(&request.head) {
            // Events come often: their future is not as large as that of all operations.
            Routed::Offered(route) if route.operation == Operation::Invoke => Box::pin(async move {
                let result = actions::invoke::call(&self.control, &route, request).await;
                result.unwrap_or_else(|error| error_response(&error))
            }),
            Routed::Offered(route) => Box::pin(async move { self.answer(route, request, None).await }),
            Routed::Unoffered(Unoffered { name, reason, .. }) => {
                let response = error_response(&ApiError::NotOffered { name, reason });
                Box::pin(std::future::ready(response))
            }
            Routed::Unknown => {
                let response = error_response(&unknown_operation(&request.head.method, &request.head.path));
                Box::pin(std::future::ready(response))
            }
        }
    }
}

fn unknown_operation(method: &Method, path: &str) -> ApiError {
    ApiError::UnknownOperation(format!(
        "the Lambda API has no operation {method} {path}; see docs/compatibility.md for those that there are"
    ))
}

/// An error with the headers by which clients recognise it (API-707, API-708).
fn error_response(error: &ApiError) -> AwsResponse {
    let mut response = json(error.status(), &error.body());
    let headers = response.headers_mut();
    headers.insert(HeaderName::from_static("x-amzn-errortype"), HeaderValue::from_static(error.code()));
    if let ApiError::TooManyRequests(throttling) = error {
        headers.insert(http::header::RETRY_AFTER, HeaderValue::from(throttling.retry_after));
    }
    response
}

/// A successful answer.
pub(crate) fn success(status: StatusCode, body: &impl serde::Serialize) -> Result<AwsResponse, ApiError> {
    Ok(json(status, body))
}
