use lambd_api::mappings::CreateEventSourceMapping;
use lambd_api::requests;
use serde_json::{Value, json};

use super::*;

const NOW: f64 = 1_700_000_000.0;

fn parsed(document: Value) -> CreateEventSourceMapping {
    requests::parse(document.to_string().as_bytes()).unwrap()
}

fn created(document: Value) -> Result<Value, String> {
    let request = parsed(document);
    let mut violations = Violations::default();
    check_model(&request.origin, &request.settings, &mut violations);
    violations.into_result().map_err(|e| e.to_string())?;
    let (_, checked) = create(request.origin, request.settings, "UUID", NOW).map_err(|e| e.to_string())?;
    Ok(serde_json::to_value(checked.settings).unwrap())
}

fn source(arn: &str) -> Value {
    json!({ "EventSourceArn": format!("arn:aws:{arn}") })
}

fn with(arn: &str, more: Value) -> Value {
    let mut document = source(arn);
    document.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    document
}

const QUEUE: &str = "sqs:us-east-1:123456789012:q";
const FIFO: &str = "sqs:us-east-1:123456789012:q.fifo";
const TABLE: &str = "dynamodb:us-east-1:123456789012:table/t/stream/2019-06-10T19:26:16.525";
const STREAM: &str = "kinesis:us-east-1:123456789012:stream/s";

/// CORE-284, API-612..616: what a mapping does not say depends on its source.
#[test]
fn defaults_of_the_kinds() {
    assert_eq!(
        created(source(QUEUE)),
        Ok(json!({ "BatchSize": 10, "MaximumBatchingWindowInSeconds": 0, "FunctionResponseTypes": [] }))
    );
    let stream = json!({
        "BatchSize": 100, "MaximumBatchingWindowInSeconds": 0, "FunctionResponseTypes": [],
        "ParallelizationFactor": 1, "TumblingWindowInSeconds": 0, "BisectBatchOnFunctionError": false,
        "MaximumRecordAgeInSeconds": -1, "MaximumRetryAttempts": -1, "DestinationConfig": {},
    });
    for arn in [TABLE, STREAM, "kinesis:us-east-1:123456789012:stream/s/consumer/c:1"] {
        assert_eq!(created(with(arn, json!({ "StartingPosition": "LATEST" }))), Ok(stream.clone()), "{arn}");
    }
    let kafka = created(json!({
        "SelfManagedEventSource": { "Endpoints": { "KAFKA_BOOTSTRAP_SERVERS": ["a.b:9092"] } },
        "Topics": ["tt"], "StartingPosition": "LATEST",
    }));
    assert_eq!(kafka.unwrap()["SelfManagedKafkaEventSourceConfig"], json!({ "ConsumerGroupId": "UUID" }));
}

/// The text of a refusal, or what was made of the request.
fn refusal(document: Value) -> String {
    created(document).map_or_else(|e| e, |made| format!("accepted: {made}"))
}

#[test]
fn arns_of_other_things_are_no_sources() {
    for arn in [
        "s3:::bucket",
        "sqs:us-east-1:123456789012:",
        "kinesis:us-east-1:123456789012:s",
        "dynamodb:us-east-1:123456789012:table/t",
        "kafka:us-east-1:123456789012:topic/t",
        "sqs:us-east-1:123456789012:a b",
    ] {
        assert!(refusal(source(arn)).starts_with("Unrecognized event source"), "{arn}");
    }
    assert_eq!(refusal(json!({})), "Unrecognized event source.");
    let text = refusal(json!({ "EventSourceArn": "queue" }));
    assert!(text.contains("Value 'queue' at 'eventSourceArn' failed"), "{text}");
}

