//! Echo function on the official `lambda_runtime` crate, used unmodified: what a Rust user deploys.
//!
//! It returns its event as it came, so tests can compare bytes and the benchmark measures the
//! system instead of the function. Two event members ask for more: `"fail"` makes it return an
//! error with that text, `"context"` makes it answer with the context that the crate built from
//! the Runtime API's headers, `"stream"` makes it stream so many `"parts"` of so many `"bytes"`, with
//! a pause of so many milliseconds between them (`"pause"`) and perhaps an error after them (`"fail"`).

use std::time::Duration;

use lambda_runtime::streaming::{Body, channel};
use lambda_runtime::{Error, FunctionResponse, LambdaEvent, StreamResponse, run, service_fn};
use serde_json::{Value, json};

async fn answer(event: LambdaEvent<Value>) -> Result<FunctionResponse<Value, Body>, Error> {
    match event.payload.get("stream") {
        Some(wanted) => Ok(FunctionResponse::StreamingResponse(StreamResponse::from(stream(wanted)))),
        None => echo(event).await.map(FunctionResponse::BufferedResponse),
    }
}

fn stream(wanted: &Value) -> Body {
    let number = |name: &str| wanted.get(name).and_then(Value::as_u64).unwrap_or_default();
    let (parts, pause) = (number("parts"), Duration::from_millis(number("pause")));
    let part = vec![b'x'; number("bytes") as usize];
    let fails = wanted.get("fail").is_some();
    let (mut sender, body) = channel();
    tokio::spawn(async move {
        for number in 0..parts {
            if number > 0 && !pause.is_zero() {
                tokio::time::sleep(pause).await;
            }
            if sender.send_data(part.clone().into()).await.is_err() {
                return;
            }
        }
        if fails {
            sender.abort();
        }
    });
    body
}

async fn echo(event: LambdaEvent<Value>) -> Result<Value, Error> {
    let (payload, context) = event.into_parts();
    if let Some(message) = payload.get("fail").and_then(Value::as_str) {
        return Err(message.into());
    }
    if payload.get("context").is_some() {
        return Ok(json!({
            "request_id": context.request_id,
            "deadline": context.deadline,
            "arn": context.invoked_function_arn,
            "function_name": context.env_config.function_name,
            "memory": context.env_config.memory,
            "version": context.env_config.version,
            "log_group": context.env_config.log_group,
            "log_stream": context.env_config.log_stream,
        }));
    }
    Ok(payload)
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    run(service_fn(answer)).await
}
