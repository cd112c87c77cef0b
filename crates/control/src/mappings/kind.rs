//! Kinds of event sources.

use lambd_api::ApiError;
use lambd_api::mappings::MappingOrigin;

/// What a mapping reads from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A queue.
    Sqs {
        /// In the order of its message groups.
        fifo: bool,
    },
    /// A data stream, or a consumer of one.
    Kinesis,
    /// The stream of a table.
    DynamoDb,
    /// Amazon MSK.
    ManagedKafka,
    /// Apache Kafka at given servers.
    SelfManagedKafka,
    /// Amazon MQ.
    Mq,
    /// The change stream of a DocumentDB cluster.
    DocumentDb,
}

impl Kind {
    /// From what a mapping says of its source.
    pub(crate) fn of(origin: &MappingOrigin) -> Result<Self, ApiError> {
        let invalid = |text: String| Err(ApiError::InvalidParameterValue(text));
        match (&origin.event_source_arn, &origin.self_managed_event_source) {
            (None, None) => invalid("Unrecognized event source.".to_owned()),
            (Some(_), Some(_)) => {
                invalid("EventSourceArn and SelfManagedEventSource cannot be used together.".to_owned())
            }
            (None, Some(_)) => Ok(Self::SelfManagedKafka),
            (Some(arn), None) => match Self::of_arn(arn) {
                Some(kind) => Ok(kind),
                None => invalid(format!(
                    "Unrecognized event source, must be the ARN of a kinesis or dynamodb stream, an sqs queue, an msk \
                     cluster, an mq broker or a documentdb cluster. Unsupported source arn : {arn}"
                )),
            },
        }
    }

    fn of_arn(arn: &str) -> Option<Self> {
        let mut fields = arn.splitn(6, ':').skip(2);
        let (service, resource) = (fields.next()?, fields.nth(2)?);
        let known = match service {
            "sqs" => (!resource.is_empty()).then(|| Self::Sqs { fifo: resource.ends_with(".fifo") }),
            "kinesis" => resource.starts_with("stream/").then_some(Self::Kinesis),
            "dynamodb" => {
                (resource.starts_with("table/") && resource.contains("/stream/")).then_some(Self::DynamoDb)
            }
            "kafka" => (resource.starts_with("cluster/") || resource.starts_with("vpc-connection/"))
                .then_some(Self::ManagedKafka),
            "mq" => resource.starts_with("broker:").then_some(Self::Mq),
            "rds" => resource.starts_with("cluster:").then_some(Self::DocumentDb),
            _ => None,
        };
        known.filter(|_| !resource.contains(char::is_whitespace))
    }

    /// A stream with shards.
    pub(crate) fn is_stream(self) -> bool {
        matches!(self, Self::Kinesis | Self::DynamoDb)
    }

    /// Either Kafka.
    pub(crate) fn is_kafka(self) -> bool {
        matches!(self, Self::ManagedKafka | Self::SelfManagedKafka)
    }

    /// One that is read from a position of the user's choice.
    pub(crate) fn has_position(self) -> bool {
        self.is_stream() || self.is_kafka() || self == Self::DocumentDb
    }
}
