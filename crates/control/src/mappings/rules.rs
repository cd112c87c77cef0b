//! What a mapping may say depends on its source.

use lambd_api::ApiError;
use lambd_api::mappings::{DestinationConfig, DocumentDbConfig, KafkaConfig, MappingOrigin, MappingSettings};

use super::Kind;
use super::filters;

/// Filters of one mapping at most: AWS allows 5, and 10 to who asks for more.
const FILTERS_MAX: usize = 10;

fn invalid<T>(text: impl Into<String>) -> Result<T, ApiError> {
    Err(ApiError::InvalidParameterValue(text.into()))
}

/// Refuses the first of some members that is there although the kind has none of it.
fn unsupported<const N: usize>(members: [(bool, bool, &str); N]) -> Result<(), ApiError> {
    match members.iter().find(|(there, allowed, _)| *there && !*allowed) {
        Some((_, _, name)) => {
            invalid(format!("Unsupported '{name}' parameter for given event source mapping type."))
        }
        None => Ok(()),
    }
}

/// Checks what is said once. `now` is in seconds.
pub(super) fn origin(kind: Kind, o: &MappingOrigin, now: f64) -> Result<(), ApiError> {
    let position = o.starting_position.as_deref();
    if matches!(kind, Kind::Sqs { .. }) && position.is_some() {
        return invalid("StartingPosition is not valid for SQS event sources.");
    }
    unsupported([
        (position.is_some(), kind.has_position(), "startingPosition"),
        (o.starting_position_timestamp.is_some(), kind.has_position(), "startingPositionTimestamp"),
        (o.topics.is_some(), kind.is_kafka(), "topics"),
        (o.queues.is_some(), kind == Kind::Mq, "queues"),
    ])?;
    if kind.has_position() && position.is_none() {
        return invalid(
            "1 validation error detected: Value null at 'startingPosition' failed to satisfy constraint: Member must \
             not be null.",
        );
    }
    if kind == Kind::DynamoDb && position == Some("AT_TIMESTAMP") {
        let arn = o.event_source_arn.as_deref().unwrap_or_default();
        return invalid(format!("Unsupported starting position for arn type: {arn}"));
    }
    match (position == Some("AT_TIMESTAMP"), o.starting_position_timestamp) {
        (true, None) => return invalid("Need to specify a timestamp"),
        (false, Some(_)) => {
            return invalid(
                "StartingPositionTimestamp is only valid with the StartingPosition AT_TIMESTAMP.",
            );
        }
        (true, Some(at)) if at > now => return invalid("StartingPositionTimestamp cannot be in the future."),
        (true, Some(_)) | (false, None) => {}
    }
    if kind.is_kafka() && o.topics.is_none() {
        return invalid("Topics must be specified for a Kafka event source.");
    }
    if kind == Kind::Mq && o.queues.is_none() {
        return invalid("Queues must be specified for an Amazon MQ event source.");
    }
    let servers = o.self_managed_event_source.as_ref().and_then(|source| source.endpoints.as_ref());
    if kind == Kind::SelfManagedKafka && servers.is_none_or(std::collections::BTreeMap::is_empty) {
        return invalid("SelfManagedEventSource must name its KAFKA_BOOTSTRAP_SERVERS.");
    }
    Ok(())
}

/// Takes away what says nothing: an empty object or list clears a setting.
pub(super) fn tidy(mut s: MappingSettings) -> MappingSettings {
    let empty = |text: &Option<String>| text.as_deref().is_none_or(str::is_empty);
    if let Some(config) = &mut s.destination_config {
        for one in [&mut config.on_success, &mut config.on_failure] {
            *one = one.take().filter(|one| !empty(&one.destination));
        }
    }
    s.source_access_configurations = s.source_access_configurations.filter(|list| !list.is_empty());
    let filtered =
        |c: &lambd_api::mappings::FilterCriteria| c.filters.as_ref().is_some_and(|f| !f.is_empty());
    s.filter_criteria = s.filter_criteria.filter(filtered);
    s.scaling_config = s.scaling_config.filter(|config| config.maximum_concurrency.is_some());
    s.metrics_config = s.metrics_config.filter(|c| c.metrics.as_ref().is_some_and(|m| !m.is_empty()));
    s.logging_config = s.logging_config.filter(|config| config.system_log_level.is_some());
    s.provisioned_poller_config = s.provisioned_poller_config.filter(|c| *c != Default::default());
    s.document_db_event_source_config =
        s.document_db_event_source_config.filter(|c| *c != Default::default());
    s.kms_key_arn = s.kms_key_arn.filter(|key| !key.is_empty());
    s
}

