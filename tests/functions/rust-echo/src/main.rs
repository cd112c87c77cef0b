//! Echo function on the official `lambda_runtime` crate, used unmodified: what a Rust user deploys.
//!
//! It returns its event as it came, so tests can compare bytes and the benchmark measures the
//! system instead of the function. Two event members ask for more: `"fail"` makes it return an
//! error with that text, `"context"` makes it answer with the context that the crate built from
//! the Runtime API's headers.

use lambda_runtime::{Error, LambdaEvent, run, service_fn};
use serde_json::{Value, json};

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
    run(service_fn(echo)).await
}
