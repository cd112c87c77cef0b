//! Workflow W4 and the errors beside it, queues and topics, with the AWS SDK for Rust, unmodified.

use std::time::{Duration, Instant};

use aws_credential_types::Credentials;
use aws_sdk_lambda::config::{BehaviorVersion, Region};
use aws_sdk_lambda::error::ProvideErrorMetadata as _;
use aws_sdk_lambda::primitives::Blob;
use aws_sdk_lambda::types::{
    Environment, FunctionCode, InvocationType, LastUpdateStatus, LogType, Runtime, State,
};
use aws_smithy_http_client::Builder as HttpBuilder;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use lambd_rust_sdk_tests::{Daemon, given};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

#[path = "rust_sdk/every_operation.rs"]
mod every_operation;
#[path = "rust_sdk/messages.rs"]
mod messages;

const ROLE: &str = "arn:aws:iam::000000000000:role/lambda-ex";

fn credentials() -> Credentials {
    Credentials::new("test", "test", None, None, "tests")
}

fn lambda(daemon: &Daemon) -> aws_sdk_lambda::Client {
    let config = aws_sdk_lambda::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .endpoint_url(daemon.url())
        .credentials_provider(credentials())
        .http_client(HttpBuilder::new().build_http())
        .build();
    aws_sdk_lambda::Client::from_conf(config)
}

fn logs(daemon: &Daemon) -> aws_sdk_cloudwatchlogs::Client {
    let config = aws_sdk_cloudwatchlogs::Config::builder()
        .behavior_version(aws_sdk_cloudwatchlogs::config::BehaviorVersion::latest())
        .region(aws_sdk_cloudwatchlogs::config::Region::new("us-east-1"))
        .endpoint_url(daemon.url())
        .credentials_provider(credentials())
        .http_client(HttpBuilder::new().build_http())
        .build();
    aws_sdk_cloudwatchlogs::Client::from_conf(config)
}

fn package() -> Vec<u8> {
    std::fs::read(given("LAMBD_RUST_ECHO_ZIP")).expect("the package of the test function")
}

async fn create(client: &aws_sdk_lambda::Client, name: &str, zip: Vec<u8>) {
    let made = client
        .create_function()
        .function_name(name)
        .runtime(Runtime::Providedal2023)
        .handler("bootstrap")
        .role(ROLE)
        .timeout(10)
        .code(FunctionCode::builder().zip_file(Blob::new(zip.clone())).build())
        .send()
        .await
        .expect("create_function");
    assert_eq!(made.function_name(), Some(name));
    assert_eq!(made.version(), Some("$LATEST"));
    assert_eq!(made.code_size(), i64::try_from(zip.len()).unwrap());
    assert_eq!(made.code_sha256(), Some(STANDARD.encode(Sha256::digest(&zip)).as_str()));
    settled(client, name).await;
}