/// API-612, API-614, API-617, API-618: rules beyond the model.
#[test]
fn rules_by_kind() {
    let at = |value: f64| json!({ "StartingPosition": "AT_TIMESTAMP", "StartingPositionTimestamp": value });
    for (arn, more, part) in [
        (QUEUE, json!({ "BatchSize": 11 }), "Maximum batch window in seconds must be greater than 0"),
        (QUEUE, json!({ "BatchSize": 11, "MaximumBatchingWindowInSeconds": 1 }), "accepted"),
        (FIFO, json!({ "BatchSize": 11 }), "at most 10 for FIFO"),
        (FIFO, json!({ "MaximumBatchingWindowInSeconds": 1 }), "not supported for FIFO"),
        (QUEUE, json!({ "StartingPosition": "LATEST" }), "StartingPosition is not valid for SQS"),
        (QUEUE, json!({ "ParallelizationFactor": 2 }), "Unsupported 'parallelizationFactor' parameter"),
        (QUEUE, json!({ "MaximumRetryAttempts": 2 }), "Unsupported 'maximumRetryAttempts' parameter"),
        (QUEUE, json!({ "ScalingConfig": { "MaximumConcurrency": 2 } }), "accepted"),
        (QUEUE, json!({ "KMSKeyArn": "arn:aws:kms:us-east-1:123456789012:key/k" }), "KMSKeyArn"),
        (STREAM, json!({}), "Value null at 'startingPosition'"),
        (STREAM, json!({ "StartingPosition": "AT_TIMESTAMP" }), "Need to specify a timestamp"),
        (STREAM, at(NOW), "accepted"),
        (STREAM, at(NOW + 1.0), "cannot be in the future"),
        (TABLE, at(NOW), "Unsupported starting position for arn type"),
        (STREAM, json!({ "StartingPosition": "LATEST", "StartingPositionTimestamp": 1 }), "only valid with"),
        (
            STREAM,
            json!({ "StartingPosition": "LATEST", "MaximumRecordAgeInSeconds": 59 }),
            "-1 or between 60",
        ),
        (
            STREAM,
            json!({ "StartingPosition": "LATEST", "ScalingConfig": { "MaximumConcurrency": 2 } }),
            "Unsupported 'scalingConfig'",
        ),
        (
            STREAM,
            json!({ "StartingPosition": "LATEST", "DestinationConfig":
                { "OnSuccess": { "Destination": "arn:aws:sqs:us-east-1:123456789012:q" } } }),
            "no OnSuccess destination",
        ),
        (
            STREAM,
            json!({ "StartingPosition": "LATEST", "DestinationConfig":
                { "OnFailure": { "Destination": "arn:aws:lambda:us-east-1:123456789012:function:f" } } }),
            "is invalid: it must be",
        ),
        ("mq:us-east-1:123456789012:broker:b:1", json!({}), "Queues must be"),
        ("mq:us-east-1:123456789012:broker:b:1", json!({ "Queues": ["q"] }), "BASIC_AUTH"),
        ("rds:us-east-1:123456789012:cluster:c", json!({ "StartingPosition": "LATEST" }), "BASIC_AUTH"),
        ("kafka:us-east-1:123456789012:cluster/c/1", json!({ "StartingPosition": "LATEST" }), "Topics must"),
    ] {
        let text = refusal(with(arn, more.clone()));
        assert!(text.contains(part), "{arn} {more}: {text}");
    }
}

/// API-146, SVC1-252: an update leaves alone what it does not name; what is empty clears.
#[test]
fn updates_merge() {
    let filter = json!({ "Filters": [{ "Pattern": "{\"a\":[1]}" }] });
    let request = parsed(with(
        QUEUE,
        json!({ "FilterCriteria": filter, "ScalingConfig": { "MaximumConcurrency": 5 } }),
    ));
    let (_, before) = create(request.origin, request.settings, "UUID", NOW).unwrap();
    let change = |document: Value| {
        let change: lambd_api::mappings::UpdateEventSourceMapping =
            requests::parse(document.to_string().as_bytes()).unwrap();
        update(&before, change.settings, "UUID").map(|after| after.settings).map_err(|e| e.to_string())
    };
    assert_eq!(change(json!({})), Ok(before.settings.clone()));
    let after = change(json!({ "BatchSize": 3, "FilterCriteria": {} })).unwrap();
    assert_eq!((after.batch_size, after.filter_criteria), (Some(3), None));
    assert_eq!(after.scaling_config, before.settings.scaling_config);
    assert_eq!(change(json!({ "ScalingConfig": {} })).unwrap().scaling_config, None);
    assert!(change(json!({ "BatchSize": 30 })).unwrap_err().contains("batch window"));
    assert!(change(json!({ "TumblingWindowInSeconds": 3 })).unwrap_err().contains("tumblingWindowInSeconds"));
}

/// What makes two mappings the same.
#[test]
fn identities() {
    let of = |document: Value| identity(&parsed(document).origin, "F");
    assert_eq!(of(source(QUEUE)), of(with(QUEUE, json!({ "BatchSize": 2 }))));
    assert_ne!(of(source(QUEUE)), of(source(FIFO)));
    let kafka = |servers: &[&str], topic: &str| {
        of(
            json!({ "SelfManagedEventSource": { "Endpoints": { "KAFKA_BOOTSTRAP_SERVERS": servers } }, "Topics": [topic] }),
        )
    };
    assert_eq!(kafka(&["a:1", "b:1"], "t"), kafka(&["b:1", "a:1"], "t"));
    assert_ne!(kafka(&["a:1"], "t"), kafka(&["a:1"], "u"));
}
