//! A test extension on the unmodified `lambda-extension` crate: follows all events, and subscribes to telemetry. It
//! prints what it gets, which lands in the function's log.

use lambda_extension::{
    Error, Extension, LambdaEvent, LambdaTelemetry, LambdaTelemetryRecord, NextEvent, SharedService,
    service_fn,
};

#[tokio::main]
async fn main() -> Result<(), Error> {
    let telemetry = SharedService::new(service_fn(receive));
    Extension::new()
        .with_events(&["INVOKE", "SHUTDOWN"])
        .with_events_processor(service_fn(follow))
        .with_telemetry_processor(telemetry)
        .with_telemetry_types(&["platform", "function"])
        .run()
        .await
}

async fn follow(event: LambdaEvent) -> Result<(), Error> {
    match event.next {
        NextEvent::Invoke(invoke) => println!("crate INVOKE {}", invoke.request_id),
        NextEvent::Shutdown(shutdown) => println!("crate SHUTDOWN {}", shutdown.shutdown_reason),
    }
    Ok(())
}

async fn receive(events: Vec<LambdaTelemetry>) -> Result<(), Error> {
    for event in events {
        match event.record {
            LambdaTelemetryRecord::Function(line) => println!("crate function {line}"),
            LambdaTelemetryRecord::PlatformInitStart { .. } => println!("crate initStart"),
            LambdaTelemetryRecord::PlatformReport { request_id, .. } => println!("crate report {request_id}"),
            _ => {}
        }
    }
    Ok(())
}
