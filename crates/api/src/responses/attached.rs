//! Responses about what hangs on a function beside its code and configuration.

use serde::Serialize;

/// `AddPermission` (API-102).
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct AddPermission {
    /// The statement as JSON text.
    pub statement: String,
}

/// `GetPolicy` (API-123).
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct GetPolicy {
    /// The document as JSON text.
    pub policy: String,
    /// Revision of what it hangs on.
    pub revision_id: String,
}

/// Settings of asynchronous invocation (API-158, API-215).
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct EventInvokeConfig {
    /// Seconds since 1970, with milliseconds.
    pub last_modified: f64,
    /// Qualified ARN.
    pub function_arn: String,
    /// Attempts after a function error.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub maximum_retry_attempts: Option<u32>,
    /// Seconds that an event may wait.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub maximum_event_age_in_seconds: Option<u32>,
    /// Where outcomes are told.
    pub destination_config: DestinationConfig,
}

/// Where outcomes are told.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct DestinationConfig {
    /// Of successes.
    pub on_success: Destination,
    /// Of failures.
    pub on_failure: Destination,
}

/// One destination.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Destination {
    /// ARN.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub destination: Option<String>,
}

/// `ListFunctionEventInvokeConfigs` (API-129).
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct ListEventInvokeConfigs {
    /// One page.
    pub function_event_invoke_configs: Vec<EventInvokeConfig>,
    /// Present when there is more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_marker: Option<String>,
}

/// Reserved concurrency (API-205); empty when there is none.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Concurrency {
    /// Executions.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reserved_concurrent_executions: Option<u32>,
}

/// Provisioned concurrency and how far it is (API-162, API-223).
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct ProvisionedConcurrency {
    /// Qualified ARN, in lists.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub function_arn: Option<String>,
    /// Instances that were asked for.
    pub requested_provisioned_concurrent_executions: u32,
    /// Those without an event.
    pub available_provisioned_concurrent_executions: u32,
    /// Those that are initialised.
    pub allocated_provisioned_concurrent_executions: u32,
    /// `IN_PROGRESS`, `READY` or `FAILED`.
    pub status: &'static str,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status_reason: Option<String>,
    /// Last change by a user, ISO 8601.
    pub last_modified: String,
}

/// `ListProvisionedConcurrencyConfigs` (API-133).
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct ListProvisionedConcurrencyConfigs {
    /// One page.
    pub provisioned_concurrency_configs: Vec<ProvisionedConcurrency>,
    /// Present when there is more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_marker: Option<String>,
}

/// `GetAccountSettings` (API-163).
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct AccountSettings {
    /// Limits.
    pub account_limit: AccountLimit,
    /// What of them is used.
    pub account_usage: AccountUsage,
}

/// Limits of an account in a region (API-201).
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct AccountLimit {
    /// Bytes of all packages.
    pub total_code_size: u64,
    /// Bytes of a package when unpacked.
    pub code_size_unzipped: u64,
    /// Bytes of a package that is uploaded directly.
    pub code_size_zipped: u64,
    /// Executions at one time.
    pub concurrent_executions: u64,
    /// Those of them that no function has for itself.
    pub unreserved_concurrent_executions: u64,
}

/// What an account uses in a region (API-202).
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct AccountUsage {
    /// Bytes of all packages.
    pub total_code_size: u64,
    /// Functions.
    pub function_count: u64,
}

/// A function URL (API-412).
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct FunctionUrlConfig {
    /// The address.
    pub function_url: String,
    /// ARN of the function or alias.
    pub function_arn: String,
    /// `NONE` or `AWS_IAM`.
    pub auth_type: String,
    /// Cross-origin rules.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cors: Option<Cors>,
    /// `2022-01-31T10:00:00.000Z`.
    pub creation_time: String,
    /// Likewise; creation says nothing of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_modified_time: Option<String>,
    /// `BUFFERED` or `RESPONSE_STREAM`.
    pub invoke_mode: String,
}

/// Cross-origin rules, with the members that were given.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Cors {
    /// Whether cookies are allowed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allow_credentials: Option<bool>,
    /// Request headers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allow_headers: Option<Vec<String>>,
    /// Methods.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allow_methods: Option<Vec<String>>,
    /// Origins.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allow_origins: Option<Vec<String>>,
    /// Response headers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expose_headers: Option<Vec<String>>,
    /// Seconds that a browser may remember them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_age: Option<u32>,
}

/// `ListFunctionUrlConfigs` (API-413).
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct ListFunctionUrlConfigs {
    /// One page.
    pub function_url_configs: Vec<FunctionUrlConfig>,
    /// Present when there is more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_marker: Option<String>,
}

/// The answer of the operations on one code signing configuration.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct OneCodeSigningConfig {
    /// It.
    pub code_signing_config: CodeSigningConfig,
}

/// A code signing configuration.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct CodeSigningConfig {
    /// `csc-` and 17 characters.
    pub code_signing_config_id: String,
    /// ARN.
    pub code_signing_config_arn: String,
    /// Free text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Who may sign.
    pub allowed_publishers: AllowedPublishers,
    /// What becomes of code that nobody signed.
    pub code_signing_policies: CodeSigningPolicies,
    /// `2022-01-31T10:00:00.000Z`.
    pub last_modified: String,
}

/// Who may sign.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct AllowedPublishers {
    /// ARNs of versions of signing profiles.
    pub signing_profile_version_arns: Vec<String>,
}

/// What becomes of code that nobody signed.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct CodeSigningPolicies {
    /// `Warn` or `Enforce`.
    pub untrusted_artifact_on_deployment: String,
}

/// `ListCodeSigningConfigs` (API-406).
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct ListCodeSigningConfigs {
    /// One page.
    pub code_signing_configs: Vec<CodeSigningConfig>,
    /// Present when there is more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_marker: Option<String>,
}

/// `ListFunctionsByCodeSigningConfig` (API-407).
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct ListFunctionsByCodeSigningConfig {
    /// One page.
    pub function_arns: Vec<String>,
    /// Present when there is more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_marker: Option<String>,
}

/// The code signing configuration of a function (API-405, API-713).
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct FunctionCodeSigningConfig {
    /// ARN; left out when there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code_signing_config_arn: Option<String>,
    /// Bare name.
    pub function_name: String,
}

/// `GetFunctionRecursionConfig` (API-418).
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct RecursionConfig {
    /// `Allow` or `Terminate`.
    pub recursive_loop: String,
}

/// `GetRuntimeManagementConfig` (API-416).
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct RuntimeManagementConfig {
    /// `Auto`, `FunctionUpdate` or `Manual`.
    pub update_runtime_on: String,
    /// Qualified ARN.
    pub function_arn: String,
    /// The version for `Manual`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub runtime_version_arn: Option<String>,
}
