//! Building responses.

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Response, StatusCode};
use http_body_util::Full;

/// A whole response.
pub type AwsResponse = Response<Full<Bytes>>;

/// A response without a body.
pub fn empty(status: StatusCode) -> AwsResponse {
    let mut response = Response::new(Full::default());
    *response.status_mut() = status;
    response
}

/// A response with a body of the given content type.
pub fn text(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> AwsResponse {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

/// A JSON response.
pub fn json(status: StatusCode, body: &impl serde::Serialize) -> AwsResponse {
    match serde_json::to_vec(body) {
        Ok(bytes) => text(status, "application/json", bytes),
        Err(error) => {
            tracing::error!(%error, "a response could not be written as JSON");
            empty(StatusCode::INTERNAL_SERVER_ERROR)
        }
    }
}
