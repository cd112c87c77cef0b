//! The constraints of the API's model on mappings (§2.2 and §6 b of the API reference), whatever the kind.

use lambd_api::Violations;
use lambd_api::mappings::{
    DestinationConfig, KafkaConfig, MappingOrigin, MappingSettings, SourceAccessConfiguration, patterns,
};

use crate::checks;

const ACCESS: &[&str] = &[
    "BASIC_AUTH",
    "VPC_SUBNET",
    "VPC_SECURITY_GROUP",
    "SASL_SCRAM_512_AUTH",
    "SASL_SCRAM_256_AUTH",
    "VIRTUAL_HOST",
    "CLIENT_CERTIFICATE_TLS_AUTH",
    "SERVER_ROOT_CA_CERTIFICATE",
];
const REGISTRY_ACCESS: &[&str] = &["BASIC_AUTH", "CLIENT_CERTIFICATE_TLS_AUTH", "SERVER_ROOT_CA_CERTIFICATE"];

/// What is said once.
pub(super) fn origin(origin: &MappingOrigin, v: &mut Violations) {
    source(origin.event_source_arn.as_deref(), v);
    one_of(
        origin.starting_position.as_deref(),
        "startingPosition",
        &["TRIM_HORIZON", "LATEST", "AT_TIMESTAMP"],
        v,
    );
    length(origin.topics.as_ref(), "topics", 1, 1, v);
    for (at, topic) in members(origin.topics.as_ref(), "topics") {
        text(topic, &at, 1, 249, v);
        if !is_topic(topic) {
            v.pattern(topic, &at, patterns::TOPIC);
        }
    }
    length(origin.queues.as_ref(), "queues", 1, 1, v);
    for (at, queue) in members(origin.queues.as_ref(), "queues") {
        text(queue, &at, 1, 1000, v);
    }
    let endpoints = origin.self_managed_event_source.as_ref().and_then(|source| source.endpoints.as_ref());
    for (name, servers) in endpoints.into_iter().flatten() {
        one_of(Some(name), "selfManagedEventSource.endpoints", &["KAFKA_BOOTSTRAP_SERVERS"], v);
        let at = "selfManagedEventSource.endpoints.KAFKA_BOOTSTRAP_SERVERS";
        length(Some(servers), at, 1, 10, v);
        for (at, server) in members(Some(servers), at) {
            text(server, &at, 1, 300, v);
            if !is_endpoint(server) {
                v.pattern(server, &at, patterns::ENDPOINT);
            }
        }
    }
}

/// ARN of a source, of lists too.
pub(crate) fn source(arn: Option<&str>, v: &mut Violations) {
    if let Some(arn) = arn
        && !is_arn(arn)
    {
        v.pattern(arn, "eventSourceArn", patterns::SOURCE);
    }
}

