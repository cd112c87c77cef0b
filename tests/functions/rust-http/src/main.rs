//! Function on the official `lambda_http` crate, used unmodified: it answers API Gateway's events with what the
//! crate made of them, so that tests can compare. `/fail` ends in an error, `/binary` in all 256 bytes.

use lambda_http::http::{Response, StatusCode};
use lambda_http::{Body, Error, Request, RequestExt as _, RequestPayloadExt as _, run, service_fn};
use serde_json::{Value, json};

async fn answer(request: Request) -> Result<Response<Body>, Error> {
    match request.uri().path() {
        "/fail" => return Err("on purpose".into()),
        "/binary" => {
            let all: Vec<u8> = (0..=u8::MAX).collect();
            return Ok(Response::builder().header("content-type", "image/png").body(Body::Binary(all))?);
        }
        _ => {}
    }
    let query = request.query_string_parameters();
    let body = json!({
        "method": request.method().as_str(),
        "path": request.uri().path(),
        "q": query.all("q").unwrap_or_default(),
        "parameter": request.path_parameters().first("id"),
        "json": request.payload::<Value>()?,
        "function": request.lambda_context_ref().map(|context| context.env_config.function_name.clone()),
    });
    let response = Response::builder().status(StatusCode::CREATED).header("content-type", "application/json");
    let response = response.header("set-cookie", "a=1").header("set-cookie", "b=2");
    Ok(response.body(Body::Text(body.to_string()))?)
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    run(service_fn(answer)).await
}
