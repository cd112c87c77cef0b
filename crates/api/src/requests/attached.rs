//! Requests about what hangs on a function beside its code and configuration.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::object;

/// `AddPermission` (API-102, API-501).
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct AddPermission {
    /// Name of the statement.
    pub statement_id: Option<String>,
    /// What is allowed.
    pub action: Option<String>,
    /// To whom.
    pub principal: Option<String>,
    /// For calls of this resource only.
    pub source_arn: Option<String>,
    /// For calls from this account only.
    pub source_account: Option<String>,
    /// For calls that bring this token only.
    pub event_source_token: Option<String>,
    /// For callers of this organisation only.
    #[serde(rename = "PrincipalOrgID")]
    pub principal_org_id: Option<String>,
    /// For function URLs of this kind only.
    pub function_url_auth_type: Option<String>,
    /// For calls through a function URL only.
    pub invoked_via_function_url: Option<bool>,
    /// Change only if this is the latest revision.
    pub revision_id: Option<String>,
}

/// `PutFunctionEventInvokeConfig` and `UpdateFunctionEventInvokeConfig` (API-139, API-149).
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct EventInvokeConfig {
    /// Attempts after a function error.
    pub maximum_retry_attempts: Option<i64>,
    /// Seconds that an event may wait.
    pub maximum_event_age_in_seconds: Option<i64>,
    /// Where outcomes are told.
    #[serde(deserialize_with = "object")]
    pub destination_config: Option<DestinationConfig>,
}

/// Where outcomes are told (API-206).
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct DestinationConfig {
    /// Of successes.
    #[serde(deserialize_with = "object")]
    pub on_success: Option<Destination>,
    /// Of failures.
    #[serde(deserialize_with = "object")]
    pub on_failure: Option<Destination>,
}

/// One destination.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Destination {
    /// ARN; empty for none.
    pub destination: Option<String>,
}

/// `PutFunctionConcurrency` (API-138).
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct PutFunctionConcurrency {
    /// Executions to reserve.
    pub reserved_concurrent_executions: Option<i64>,
}

/// `PutProvisionedConcurrencyConfig` (API-140).
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct PutProvisionedConcurrency {
    /// Instances to keep initialised.
    pub provisioned_concurrent_executions: Option<i64>,
}

/// `CreateFunctionUrlConfig` and `UpdateFunctionUrlConfig` (API-410, API-414).
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct FunctionUrlConfig {
    /// `NONE` or `AWS_IAM`.
    pub auth_type: Option<String>,
    /// Cross-origin rules.
    #[serde(deserialize_with = "object")]
    pub cors: Option<Cors>,
    /// `BUFFERED` or `RESPONSE_STREAM`.
    pub invoke_mode: Option<String>,
}

/// Cross-origin rules.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Cors {
    /// Whether cookies are allowed.
    pub allow_credentials: Option<bool>,
    /// Request headers.
    pub allow_headers: Option<Vec<String>>,
    /// Methods.
    pub allow_methods: Option<Vec<String>>,
    /// Origins.
    pub allow_origins: Option<Vec<String>>,
    /// Response headers.
    pub expose_headers: Option<Vec<String>>,
    /// Seconds that a browser may remember them.
    pub max_age: Option<i64>,
}

/// `CreateCodeSigningConfig` and `UpdateCodeSigningConfig` (API-401, API-409).
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct CodeSigningConfig {
    /// Free text.
    pub description: Option<String>,
    /// Who may sign.
    #[serde(deserialize_with = "object")]
    pub allowed_publishers: Option<AllowedPublishers>,
    /// What becomes of code that nobody signed.
    #[serde(deserialize_with = "object")]
    pub code_signing_policies: Option<CodeSigningPolicies>,
    /// Tags of the configuration.
    pub tags: Option<BTreeMap<String, String>>,
}

/// Who may sign.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct AllowedPublishers {
    /// ARNs of versions of signing profiles.
    pub signing_profile_version_arns: Option<Vec<String>>,
}

/// What becomes of code that nobody signed.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct CodeSigningPolicies {
    /// `Warn` or `Enforce`.
    pub untrusted_artifact_on_deployment: Option<String>,
}

/// `PutFunctionCodeSigningConfig` (API-408).
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct PutFunctionCodeSigningConfig {
    /// ARN of the configuration.
    pub code_signing_config_arn: Option<String>,
}

/// `PutFunctionRecursionConfig` (API-419).
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct PutFunctionRecursionConfig {
    /// `Allow` or `Terminate`.
    pub recursive_loop: Option<String>,
}

/// `PutRuntimeManagementConfig` (API-417).
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct PutRuntimeManagementConfig {
    /// `Auto`, `FunctionUpdate` or `Manual`.
    pub update_runtime_on: Option<String>,
    /// The version for `Manual`.
    pub runtime_version_arn: Option<String>,
}