/// What can be changed.
pub(super) fn settings(s: &MappingSettings, v: &mut Violations) {
    for (value, at, min, max) in [
        (s.batch_size, "batchSize", 1, 10_000),
        (s.maximum_batching_window_in_seconds, "maximumBatchingWindowInSeconds", 0, 300),
        (s.parallelization_factor, "parallelizationFactor", 1, 10),
        (s.maximum_record_age_in_seconds, "maximumRecordAgeInSeconds", -1, 604_800),
        (s.maximum_retry_attempts, "maximumRetryAttempts", -1, 10_000),
        (s.tumbling_window_in_seconds, "tumblingWindowInSeconds", 0, 900),
        (
            s.scaling_config.as_ref().and_then(|c| c.maximum_concurrency),
            "scalingConfig.maximumConcurrency",
            2,
            1000,
        ),
    ] {
        range(value, at, min, max, v);
    }
    checks::arn_or_empty(v, "kMSKeyArn", s.kms_key_arn.as_ref());
    destinations(s.destination_config.as_ref(), v);
    length(s.source_access_configurations.as_ref(), "sourceAccessConfigurations", 0, 22, v);
    for (at, access) in members(s.source_access_configurations.as_ref(), "sourceAccessConfigurations") {
        self::access(access, &at, ACCESS, v);
    }
    length(s.function_response_types.as_ref(), "functionResponseTypes", 0, 1, v);
    for (at, kind) in members(s.function_response_types.as_ref(), "functionResponseTypes") {
        one_of(Some(kind), &at, &["ReportBatchItemFailures"], v);
    }
    kafka(s.amazon_managed_kafka_event_source_config.as_ref(), "amazonManagedKafkaEventSourceConfig", v);
    kafka(s.self_managed_kafka_event_source_config.as_ref(), "selfManagedKafkaEventSourceConfig", v);
    let filters = s.filter_criteria.as_ref().and_then(|criteria| criteria.filters.as_ref());
    for (at, filter) in members(filters, "filterCriteria.filters") {
        text(filter.pattern.as_deref().unwrap_or_default(), &format!("{at}.pattern"), 0, 4096, v);
    }
    if let Some(config) = &s.document_db_event_source_config {
        if let Some(name) = &config.database_name {
            let at = "documentDBEventSourceConfig.databaseName";
            text(name, at, 1, 63, v);
            if name.contains([' ', '/', '.', '$', '"']) {
                v.pattern(name, at, patterns::DATABASE);
            }
        }
        if let Some(name) = &config.collection_name {
            let at = "documentDBEventSourceConfig.collectionName";
            text(name, at, 1, 57, v);
            let begins_well = name.starts_with(|c: char| c == '_' || c.is_ascii_alphanumeric());
            if !begins_well || name.starts_with("system.") || name.contains('$') {
                v.pattern(name, at, patterns::COLLECTION);
            }
        }
        let document = config.full_document.as_deref();
        one_of(document, "documentDBEventSourceConfig.fullDocument", &["UpdateLookup", "Default"], v);
    }
    let metrics = s.metrics_config.as_ref().and_then(|config| config.metrics.as_ref());
    length(metrics, "metricsConfig.metrics", 0, 3, v);
    for (at, metric) in members(metrics, "metricsConfig.metrics") {
        one_of(Some(metric), &at, &["EventCount", "ErrorCount", "KafkaMetrics"], v);
    }
    let level = s.logging_config.as_ref().and_then(|config| config.system_log_level.as_deref());
    one_of(level, "loggingConfig.systemLogLevel", &["DEBUG", "INFO", "WARN"], v);
    if let Some(config) = &s.provisioned_poller_config {
        range(config.minimum_pollers, "provisionedPollerConfig.minimumPollers", 1, 200, v);
        range(config.maximum_pollers, "provisionedPollerConfig.maximumPollers", 1, 2000, v);
        let at = "provisionedPollerConfig.pollerGroupName";
        if let Some(name) = &config.poller_group_name {
            text(name, at, 0, 128, v);
            if !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_') {
                v.pattern(name, at, patterns::POLLER_GROUP);
            }
        }
    }
}

fn destinations(config: Option<&DestinationConfig>, v: &mut Violations) {
    let Some(config) = config else { return };
    for (one, at) in [
        (&config.on_success, "destinationConfig.onSuccess.destination"),
        (&config.on_failure, "destinationConfig.onFailure.destination"),
    ] {
        if let Some(destination) = one.as_ref().and_then(|one| one.destination.as_deref()) {
            text(destination, at, 0, 350, v);
            let topic = destination.strip_prefix("kafka://").is_some_and(is_topic_of_destination);
            if !destination.is_empty() && !topic && !is_arn(destination) {
                v.pattern(destination, at, patterns::DESTINATION);
            }
        }
    }
}

