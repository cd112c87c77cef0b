//! Response bodies. Absent optional members are left out, as AWS does.

pub mod layers;

pub mod attached;

use std::collections::BTreeMap;

use serde::Serialize;

/// A function version (API-150, with the members that today's clients expect: API-715).
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct FunctionConfiguration {
    /// Bare name.
    pub function_name: String,
    /// ARN, qualified when a version or alias was asked for.
    pub function_arn: String,
    /// Runtime identifier.
    pub runtime: String,
    /// Execution role.
    pub role: String,
    /// Handler, left out when there is none.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub handler: String,
    /// Bytes of the zip.
    pub code_size: u64,
    /// Free text.
    pub description: String,
    /// Seconds.
    pub timeout: u32,
    /// MB.
    pub memory_size: u32,
    /// `2018-11-27T15:10:45.123+0000`.
    pub last_modified: String,
    /// Base64 of the zip's SHA-256.
    pub code_sha256: String,
    /// `$LATEST` or a number.
    pub version: String,
    /// Environment, left out when there are no variables.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub environment: Option<EnvironmentResponse>,
    /// Tracing.
    pub tracing_config: TracingConfigResponse,
    /// Revision.
    pub revision_id: String,
    /// State; lists leave it out.
    #[serde(flatten)]
    pub state: Option<FunctionState>,
    /// `Zip`.
    pub package_type: &'static str,
    /// The machine's.
    pub architectures: [String; 1],
    /// Size of `/tmp`.
    pub ephemeral_storage: EphemeralStorageResponse,
    /// SnapStart.
    pub snap_start: SnapStartResponse,
    /// Logging.
    pub logging_config: LoggingConfigResponse,
    /// Layers, left out when there are none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub layers: Vec<layers::Layer>,
    /// Dead letter queue or topic, left out when there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dead_letter_config: Option<DeadLetterConfigResponse>,
}

/// Where asynchronous events go that failed.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct DeadLetterConfigResponse {
    /// Queue or topic.
    pub target_arn: String,
}

/// The state of a version (API-081..084).
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct FunctionState {
    /// `Active` once it can be invoked.
    pub state: &'static str,
    /// Why it is not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state_reason: Option<String>,
    /// The same as a code.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state_reason_code: Option<&'static str>,
    /// `Successful` once the last update is in force; none while the version is being created.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_update_status: Option<&'static str>,
    /// Why it is not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_update_status_reason: Option<String>,
    /// The same as a code.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_update_status_reason_code: Option<&'static str>,
}

/// Environment variables.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct EnvironmentResponse {
    /// Name to value.
    pub variables: BTreeMap<String, String>,
}

/// Tracing.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct TracingConfigResponse {
    /// `PassThrough`.
    pub mode: &'static str,
}

/// Size of `/tmp`.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct EphemeralStorageResponse {
    /// MB.
    pub size: u32,
}

/// SnapStart.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct SnapStartResponse {
    /// `PublishedVersions` or `None`.
    pub apply_on: &'static str,
    /// `On` for a published version that has it, else `Off`.
    pub optimization_status: &'static str,
}

/// Logging.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct LoggingConfigResponse {
    /// `Text` or `JSON`.
    pub log_format: &'static str,
    /// For `JSON` only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub application_log_level: Option<String>,
    /// For `JSON` only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub system_log_level: Option<String>,
    /// Log group.
    pub log_group: String,
}

/// `GetFunction` (API-151).
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct GetFunction {
    /// The version.
    pub configuration: FunctionConfiguration,
    /// Where to download its package.
    pub code: FunctionCodeLocation,
    /// Tags of the function, left out when there are none.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
    /// Reserved concurrency of the function, left out when there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<attached::Concurrency>,
}

/// Where a package can be downloaded (API-213).
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct FunctionCodeLocation {
    /// `S3`.
    pub repository_type: &'static str,
    /// A link that needs no credential, for 10 minutes.
    pub location: String,
}

/// `ListFunctions` (API-130).
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct ListFunctions {
    /// One page.
    pub functions: Vec<FunctionConfiguration>,
    /// Present when there is more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_marker: Option<String>,
}

/// `ListVersionsByFunction` (API-135).
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct ListVersions {
    /// One page.
    pub versions: Vec<FunctionConfiguration>,
    /// Present when there is more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_marker: Option<String>,
}

/// An alias (API-157).
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct AliasConfiguration {
    /// ARN.
    pub alias_arn: String,
    /// Name.
    pub name: String,
    /// Where it leads.
    pub function_version: String,
    /// Free text.
    pub description: String,
    /// Revision.
    pub revision_id: String,
    /// A second version, left out when there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub routing_config: Option<RoutingConfigResponse>,
}

/// A second version of an alias.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct RoutingConfigResponse {
    /// Version to share, from 0 to 1.
    pub additional_version_weights: BTreeMap<String, f64>,
}

/// `ListAliases` (API-127).
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct ListAliases {
    /// One page.
    pub aliases: Vec<AliasConfiguration>,
    /// Present when there is more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_marker: Option<String>,
}

/// `InvokeAsync` (API-126).
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct InvokeAsync {
    /// The HTTP status, once more.
    pub status: u16,
}

/// The last event of `InvokeWithResponseStream` (API-415). What is `None` is left out.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct InvokeComplete {
    /// What `X-Amz-Function-Error` is to `Invoke`, or the error of a fault.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error_code: Option<String>,
    /// The error's document.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error_details: Option<String>,
    /// The end of the log, in base64.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log_result: Option<String>,
}

/// `ListTags` (API-134).
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct ListTags {
    /// Name to value.
    pub tags: BTreeMap<String, String>,
}
