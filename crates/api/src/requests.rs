//! Request bodies. Unknown members are ignored, as AWS does; wrong JSON types are an error.
//!
//! Members that lambd does not act on are read all the same, so that the rules can refuse them by name
//! instead of silently ignoring what a caller asked for.

pub mod layers;

pub mod attached;

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::de::value::MapAccessDeserializer;
use serde::de::{DeserializeOwned, Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use crate::ApiError;

/// Reads a JSON body.
pub fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, ApiError> {
    serde_json::from_slice(body).map_err(|error| {
        let text = match error.classify() {
            serde_json::error::Category::Data => format!("{error}"),
            _ => format!("Could not parse request body into json: {error}"),
        };
        ApiError::Serialization(text)
    })
}

/// Reads a JSON body that may be missing altogether: all its members are optional.
pub fn parse_or_default<T: DeserializeOwned + Default>(body: &[u8]) -> Result<T, ApiError> {
    if body.is_empty() { Ok(T::default()) } else { parse(body) }
}

/// A base64 blob, decoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blob(pub Vec<u8>);

impl<'de> Deserialize<'de> for Blob {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        STANDARD.decode(text.as_bytes()).map(Self).map_err(|_| D::Error::custom("a blob is not valid base64"))
    }
}

/// A JSON object; serde alone would take an array of its members as well.
struct Object<T>(T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ObjectVisitor(PhantomData)).map(Self)
    }
}

struct ObjectVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for ObjectVisitor<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
        T::deserialize(MapAccessDeserializer::new(map))
    }
}

/// Reads an optional JSON object.
pub(crate) fn object<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    Ok(Option::<Object<T>>::deserialize(deserializer)?.map(|object| object.0))
}

/// Reads an optional list of JSON objects.
pub(crate) fn objects<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Option<Vec<T>>, D::Error> {
    let list = Option::<Vec<Object<T>>>::deserialize(deserializer)?;
    Ok(list.map(|list| list.into_iter().map(|object| object.0).collect()))
}

/// Reads a member whose `null` means that it is absent.
fn or_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(
    deserializer: D,
) -> Result<T, D::Error> {
    Option::deserialize(deserializer).map(Option::unwrap_or_default)
}

/// Where the code of a function comes from (API-212, API-503).
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct FunctionCode {
    /// Nothing, where the zip itself was: see [`crate::archive`].
    pub zip_file: Option<Blob>,
    /// Bucket of a zip in S3.
    pub s3_bucket: Option<String>,
    /// Its key.
    pub s3_key: Option<String>,
    /// Its version.
    pub s3_object_version: Option<String>,
    /// A container image.
    pub image_uri: Option<String>,
    /// Key that the zip is encrypted with.
    #[serde(rename = "SourceKMSKeyArn")]
    pub source_kms_key_arn: Option<String>,
}

/// Environment variables.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Environment {
    /// Name to value.
    pub variables: Option<BTreeMap<String, String>>,
}

/// Size of `/tmp`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct EphemeralStorage {
    /// MB.
    pub size: i64,
}

/// X-Ray.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct TracingConfig {
    /// `Active` or `PassThrough`.
    pub mode: Option<String>,
}

/// Dead-letter queue.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct DeadLetterConfig {
    /// Queue or topic; empty clears it.
    pub target_arn: Option<String>,
}

/// VPC.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct VpcConfig {
    /// Subnets.
    #[serde(deserialize_with = "or_default")]
    pub subnet_ids: Vec<String>,
    /// Security groups.
    #[serde(deserialize_with = "or_default")]
    pub security_group_ids: Vec<String>,
    /// Dual stack.
    #[serde(deserialize_with = "or_default")]
    pub ipv6_allowed_for_dual_stack: bool,
}

/// SnapStart.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct SnapStart {
    /// `PublishedVersions` or `None`.
    pub apply_on: Option<String>,
}

/// Advanced logging.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct LoggingConfig {
    /// `Text` or `JSON`.
    pub log_format: Option<String>,
    /// For `JSON` only.
    pub application_log_level: Option<String>,
    /// For `JSON` only.
    pub system_log_level: Option<String>,
    /// Log group instead of `/aws/lambda/<name>`.
    pub log_group: Option<String>,
}

