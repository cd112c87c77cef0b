//! Every operation that lambd offers, once, in the order of a function's life: the SDK sends what it always sends,
//! and reads every answer by the service's model.

use aws_sdk_lambda::Client;
use aws_sdk_lambda::primitives::{Blob, ByteStream};
use aws_sdk_lambda::types::{
    AccountLimit, AllowedPublishers, FunctionConfiguration, FunctionUrlAuthType,
    InvokeWithResponseStreamResponseEvent as StreamEvent, LayerVersionContentInput, LogType,
    ProvisionedConcurrencyStatusEnum, RecursiveLoop, UpdateRuntimeOn,
};
use lambd_rust_sdk_tests::Daemon;

use super::{create, lambda, package, settled};

const NAME: &str = "life";
const PROFILE: &str = "arn:aws:signer:us-east-1:000000000000:/signing-profiles/p/abcdefghij";
const QUEUE: &str = "arn:aws:sqs:us-east-1:000000000000:queue";

/// Sends a request and unwraps the answer; a failure names the request.
macro_rules! sent {
    ($request:expr) => {
        $request.send().await.expect(stringify!($request))
    };
}

/// API-101..148, API-602, API-707: the operations of the guide and those that came later.
#[tokio::test]
async fn every_operation() {
    let daemon = Daemon::start();
    let client = lambda(&daemon);
    let settings = sent!(client.get_account_settings());
    assert_eq!(settings.account_limit().map(AccountLimit::concurrent_executions), Some(1000));
    create(&client, NAME, package()).await;
    versions_and_aliases(&client).await;
    invocations(&client).await;
    concurrency(&client).await;
    tags_and_permissions(&client).await;
    asynchronous_settings_and_urls(&client).await;
    code_signing(&client).await;
    later_settings(&client).await;
    layers(&client).await;
    mappings(&client).await;
    sent!(client.delete_alias().function_name(NAME).name("live"));
    sent!(client.delete_function().function_name(NAME));
    assert!(sent!(client.list_functions()).functions().is_empty());
}

async fn versions_and_aliases(client: &Client) {
    let version = sent!(client.publish_version().function_name(NAME).description("first"));
    assert_eq!((version.version(), version.description()), (Some("1"), Some("first")));
    assert_eq!(sent!(client.list_versions_by_function().function_name(NAME)).versions().len(), 2);
    sent!(client.create_alias().function_name(NAME).name("live").function_version("1"));
    let changed = sent!(client.update_alias().function_name(NAME).name("live").description("d"));
    let alias = sent!(client.get_alias().function_name(NAME).name("live"));
    assert_eq!((alias.description(), alias.revision_id()), (Some("d"), changed.revision_id()));
    assert_eq!(sent!(client.list_aliases().function_name(NAME)).aliases().len(), 1);
    sent!(client.update_function_configuration().function_name(NAME).timeout(5));
    settled(client, NAME).await;
    sent!(client.update_function_code().function_name(NAME).zip_file(Blob::new(package())));
    settled(client, NAME).await;
    let function = sent!(client.get_function().function_name(NAME));
    assert_eq!(function.configuration().and_then(FunctionConfiguration::timeout), Some(5));
}

async fn invocations(client: &Client) {
    let answer = sent!(client.invoke().function_name(NAME).qualifier("live").payload(Blob::new("[1]")));
    assert_eq!(answer.executed_version(), Some("1"));
    streamed_invocation(client).await;
    #[expect(deprecated, reason = "it is still an operation")]
    let accepted =
        sent!(client.invoke_async().function_name(NAME).invoke_args(ByteStream::from_static(b"{}")));
    assert_eq!(accepted.status(), 202);
}

