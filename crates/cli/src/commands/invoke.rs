//! `lambd invoke`.

use serde_json::{Value, json};

use crate::args::{InvokeArgs, Output};
use crate::client::{Client, Invocation, InvocationMode};
use crate::console::{Console, Paint};
use crate::failure::{Exit, Failure};

pub(crate) async fn run(args: InvokeArgs, console: &Console) -> Result<Exit, Failure> {
    let client = Client::from_flags(&args.client)?;
    let payload = match &args.payload {
        Some(document) => document.read().await?,
        None => Vec::new(),
    };
    let mode =
        if args.asynchronous { InvocationMode::Queue } else { InvocationMode::Wait { log_tail: args.log } };
    let done = client.invoke(&args.name, args.qualifier.as_deref(), mode, payload.into()).await?;
    match args.output {
        Output::Json => console.out(&as_json(&done).to_string())?,
        Output::Text => as_text(&done, mode, console)?,
    }
    Ok(if done.function_error.is_some() { Exit::Bad } else { Exit::Good })
}

fn as_text(done: &Invocation, mode: InvocationMode, console: &Console) -> Result<(), Failure> {
    if let Some(tail) = &done.log_tail {
        console.err(tail.trim_end())?;
    }
    match (&done.function_error, mode) {
        (Some(kind), _) => console.err(&error_text(kind, &done.payload, console.err_paint()))?,
        (None, InvocationMode::Queue) => {
            console.err(&format!("accepted, request {}", done.request_id.as_deref().unwrap_or("unknown")))?;
        }
        (None, InvocationMode::Wait { .. }) => console.out_raw(&done.payload)?,
    }
    Ok(())
}

/// A function's error for people: type and message, then the stack trace as the runtime gave it.
pub(crate) fn error_text(kind: &str, payload: &[u8], paint: Paint) -> String {
    let document: Value = serde_json::from_slice(payload).unwrap_or_default();
    let field = |name: &str| document.get(name).and_then(Value::as_str);
    let headline = match (field("errorType"), field("errorMessage")) {
        (Some(class), Some(message)) => format!("{class}: {message}"),
        (None, Some(text)) | (Some(text), None) => text.to_owned(),
        (None, None) => String::from_utf8_lossy(payload).into_owned(),
    };
    let trace = document.get("stackTrace").or_else(|| document.get("trace")).and_then(Value::as_array);
    let frames = trace.into_iter().flatten().filter_map(Value::as_str);
    let frames: Vec<String> = frames.map(|frame| format!("  {}", frame.trim_end())).collect();
    let head = format!("{} {headline}", paint.red(&format!("function error ({kind}):")));
    if frames.is_empty() { head } else { format!("{head}\n{}", paint.dim(&frames.join("\n"))) }
}

fn as_json(done: &Invocation) -> Value {
    let payload = serde_json::from_slice(&done.payload)
        .unwrap_or_else(|_| Value::from(String::from_utf8_lossy(&done.payload).into_owned()));
    json!({
        "StatusCode": done.status,
        "RequestId": done.request_id,
        "ExecutedVersion": done.executed_version,
        "FunctionError": done.function_error,
        "LogTail": done.log_tail,
        "Payload": payload,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_read_like_the_language_writes_them() {
        let payload =
            br#"{"errorType":"KeyError","errorMessage":"'x'","stackTrace":["  File \"app.py\", line 3\n"]}"#;
        assert_eq!(
            error_text("Unhandled", payload, Paint(false)),
            "function error (Unhandled): KeyError: 'x'\n    File \"app.py\", line 3"
        );
        assert_eq!(error_text("Unhandled", b"\xff!", Paint(false)), "function error (Unhandled): \u{fffd}!");
    }
}