fn kafka(config: Option<&KafkaConfig>, at: &str, v: &mut Violations) {
    let Some(config) = config else { return };
    if let Some(group) = &config.consumer_group_id {
        uri(group, &format!("{at}.consumerGroupId"), 200, v);
    }
    let Some(registry) = &config.schema_registry_config else { return };
    let at = format!("{at}.schemaRegistryConfig");
    if let Some(address) = &registry.schema_registry_uri {
        uri(address, &format!("{at}.schemaRegistryURI"), 10_000, v);
    }
    let format = registry.event_record_format.as_deref();
    one_of(format, &format!("{at}.eventRecordFormat"), &["JSON", "SOURCE"], v);
    for (at, access) in members(registry.access_configs.as_ref(), &format!("{at}.accessConfigs")) {
        one_of(access.r#type.as_deref(), &format!("{at}.type"), REGISTRY_ACCESS, v);
        if let Some(secret) = access.uri.as_ref().filter(|secret| !is_arn(secret)) {
            v.pattern(secret, &format!("{at}.uRI"), patterns::SOURCE);
        }
    }
    let configs = registry.schema_validation_configs.as_ref();
    for (at, config) in members(configs, &format!("{at}.schemaValidationConfigs")) {
        one_of(config.attribute.as_deref(), &format!("{at}.attribute"), &["KEY", "VALUE"], v);
    }
}

fn access(access: &SourceAccessConfiguration, at: &str, kinds: &[&str], v: &mut Violations) {
    one_of(access.r#type.as_deref(), &format!("{at}.type"), kinds, v);
    if let Some(address) = &access.uri {
        uri(address, &format!("{at}.uRI"), 200, v);
    }
}

/// The members of a list with their places, which AWS counts from one.
fn members<'a, T>(list: Option<&'a Vec<T>>, at: &str) -> impl Iterator<Item = (String, &'a T)> {
    list.into_iter().flatten().enumerate().map(move |(n, one)| (format!("{at}.{}.member", n + 1), one))
}

fn range(value: Option<i64>, at: &str, min: i64, max: i64, v: &mut Violations) {
    if let Some(value) = value {
        v.range(value, at, min, max);
    }
}

fn one_of(value: Option<&str>, at: &str, set: &[&str], v: &mut Violations) {
    if let Some(value) = value
        && !set.contains(&value)
    {
        v.enumeration(value, at, set);
    }
}

fn text(value: &str, at: &str, min: usize, max: usize, v: &mut Violations) {
    let length = value.chars().count();
    if length < min {
        v.too_short(value, at, min);
    } else if length > max {
        v.too_long(value, at, max);
    }
}

fn length<T: std::fmt::Debug>(list: Option<&Vec<T>>, at: &str, min: usize, max: usize, v: &mut Violations) {
    let Some(list) = list else { return };
    let shown = format!("{list:?}");
    if list.len() < min {
        v.too_short(&shown, at, min);
    } else if list.len() > max {
        v.too_long(&shown, at, max);
    }
}

fn uri(value: &str, at: &str, max: usize, v: &mut Violations) {
    text(value, at, 1, max, v);
    if !value.bytes().all(|b| b.is_ascii_alphanumeric() || b"-/*:_+=.@".contains(&b)) {
        v.pattern(value, at, patterns::URI);
    }
}

fn is_arn(text: &str) -> bool {
    let fields: Vec<&str> = text.splitn(6, ':').collect();
    let [arn, partition, service, region, account, _] = fields.as_slice() else { return false };
    let word = |text: &str| text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    *arn == "arn"
        && partition.starts_with("aws")
        && word(partition)
        && !service.is_empty()
        && word(service)
        && (region.is_empty() || lambd_types::Region::parse(region).is_some())
        && (account.is_empty() || lambd_types::AccountId::parse(account).is_some())
}

fn is_topic(text: &str) -> bool {
    let mut characters = text.chars();
    characters.next().is_some_and(|c| c != '.')
        && !characters.as_str().is_empty()
        && characters.all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
}

/// A topic after `kafka://` may be of one character.
fn is_topic_of_destination(text: &str) -> bool {
    text.chars().count() <= 249 && (is_topic(text) || (text.chars().count() == 1 && text != "."))
}

fn is_endpoint(text: &str) -> bool {
    let Some((host, port)) = text.rsplit_once(':') else { return false };
    let label = |label: &str| {
        !label.is_empty()
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    (1..=5).contains(&port.len()) && port.bytes().all(|b| b.is_ascii_digit()) && host.split('.').all(label)
}
