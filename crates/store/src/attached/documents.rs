//! The kinds of documents. A field added later needs a default, for those of earlier versions lack it.

use serde::{Deserialize, Serialize};

use super::Attached;

macro_rules! kinds {
    ($($name:ident: $kind:literal;)+) => {
        $(impl Attached for $name {
            const KIND: &'static str = $kind;
        })+
    };
}

kinds! {
    Policy: "policy";
    EventInvoke: "event-invoke";
    ReservedConcurrency: "reserved-concurrency";
    ProvisionedConcurrency: "provisioned-concurrency";
    UrlConfig: "url";
    CodeSigning: "code-signing";
    Recursion: "recursion";
    RuntimeManagement: "runtime-management";
}

/// Who may do what with the holder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Policy(
    /// The policy document.
    pub String,
);

/// How asynchronous events are treated.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventInvoke {
    /// Attempts after a function error; `None` for the default.
    pub maximum_retry_attempts: Option<u32>,
    /// Seconds that an event may wait and be retried; `None` for the default.
    pub maximum_event_age: Option<u32>,
    /// ARN of where successes are told.
    pub on_success: Option<String>,
    /// ARN of where failures are told.
    pub on_failure: Option<String>,
    /// Last change, in milliseconds since 1970.
    pub last_modified: i64,
}

/// Executions that a function has for itself, and no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ReservedConcurrency(
    /// Their number.
    pub u32,
);

/// Instances that are kept initialised for a version or alias.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProvisionedConcurrency {
    /// Their number.
    pub executions: u32,
    /// Last change by a user, in milliseconds since 1970.
    pub last_modified: i64,
}

/// The address of a function.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UrlConfig {
    /// First label of its host name.
    pub id: String,
    /// `NONE` or `AWS_IAM`.
    pub auth_type: String,
    /// Cross-origin rules.
    pub cors: Option<Cors>,
    /// `BUFFERED` or `RESPONSE_STREAM`.
    pub invoke_mode: String,
    /// Creation, in milliseconds since 1970.
    pub created: i64,
    /// Last change, likewise.
    pub last_modified: i64,
}

/// Cross-origin rules, with the members that were given.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
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
    pub max_age: Option<u32>,
}

/// The code signing configuration that a function's code must satisfy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CodeSigning(
    /// Its ARN.
    pub String,
);

/// What is done about recursive loops.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Recursion(
    /// `Allow` or `Terminate`.
    pub String,
);

/// When a function gets another version of its runtime.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuntimeManagement {
    /// `Auto`, `FunctionUpdate` or `Manual`.
    pub update_runtime_on: String,
    /// The version for `Manual`.
    pub runtime_version_arn: Option<String>,
}