async fn streamed_invocation(client: &Client) {
    let event = Blob::new(r#"{"stream": {"parts": 3, "bytes": 2}}"#);
    let request = client.invoke_with_response_stream().function_name(NAME).qualifier("live");
    let mut streamed = sent!(request.payload(event).log_type(LogType::Tail));
    assert_eq!(streamed.executed_version(), Some("1"));
    let mut payload = Vec::new();
    let complete = loop {
        match streamed.event_stream.recv().await.expect("an event").expect("an end") {
            StreamEvent::PayloadChunk(chunk) => payload.extend(chunk.payload.expect("bytes").into_inner()),
            StreamEvent::InvokeComplete(complete) => break complete,
            other => panic!("{other:?}"),
        }
    };
    assert!(payload.ends_with(b"\0xxxxxx"), "{payload:?}");
    assert_eq!((complete.error_code(), complete.error_details()), (None, None));
    assert!(complete.log_result().is_some());
    assert!(streamed.event_stream.recv().await.expect("the end").is_none());
}

async fn concurrency(client: &Client) {
    sent!(client.put_function_concurrency().function_name(NAME).reserved_concurrent_executions(7));
    let reserved = sent!(client.get_function_concurrency().function_name(NAME));
    assert_eq!(reserved.reserved_concurrent_executions(), Some(7));
    sent!(client.delete_function_concurrency().function_name(NAME));

    let asked = client.put_provisioned_concurrency_config().function_name(NAME).qualifier("live");
    let asked = sent!(asked.provisioned_concurrent_executions(1));
    assert_eq!(asked.requested_provisioned_concurrent_executions(), Some(1));
    let config = || client.get_provisioned_concurrency_config().function_name(NAME).qualifier("live");
    while sent!(config()).status() != Some(&ProvisionedConcurrencyStatusEnum::Ready) {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    let listed = sent!(client.list_provisioned_concurrency_configs().function_name(NAME));
    assert_eq!(listed.provisioned_concurrency_configs().len(), 1);
    sent!(client.delete_provisioned_concurrency_config().function_name(NAME).qualifier("live"));
}

async fn tags_and_permissions(client: &Client) {
    let function = sent!(client.get_function_configuration().function_name(NAME));
    let arn = function.function_arn().expect("an ARN");
    sent!(client.tag_resource().resource(arn).tags("a", "1"));
    let tags = sent!(client.list_tags().resource(arn));
    assert_eq!(tags.tags().and_then(|tags| tags.get("a")).map(String::as_str), Some("1"));
    sent!(client.untag_resource().resource(arn).tag_keys("a"));

    let grant = client.add_permission().function_name(NAME).statement_id("s").principal("s3.amazonaws.com");
    let statement = sent!(grant.action("lambda:InvokeFunction"));
    assert!(statement.statement().is_some_and(|text| text.contains(r#""Sid":"s""#)));
    let policy = sent!(client.get_policy().function_name(NAME));
    assert!(policy.policy().is_some_and(|text| text.contains(statement.statement().unwrap_or("?"))));
    sent!(client.remove_permission().function_name(NAME).statement_id("s"));
}

async fn asynchronous_settings_and_urls(client: &Client) {
    sent!(client.put_function_event_invoke_config().function_name(NAME).maximum_retry_attempts(1));
    let changed =
        client.update_function_event_invoke_config().function_name(NAME).maximum_event_age_in_seconds(60);
    sent!(changed);
    let config = sent!(client.get_function_event_invoke_config().function_name(NAME));
    assert_eq!((config.maximum_retry_attempts(), config.maximum_event_age_in_seconds()), (Some(1), Some(60)));
    let listed = sent!(client.list_function_event_invoke_configs().function_name(NAME));
    assert_eq!(listed.function_event_invoke_configs().len(), 1);
    sent!(client.delete_function_event_invoke_config().function_name(NAME));

    let made = client.create_function_url_config().function_name(NAME).auth_type(FunctionUrlAuthType::None);
    let made = sent!(made);
    let changed =
        client.update_function_url_config().function_name(NAME).auth_type(FunctionUrlAuthType::AwsIam);
    sent!(changed);
    let url = sent!(client.get_function_url_config().function_name(NAME));
    assert_eq!((url.function_url(), url.auth_type()), (made.function_url(), &FunctionUrlAuthType::AwsIam));
    assert_eq!(sent!(client.list_function_url_configs().function_name(NAME)).function_url_configs().len(), 1);
    sent!(client.delete_function_url_config().function_name(NAME));
}

async fn code_signing(client: &Client) {
    let publishers = AllowedPublishers::builder().signing_profile_version_arns(PROFILE).build().unwrap();
    let made = sent!(client.create_code_signing_config().allowed_publishers(publishers));
    let arn = made.code_signing_config().expect("a configuration").code_signing_config_arn().to_owned();
    sent!(client.update_code_signing_config().code_signing_config_arn(&arn).description("d"));
    let found = sent!(client.get_code_signing_config().code_signing_config_arn(&arn));
    assert_eq!(found.code_signing_config().and_then(|config| config.description()), Some("d"));
    assert_eq!(sent!(client.list_code_signing_configs()).code_signing_configs().len(), 1);
    sent!(client.put_function_code_signing_config().function_name(NAME).code_signing_config_arn(&arn));
    let of_function = sent!(client.get_function_code_signing_config().function_name(NAME));
    assert_eq!(of_function.code_signing_config_arn(), arn);
    let functions = sent!(client.list_functions_by_code_signing_config().code_signing_config_arn(&arn));
    assert_eq!(functions.function_arns().len(), 1);
    sent!(client.delete_function_code_signing_config().function_name(NAME));
    sent!(client.delete_code_signing_config().code_signing_config_arn(&arn));
}

async fn later_settings(client: &Client) {
    sent!(client.put_function_recursion_config().function_name(NAME).recursive_loop(RecursiveLoop::Allow));
    let recursion = sent!(client.get_function_recursion_config().function_name(NAME));
    assert_eq!(recursion.recursive_loop(), Some(&RecursiveLoop::Allow));
    let update = UpdateRuntimeOn::FunctionUpdate;
    sent!(client.put_runtime_management_config().function_name(NAME).update_runtime_on(update.clone()));
    let management = sent!(client.get_runtime_management_config().function_name(NAME));
    assert_eq!(management.update_runtime_on(), Some(&update));
}

async fn layers(client: &Client) {
    let content = LayerVersionContentInput::builder().zip_file(Blob::new(package())).build();
    let layer = sent!(client.publish_layer_version().layer_name("layer").content(content));
    let arn = layer.layer_version_arn().expect("an ARN");
    let version = client.get_layer_version().layer_name("layer").version_number(1);
    assert_eq!(sent!(version).layer_version_arn(), Some(arn));
    assert_eq!(sent!(client.get_layer_version_by_arn().arn(arn)).version(), 1);
    assert_eq!(sent!(client.list_layers()).layers().len(), 1);
    assert_eq!(sent!(client.list_layer_versions().layer_name("layer")).layer_versions().len(), 1);
    let grant = client.add_layer_version_permission().layer_name("layer").version_number(1).statement_id("s");
    sent!(grant.action("lambda:GetLayerVersion").principal("*"));
    let policy = sent!(client.get_layer_version_policy().layer_name("layer").version_number(1));
    assert!(policy.policy().is_some_and(|text| text.contains(r#""Principal":"*""#)));
    let revoked = client.remove_layer_version_permission().layer_name("layer").version_number(1);
    sent!(revoked.statement_id("s"));
    sent!(client.delete_layer_version().layer_name("layer").version_number(1));
    assert!(sent!(client.list_layers()).layers().is_empty());
}

async fn mappings(client: &Client) {
    let made = sent!(client.create_event_source_mapping().function_name(NAME).event_source_arn(QUEUE));
    let id = made.uuid().expect("an id");
    sent!(client.update_event_source_mapping().uuid(id).batch_size(5));
    assert_eq!(sent!(client.get_event_source_mapping().uuid(id)).batch_size(), Some(5));
    let listed = sent!(client.list_event_source_mappings().function_name(NAME));
    assert_eq!(listed.event_source_mappings().len(), 1);
    sent!(client.delete_event_source_mapping().uuid(id));
}
