//! One version of a function as the engine sees it.

use std::path::PathBuf;
use std::sync::Arc;

use crate::{
    EphemeralStorage, FunctionName, LogFormat, MemorySize, NetworkPolicy, Qualifier, RevisionId, Scope,
    Sha256Digest, Timeout, Version,
};

/// What names one function version in the whole system.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct FunctionKey {
    /// Account and region.
    pub scope: Scope,
    /// The function.
    pub name: FunctionName,
    /// The version.
    pub version: Version,
}

/// A function as an event names it: by a version, or by an alias, which leads somewhere else tomorrow.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct FunctionTarget {
    /// Account and region.
    pub scope: Scope,
    /// The function.
    pub name: FunctionName,
    /// The version or alias.
    pub qualifier: Qualifier,
}

/// An immutable copy of everything that running a version needs. A change of `$LATEST` makes a new
/// snapshot with a new revision; instances of the old one finish their event and are retired.
#[derive(Debug, Clone)]
pub struct FunctionSnapshot {
    /// Which function and version.
    pub key: FunctionKey,
    /// Changes with the code and the settings; instances are pooled by it.
    pub revision: RevisionId,
    /// Unqualified ARN.
    pub arn: String,
    /// Runtime identifier, such as `python3.12` or `provided.al2023`.
    pub runtime: String,
    /// Handler as configured; empty for custom runtimes that need none.
    pub handler: String,
    /// Memory limit.
    pub memory: MemorySize,
    /// Time limit of one event.
    pub timeout: Timeout,
    /// Size of `/tmp`.
    pub ephemeral_storage: EphemeralStorage,
    /// The network that it asks for; `None` when it takes what the operator gives to all.
    pub network: Option<NetworkPolicy>,
    /// Whether it is initialised as if from a snapshot (SnapStart).
    pub snap_start: bool,
    /// The user's environment variables.
    pub environment: Arc<Vec<(String, String)>>,
    /// Digest of the package.
    pub code: Sha256Digest,
    /// Where the package is unpacked; mounted read-only at `/var/task`.
    pub code_dir: PathBuf,
    /// Where its layers are unpacked, merged in their order; mounted read-only at `/opt`. `None` without layers.
    pub layers_dir: Option<PathBuf>,
    /// Log group, `/aws/lambda/<name>` unless configured otherwise.
    pub log_group: String,
    /// What the log has, and in which form.
    pub log_format: LogFormat,
    /// ARN of the queue or topic that gets its asynchronous events that failed.
    pub dead_letter: Option<String>,
}
