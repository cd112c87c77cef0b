//! Shapes of event source mappings. Requests and responses share most members, and what is stored has the same
//! words, so one type serves all three. Absent members are left out.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::requests::{object, objects};

/// Patterns as they appear in error texts.
pub mod patterns {
    /// ARN of an event source (API-057).
    pub const SOURCE: &str =
        r"arn:(aws[a-zA-Z0-9-]*):([a-zA-Z0-9\-])+:([a-z]{2}(-gov)?-[a-z]+-\d{1})?:(\d{12})?:(.*)";
    /// Destination of discarded records.
    pub const DESTINATION: &str = r"$|kafka://([^.]([a-zA-Z0-9\-_.]{0,248}))|arn:(aws[a-zA-Z0-9-]*):([a-zA-Z0-9\-])+:([a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\d{1})?:(\d{12})?:(.*)";
    /// Kafka topic.
    pub const TOPIC: &str = r"[^.]([a-zA-Z0-9\-_.]+)";
    /// Secret, subnet, consumer group and the like.
    pub const URI: &str = r"[a-zA-Z0-9-\/*:_+=.@-]*";
    /// Bootstrap server.
    pub const ENDPOINT: &str = r"(([a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9\-]*[a-zA-Z0-9])\.)*([A-Za-z0-9]|[A-Za-z0-9][A-Za-z0-9\-]*[A-Za-z0-9]):[0-9]{1,5}";
    /// Database of a DocumentDB cluster.
    pub const DATABASE: &str = r"[^ /\.$\x22]*";
    /// Collection of a DocumentDB cluster.
    pub const COLLECTION: &str = r"(^(?!(system\x2e)))(^[_a-zA-Z0-9])([^$]*)";
    /// Group of pollers.
    pub const POLLER_GROUP: &str = r"[a-zA-Z0-9-_]*";
}