/// Checks each setting by itself.
pub(super) fn settings(kind: Kind, s: &MappingSettings) -> Result<(), ApiError> {
    let sqs = matches!(kind, Kind::Sqs { .. });
    let stream = kind.is_stream();
    let retried = stream || kind.is_kafka();
    let response_types = s.function_response_types.as_ref().is_some_and(|types| !types.is_empty());
    let destinations = s.destination_config.as_ref().is_some_and(|c| *c != DestinationConfig::default());
    unsupported([
        (s.parallelization_factor.is_some(), stream, "parallelizationFactor"),
        (s.tumbling_window_in_seconds.is_some(), stream, "tumblingWindowInSeconds"),
        (s.bisect_batch_on_function_error.is_some(), retried, "bisectBatchOnFunctionError"),
        (s.maximum_record_age_in_seconds.is_some(), retried, "maximumRecordAgeInSeconds"),
        (s.maximum_retry_attempts.is_some(), retried, "maximumRetryAttempts"),
        (destinations, retried, "destinationConfig"),
        (response_types, retried || sqs, "functionResponseTypes"),
        (s.scaling_config.is_some(), sqs, "scalingConfig"),
        (s.provisioned_poller_config.is_some(), sqs || kind.is_kafka(), "provisionedPollerConfig"),
        (s.logging_config.is_some(), kind.is_kafka(), "loggingConfig"),
        (
            s.source_access_configurations.is_some(),
            kind.is_kafka() || matches!(kind, Kind::Mq | Kind::DocumentDb),
            "sourceAccessConfigurations",
        ),
        (
            s.amazon_managed_kafka_event_source_config.is_some(),
            kind == Kind::ManagedKafka,
            "amazonManagedKafkaEventSourceConfig",
        ),
        (
            s.self_managed_kafka_event_source_config.is_some(),
            kind == Kind::SelfManagedKafka,
            "selfManagedKafkaEventSourceConfig",
        ),
        (
            s.document_db_event_source_config.is_some(),
            kind == Kind::DocumentDb,
            "documentDBEventSourceConfig",
        ),
    ])?;
    if s.kms_key_arn.is_some() {
        return invalid(
            "lambd does not support encrypted filters (KMSKeyArn) yet; see docs/compatibility.md",
        );
    }
    if s.maximum_record_age_in_seconds.is_some_and(|age| (0..60).contains(&age)) {
        return invalid("MaximumRecordAgeInSeconds must be -1 or between 60 and 604800.");
    }
    if let Some(config) = &s.destination_config {
        check_destinations(config)?;
    }
    let criteria = s.filter_criteria.as_ref().and_then(|criteria| criteria.filters.as_ref());
    if criteria.is_some_and(|filters| filters.len() > FILTERS_MAX) {
        return invalid(format!("A mapping has at most {FILTERS_MAX} filters."));
    }
    for filter in criteria.into_iter().flatten() {
        if let Some(pattern) = &filter.pattern
            && !filters::is_pattern(pattern)
        {
            return invalid("Invalid filter pattern definition.");
        }
    }
    Ok(())
}

fn check_destinations(config: &DestinationConfig) -> Result<(), ApiError> {
    if config.on_success.is_some() {
        return invalid("Event source mappings have no OnSuccess destination; specify OnFailure.");
    }
    let Some(destination) = config.on_failure.as_ref().and_then(|one| one.destination.as_deref()) else {
        return Ok(());
    };
    let service = destination.split(':').nth(2).unwrap_or_default();
    if destination.starts_with("kafka://") || matches!(service, "sqs" | "sns" | "s3") {
        return Ok(());
    }
    invalid(format!(
        "The destination {destination} is invalid: it must be an SQS queue, an SNS topic, an S3 bucket or a Kafka topic."
    ))
}