/// Waits until the function can be invoked with its last update.
async fn settled(client: &aws_sdk_lambda::Client, name: &str) {
    let start = Instant::now();
    loop {
        let found =
            client.get_function_configuration().function_name(name).send().await.expect("its configuration");
        if found.state() == Some(&State::Active)
            && found.last_update_status() == Some(&LastUpdateStatus::Successful)
        {
            return;
        }
        assert!(start.elapsed() < Duration::from_secs(30), "{name} stayed {:?}", found.state());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn invoke(
    client: &aws_sdk_lambda::Client,
    name: &str,
    event: &Value,
) -> (Value, Option<String>, String) {
    let answer = client
        .invoke()
        .function_name(name)
        .log_type(LogType::Tail)
        .payload(Blob::new(event.to_string()))
        .send()
        .await
        .expect("invoke");
    assert_eq!(answer.status_code(), 200);
    assert_eq!(answer.executed_version(), Some("$LATEST"));
    let tail = STANDARD.decode(answer.log_result().expect("a log tail")).expect("base64");
    let payload = serde_json::from_slice(answer.payload().expect("a payload").as_ref()).expect("JSON");
    (payload, answer.function_error().map(str::to_owned), String::from_utf8_lossy(&tail).into_owned())
}

/// W4, CORE-053..061, CORE-063..065, RT-25: a function's whole life.
#[tokio::test]
async fn w4_end_to_end() {
    let daemon = Daemon::start();
    let trust = "%7B%22Version%22%3A%222012-10-17%22%2C%22Statement%22%3A%5B%5D%7D";
    let role = daemon.iam(&format!(
        "Action=CreateRole&Version=2010-05-08&RoleName=lambda-ex&AssumeRolePolicyDocument={trust}"
    ));
    assert!(role.contains(&format!("<Arn>{ROLE}</Arn>")), "{role}");
    let client = lambda(&daemon);
    let zip = package();
    create(&client, "w4", zip.clone()).await;

    let event = json!({"text": "Hello ü", "list": [1, 2.5, null]});
    let (payload, error, tail) = invoke(&client, "w4", &event).await;
    assert_eq!((payload, error), (event, None));
    assert!(tail.contains("START RequestId: ") && tail.contains("END RequestId: "), "{tail}");
    assert!(tail.lines().last().is_some_and(|line| line.starts_with("REPORT RequestId: ")), "{tail}");

    let (context, ..) = invoke(&client, "w4", &json!({"context": true})).await;
    let stream = context["log_stream"].as_str().expect("a log stream").to_owned();
    let request = context["request_id"].as_str().expect("a request id").to_owned();
    let messages = log(&daemon, &stream, &request).await;
    assert!(messages.contains(&format!("START RequestId: {request} Version: $LATEST\n")), "{messages:?}");

    let listed = client.list_functions().max_items(10).send().await.expect("list_functions");
    let names: Vec<_> = listed.functions().iter().filter_map(|f| f.function_name()).collect();
    assert_eq!(names, ["w4"]);

    let got = client.get_function().function_name("w4").send().await.expect("get_function");
    let link = got.code().and_then(|code| code.location()).expect("a link").to_owned();
    assert_eq!(daemon.download(&link), zip);

    client.delete_function().function_name("w4").send().await.expect("delete_function");
    let gone = client
        .get_function()
        .function_name("w4")
        .send()
        .await
        .expect_err("it is deleted")
        .into_service_error();
    assert!(gone.is_resource_not_found_exception(), "{gone:?}");
    assert_eq!(log(&daemon, &stream, &request).await, messages);
}

/// The messages of a stream once the request's REPORT line is among them (CORE-061).
async fn log(daemon: &Daemon, stream: &str, request: &str) -> Vec<String> {
    let client = logs(daemon);
    let start = Instant::now();
    loop {
        let page = client
            .get_log_events()
            .log_group_name("/aws/lambda/w4")
            .log_stream_name(stream)
            .start_from_head(true)
            .send()
            .await
            .expect("get_log_events");
        let messages: Vec<String> =
            page.events().iter().filter_map(|e| e.message().map(str::to_owned)).collect();
        if messages.iter().any(|m| m.starts_with(&format!("REPORT RequestId: {request}"))) {
            return messages;
        }
        assert!(start.elapsed() < Duration::from_secs(15), "no REPORT line: {messages:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// API-147, API-148, API-010, API-309: updates, and the revision that guards them.
#[tokio::test]
async fn updates() {
    let daemon = Daemon::start();
    let client = lambda(&daemon);
    create(&client, "f", package()).await;
    let first = client.get_function_configuration().function_name("f").send().await.expect("configuration");
    let changed = client
        .update_function_configuration()
        .function_name("f")
        .memory_size(256)
        .environment(Environment::builder().variables("STAGE", "test").build())
        .revision_id(first.revision_id().expect("a revision"))
        .send()
        .await
        .expect("update_function_configuration");
    assert_eq!(changed.memory_size(), Some(256));
    settled(&client, "f").await;
    let (context, ..) = invoke(&client, "f", &json!({"context": true})).await;
    assert_eq!(context["memory"], 256);
    let stale = client
        .update_function_code()
        .function_name("f")
        .zip_file(Blob::new(package()))
        .revision_id(first.revision_id().expect("a revision"))
        .send()
        .await
        .expect_err("the revision is stale")
        .into_service_error();
    assert!(stale.is_precondition_failed_exception(), "{stale:?}");
}

/// API-125.7, API-125.9, API-306, API-308, API-707: how the SDK sees dry runs, function errors and refusals.
#[tokio::test]
async fn errors_have_their_types() {
    let daemon = Daemon::start();
    let client = lambda(&daemon);
    create(&client, "f", package()).await;
    let dry = client
        .invoke()
        .function_name("f")
        .invocation_type(InvocationType::DryRun)
        .send()
        .await
        .expect("dry run");
    assert_eq!(dry.status_code(), 204);

    let (document, error, _) = invoke(&client, "f", &json!({"fail": "on purpose"})).await;
    assert_eq!(error.as_deref(), Some("Unhandled"));
    assert_eq!(document["errorMessage"], "on purpose");

    let unknown =
        client.invoke().function_name("nothing").send().await.expect_err("unknown").into_service_error();
    assert!(unknown.is_resource_not_found_exception(), "{unknown:?}");
    assert_eq!(
        unknown.message(),
        Some("Function not found: arn:aws:lambda:us-east-1:000000000000:function:nothing")
    );
    let broken = client.invoke().function_name("f").payload(Blob::new("value")).send().await;
    let broken = broken.expect_err("not JSON").into_service_error();
    assert!(broken.is_invalid_request_content_exception(), "{broken:?}");

    let twice = client
        .create_function()
        .function_name("f")
        .runtime(Runtime::Providedal2023)
        .handler("bootstrap")
        .role(ROLE)
        .code(FunctionCode::builder().zip_file(Blob::new(package())).build())
        .send()
        .await
        .expect_err("it exists")
        .into_service_error();
    assert!(twice.is_resource_conflict_exception(), "{twice:?}");
}