/// The settings that `CreateFunction` and `UpdateFunctionConfiguration` share (API-152, API-153).
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Settings {
    /// Execution role.
    pub role: Option<String>,
    /// Handler.
    pub handler: Option<String>,
    /// Runtime identifier.
    pub runtime: Option<String>,
    /// Free text.
    pub description: Option<String>,
    /// Seconds.
    pub timeout: Option<i64>,
    /// MB.
    pub memory_size: Option<i64>,
    /// Environment variables.
    #[serde(deserialize_with = "object")]
    pub environment: Option<Environment>,
    /// Size of `/tmp`.
    #[serde(deserialize_with = "object")]
    pub ephemeral_storage: Option<EphemeralStorage>,
    /// Logging.
    #[serde(deserialize_with = "object")]
    pub logging_config: Option<LoggingConfig>,
    /// Tracing.
    #[serde(deserialize_with = "object")]
    pub tracing_config: Option<TracingConfig>,
    /// Dead-letter queue.
    #[serde(deserialize_with = "object")]
    pub dead_letter_config: Option<DeadLetterConfig>,
    /// VPC.
    #[serde(deserialize_with = "object")]
    pub vpc_config: Option<VpcConfig>,
    /// Layers.
    pub layers: Option<Vec<String>>,
    /// Key for the environment.
    #[serde(rename = "KMSKeyArn")]
    pub kms_key_arn: Option<String>,
    /// SnapStart.
    #[serde(deserialize_with = "object")]
    pub snap_start: Option<SnapStart>,
    /// File systems.
    pub file_system_configs: Option<Vec<serde_json::Value>>,
    /// Settings of a container image.
    pub image_config: Option<serde_json::Value>,
    /// Managed instances.
    pub capacity_provider_config: Option<serde_json::Value>,
    /// Durable executions.
    pub durable_config: Option<serde_json::Value>,
}

/// `CreateFunction` (API-105).
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct CreateFunction {
    /// Name or ARN.
    pub function_name: Option<String>,
    /// The code.
    #[serde(deserialize_with = "object")]
    pub code: Option<FunctionCode>,
    /// `Zip` or `Image`.
    pub package_type: Option<String>,
    /// Processor architecture.
    pub architectures: Option<Vec<String>>,
    /// Publish version 1 at once.
    #[serde(deserialize_with = "or_default")]
    pub publish: bool,
    /// Where to publish to.
    pub publish_to: Option<String>,
    /// Tags of the function.
    pub tags: Option<BTreeMap<String, String>>,
    /// Code signing.
    pub code_signing_config_arn: Option<String>,
    /// Tenant isolation.
    pub tenancy_config: Option<serde_json::Value>,
    /// Everything else.
    #[serde(flatten)]
    pub settings: Settings,
}

/// `UpdateFunctionConfiguration` (API-148).
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct UpdateFunctionConfiguration {
    /// Update only if this is the latest revision.
    pub revision_id: Option<String>,
    /// The settings to change.
    #[serde(flatten)]
    pub settings: Settings,
}

/// `UpdateFunctionCode` (API-147): the code is at top level here.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct UpdateFunctionCode {
    /// Update only if this is the latest revision.
    pub revision_id: Option<String>,
    /// Validate only.
    #[serde(deserialize_with = "or_default")]
    pub dry_run: bool,
    /// Publish a version afterwards.
    #[serde(deserialize_with = "or_default")]
    pub publish: bool,
    /// Where to publish to.
    pub publish_to: Option<String>,
    /// Processor architecture.
    pub architectures: Option<Vec<String>>,
    /// The code.
    #[serde(flatten)]
    pub code: FunctionCode,
}

/// `PublishVersion` (API-137).
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct PublishVersion {
    /// Publish only if this is the digest of the code.
    pub code_sha256: Option<String>,
    /// Instead of the function's description.
    pub description: Option<String>,
    /// Publish only if this is the latest revision.
    pub revision_id: Option<String>,
    /// Where to publish to.
    pub publish_to: Option<String>,
}

/// A second version of an alias (API-204).
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct RoutingConfig {
    /// Version to share, from 0 to 1.
    pub additional_version_weights: Option<BTreeMap<String, f64>>,
}

/// `CreateAlias` (API-103).
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct CreateAlias {
    /// Its name.
    pub name: Option<String>,
    /// Where it leads.
    pub function_version: Option<String>,
    /// Free text.
    pub description: Option<String>,
    /// A second version.
    #[serde(deserialize_with = "object")]
    pub routing_config: Option<RoutingConfig>,
}

/// `UpdateAlias` (API-145).
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct UpdateAlias {
    /// Where it leads.
    pub function_version: Option<String>,
    /// Free text.
    pub description: Option<String>,
    /// Update only if this is the latest revision.
    pub revision_id: Option<String>,
    /// A second version; an empty one ends the sharing.
    #[serde(deserialize_with = "object")]
    pub routing_config: Option<RoutingConfig>,
}

/// `TagResource` (API-143).
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct TagResource {
    /// Tags to add or replace.
    pub tags: Option<BTreeMap<String, String>>,
}