/// What some kinds cannot do without.
pub(super) fn required(kind: Kind, s: &MappingSettings) -> Result<(), ApiError> {
    let basic =
        s.source_access_configurations.iter().flatten().any(|a| a.r#type.as_deref() == Some("BASIC_AUTH"));
    match kind {
        Kind::Mq if !basic => invalid(
            "SourceAccessConfigurations of an Amazon MQ event source must have one of the type BASIC_AUTH.",
        ),
        Kind::DocumentDb => {
            let database = s.document_db_event_source_config.as_ref().and_then(|c| c.database_name.as_ref());
            match (basic, database) {
                (false, _) => invalid(
                    "SourceAccessConfigurations of a DocumentDB event source must have one of the type BASIC_AUTH.",
                ),
                (_, None) => invalid("DocumentDBEventSourceConfig must name its DatabaseName."),
                (true, Some(_)) => Ok(()),
            }
        }
        _ => Ok(()),
    }
}

/// Puts in the defaults of a kind (CORE-284 with today's values: API-612..616).
pub(super) fn fill(kind: Kind, s: &mut MappingSettings, uuid: &str) {
    let sqs = matches!(kind, Kind::Sqs { .. });
    s.batch_size.get_or_insert(if sqs { 10 } else { 100 });
    if sqs || kind.is_stream() {
        s.maximum_batching_window_in_seconds.get_or_insert(0);
        s.function_response_types.get_or_insert_default();
    }
    if kind.is_stream() {
        s.parallelization_factor.get_or_insert(1);
        s.tumbling_window_in_seconds.get_or_insert(0);
    }
    if kind.is_stream() || kind.is_kafka() {
        s.bisect_batch_on_function_error.get_or_insert(false);
        s.maximum_record_age_in_seconds.get_or_insert(-1);
        s.maximum_retry_attempts.get_or_insert(-1);
        s.destination_config.get_or_insert_default();
    }
    let group = |config: &mut Option<KafkaConfig>| {
        config.get_or_insert_default().consumer_group_id.get_or_insert_with(|| uuid.to_owned());
    };
    match kind {
        Kind::ManagedKafka => group(&mut s.amazon_managed_kafka_event_source_config),
        Kind::SelfManagedKafka => group(&mut s.self_managed_kafka_event_source_config),
        Kind::DocumentDb => {
            let config: &mut DocumentDbConfig = s.document_db_event_source_config.get_or_insert_default();
            config.full_document.get_or_insert_with(|| "Default".to_owned());
        }
        Kind::Sqs { .. } | Kind::Kinesis | Kind::DynamoDb | Kind::Mq => {}
    }
}

/// Checks settings that must fit together.
pub(super) fn together(kind: Kind, s: &MappingSettings) -> Result<(), ApiError> {
    let (batch, window) = (s.batch_size.unwrap_or(1), s.maximum_batching_window_in_seconds.unwrap_or(0));
    if let Kind::Sqs { fifo } = kind {
        if fifo && window > 0 {
            return invalid("Batching window is not supported for FIFO queues");
        }
        if fifo && batch > 10 {
            return invalid("Batch size must be at most 10 for FIFO queues");
        }
        if batch > 10 && window == 0 {
            return invalid(
                "Maximum batch window in seconds must be greater than 0 if maximum batch size is greater than 10",
            );
        }
    }
    let pollers = s.provisioned_poller_config.as_ref();
    if let Some((Some(min), Some(max))) = pollers.map(|c| (c.minimum_pollers, c.maximum_pollers))
        && min > max
    {
        return invalid("MinimumPollers cannot be greater than MaximumPollers.");
    }
    if matches!(kind, Kind::Sqs { .. }) && pollers.is_some() && s.scaling_config.is_some() {
        return invalid("ScalingConfig and ProvisionedPollerConfig cannot be used together.");
    }
    Ok(())
}

/// A change over what was before: what it leaves out stays.
pub(super) fn merge(before: MappingSettings, change: MappingSettings) -> MappingSettings {
    // The consumer group is given once; a change of the rest leaves it alone.
    let kafka = |before: Option<KafkaConfig>, change: Option<KafkaConfig>| {
        change
            .map(|change| KafkaConfig {
                consumer_group_id: change
                    .consumer_group_id
                    .or_else(|| before.as_ref().and_then(|b| b.consumer_group_id.clone())),
                ..change
            })
            .or(before)
    };
    MappingSettings {
        batch_size: change.batch_size.or(before.batch_size),
        maximum_batching_window_in_seconds: change
            .maximum_batching_window_in_seconds
            .or(before.maximum_batching_window_in_seconds),
        parallelization_factor: change.parallelization_factor.or(before.parallelization_factor),
        destination_config: change.destination_config.or(before.destination_config),
        maximum_record_age_in_seconds: change
            .maximum_record_age_in_seconds
            .or(before.maximum_record_age_in_seconds),
        bisect_batch_on_function_error: change
            .bisect_batch_on_function_error
            .or(before.bisect_batch_on_function_error),
        maximum_retry_attempts: change.maximum_retry_attempts.or(before.maximum_retry_attempts),
        tumbling_window_in_seconds: change.tumbling_window_in_seconds.or(before.tumbling_window_in_seconds),
        source_access_configurations: change
            .source_access_configurations
            .or(before.source_access_configurations),
        function_response_types: change.function_response_types.or(before.function_response_types),
        amazon_managed_kafka_event_source_config: kafka(
            before.amazon_managed_kafka_event_source_config,
            change.amazon_managed_kafka_event_source_config,
        ),
        self_managed_kafka_event_source_config: kafka(
            before.self_managed_kafka_event_source_config,
            change.self_managed_kafka_event_source_config,
        ),
        filter_criteria: change.filter_criteria.or(before.filter_criteria),
        scaling_config: change.scaling_config.or(before.scaling_config),
        document_db_event_source_config: change
            .document_db_event_source_config
            .or(before.document_db_event_source_config),
        kms_key_arn: change.kms_key_arn.or(before.kms_key_arn),
        metrics_config: change.metrics_config.or(before.metrics_config),
        logging_config: change.logging_config.or(before.logging_config),
        provisioned_poller_config: change.provisioned_poller_config.or(before.provisioned_poller_config),
    }
}