macro_rules! shapes {
    ($($(#[$doc:meta])* $name:ident { $($(#[$of_field:meta])* $field:ident: $type:ty,)+ })+) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
        #[serde(rename_all = "PascalCase", default)]
        pub struct $name {
            $($(#[$of_field])* #[serde(skip_serializing_if = "Option::is_none")] pub $field: Option<$type>,)+
        }
    )+};
}

shapes! {
    /// What of a mapping is said once and never changes (API-146.13).
    MappingOrigin {
        /// ARN of the source; none for a Kafka cluster of one's own.
        event_source_arn: String,
        /// `TRIM_HORIZON`, `LATEST` or `AT_TIMESTAMP`.
        starting_position: String,
        /// Seconds since the Unix epoch, for `AT_TIMESTAMP`.
        starting_position_timestamp: f64,
        /// One Kafka topic.
        topics: Vec<String>,
        /// One queue of a message broker.
        queues: Vec<String>,
        /// A Kafka cluster of one's own.
        #[serde(deserialize_with = "object")]
        self_managed_event_source: SelfManagedEventSource,
    }

    /// What of a mapping can be changed (API-104, API-146, API-502, API-521).
    MappingSettings {
        /// Records in one event at most.
        batch_size: i64,
        /// Seconds to wait for a full batch.
        maximum_batching_window_in_seconds: i64,
        /// Batches of one shard at one time.
        parallelization_factor: i64,
        /// Where discarded records are reported.
        #[serde(deserialize_with = "object")]
        destination_config: DestinationConfig,
        /// Seconds after which a record is discarded; -1 is never.
        maximum_record_age_in_seconds: i64,
        /// Whether a batch that failed is split in two.
        bisect_batch_on_function_error: bool,
        /// Retries of a batch that failed; -1 is without end.
        maximum_retry_attempts: i64,
        /// Seconds of a processing window; 0 is none.
        tumbling_window_in_seconds: i64,
        /// How the source is reached.
        #[serde(deserialize_with = "objects")]
        source_access_configurations: Vec<SourceAccessConfiguration>,
        /// `ReportBatchItemFailures`.
        function_response_types: Vec<String>,
        /// Amazon MSK.
        #[serde(deserialize_with = "object")]
        amazon_managed_kafka_event_source_config: KafkaConfig,
        /// Kafka of one's own.
        #[serde(deserialize_with = "object")]
        self_managed_kafka_event_source_config: KafkaConfig,
        /// Which records are of interest.
        #[serde(deserialize_with = "object")]
        filter_criteria: FilterCriteria,
        /// Limits of an SQS source.
        #[serde(deserialize_with = "object")]
        scaling_config: ScalingConfig,
        /// DocumentDB.
        #[serde(rename = "DocumentDBEventSourceConfig", deserialize_with = "object")]
        document_db_event_source_config: DocumentDbConfig,
        /// Key that the filters are encrypted with.
        #[serde(rename = "KMSKeyArn")]
        kms_key_arn: String,
        /// Which metrics are kept.
        #[serde(deserialize_with = "object")]
        metrics_config: MetricsConfig,
        /// What is logged.
        #[serde(deserialize_with = "object")]
        logging_config: MappingLoggingConfig,
        /// Pollers kept ready.
        #[serde(deserialize_with = "object")]
        provisioned_poller_config: ProvisionedPollerConfig,
    }

    /// A Kafka cluster of one's own.
    SelfManagedEventSource {
        /// `KAFKA_BOOTSTRAP_SERVERS` to `host:port`s.
        endpoints: BTreeMap<String, Vec<String>>,
    }

    /// Where discarded records are reported (API-207).
    DestinationConfig {
        /// Not for event source mappings (API-618).
        #[serde(deserialize_with = "object")]
        on_success: Destination,
        /// Of records that were given up.
        #[serde(deserialize_with = "object")]
        on_failure: Destination,
    }

    /// One destination.
    Destination {
        /// ARN, or `kafka://` and a topic; empty is none.
        destination: String,
    }

    /// One way in.
    SourceAccessConfiguration {
        /// What kind of.
        r#type: String,
        /// A secret's ARN, a subnet, …
        #[serde(rename = "URI")]
        uri: String,
    }

    /// Settings of a Kafka source.
    KafkaConfig {
        /// The consumer group; by default the mapping's UUID.
        consumer_group_id: String,
        /// Schema registry.
        #[serde(deserialize_with = "object")]
        schema_registry_config: SchemaRegistryConfig,
    }

    /// A schema registry.
    SchemaRegistryConfig {
        /// Where it is.
        #[serde(rename = "SchemaRegistryURI")]
        schema_registry_uri: String,
        /// `JSON` or `SOURCE`.
        event_record_format: String,
        /// How it is reached.
        #[serde(deserialize_with = "objects")]
        access_configs: Vec<SourceAccessConfiguration>,
        /// What is validated.
        #[serde(deserialize_with = "objects")]
        schema_validation_configs: Vec<SchemaValidationConfig>,
    }

    /// What of a record is validated.
    SchemaValidationConfig {
        /// `KEY` or `VALUE`.
        attribute: String,
    }

    /// Which records are of interest: those that match any of the filters.
    FilterCriteria {
        /// The filters.
        #[serde(deserialize_with = "objects")]
        filters: Vec<Filter>,
    }

    /// One filter.
    Filter {
        /// Its pattern, a JSON text.
        pattern: String,
    }

    /// Limits of an SQS source.
    ScalingConfig {
        /// Events at one time.
        maximum_concurrency: i64,
    }

    /// DocumentDB.
    DocumentDbConfig {
        /// Database.
        database_name: String,
        /// Collection.
        collection_name: String,
        /// `UpdateLookup` or `Default`.
        full_document: String,
    }

    /// Which metrics are kept.
    MetricsConfig {
        /// `EventCount`, `ErrorCount`, `KafkaMetrics`.
        metrics: Vec<String>,
    }

    /// What is logged of a mapping.
    MappingLoggingConfig {
        /// `DEBUG`, `INFO` or `WARN`.
        system_log_level: String,
    }

    /// Pollers kept ready.
    ProvisionedPollerConfig {
        /// At least.
        minimum_pollers: i64,
        /// At most.
        maximum_pollers: i64,
        /// Shared by mappings.
        poller_group_name: String,
    }
}

/// `CreateEventSourceMapping` (API-104).
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct CreateEventSourceMapping {
    /// Name or ARN.
    pub function_name: Option<String>,
    /// `false` to begin without polling.
    pub enabled: Option<bool>,
    /// Tags of the mapping.
    pub tags: Option<BTreeMap<String, String>>,
    /// What cannot be changed later.
    #[serde(flatten)]
    pub origin: MappingOrigin,
    /// Everything else.
    #[serde(flatten)]
    pub settings: MappingSettings,
}

/// `UpdateEventSourceMapping` (API-146).
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct UpdateEventSourceMapping {
    /// Another function.
    pub function_name: Option<String>,
    /// Whether to poll.
    pub enabled: Option<bool>,
    /// Settings to change.
    #[serde(flatten)]
    pub settings: MappingSettings,
}

/// A mapping (API-155, API-211, ESM+).
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct EventSourceMappingConfiguration {
    /// Its name.
    #[serde(rename = "UUID")]
    pub uuid: String,
    /// ARN of the mapping itself.
    pub event_source_mapping_arn: String,
    /// The function, with its qualifier.
    pub function_arn: String,
    /// Seconds since the Unix epoch.
    pub last_modified: f64,
    /// What came of the last batch; SQS sources have none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_processing_result: Option<&'static str>,
    /// API-089.
    pub state: &'static str,
    /// Who made the last change, and what the state does not say.
    pub state_transition_reason: String,
    /// What was said at creation.
    #[serde(flatten)]
    pub origin: MappingOrigin,
    /// Settings, with the defaults of the source's kind.
    #[serde(flatten)]
    pub settings: MappingSettings,
}

/// `ListEventSourceMappings` (API-128).
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct ListEventSourceMappings {
    /// One page.
    pub event_source_mappings: Vec<EventSourceMappingConfiguration>,
    /// Present when there is more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_marker: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::requests::parse;

    /// API-156, API-706: what comes in goes out, absent stays absent, wrong types are refused.
    #[test]
    fn shapes_round_trip_and_refuse_wrong_types() {
        let text = r#"{"FunctionName":"f","EventSourceArn":"a","BatchSize":3,"Unknown":1,"SelfManagedEventSource":
            {"Endpoints":{"KAFKA_BOOTSTRAP_SERVERS":["h:1"]}},"FilterCriteria":{"Filters":[{"Pattern":"{}"}]}}"#;
        let create: CreateEventSourceMapping = parse(text.as_bytes()).unwrap();
        assert_eq!(
            serde_json::to_string(&create.settings).unwrap(),
            r#"{"BatchSize":3,"FilterCriteria":{"Filters":[{"Pattern":"{}"}]}}"#
        );
        assert_eq!(create.origin.event_source_arn.as_deref(), Some("a"));
        for bad in [
            r#"{"BatchSize":"3"}"#,
            r#"{"Enabled":"true"}"#,
            r#"{"FilterCriteria":[]}"#,
            r#"{"FilterCriteria":{"Filters":[["{}"]]}}"#,
            r#"{"SourceAccessConfigurations":{}}"#,
            r#"{"Topics":"t"}"#,
            "[]x",
        ] {
            assert!(parse::<CreateEventSourceMapping>(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
