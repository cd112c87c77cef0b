//! Settings of the rules.

use std::sync::Arc;

use lambd_outbound::Credentials;
use lambd_outbound::s3::Objects;
use lambd_store::packages::UnpackLimits;
use lambd_types::{NetworkPolicy, NetworkRules, limits};
use tokio::sync::SetOnce;

/// What becomes of requests that the phases of a runtime's deprecation forbid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RuntimeDeprecation {
    /// They are as good as any other.
    Off,
    /// They are carried out, and the daemon's log tells of it.
    #[default]
    Warn,
    /// They are refused, as the service does it.
    Enforce,
}

/// Limits, with the service's defaults.
#[derive(Debug, Clone)]
pub struct ControlOptions {
    /// How large a package may be when unpacked.
    pub unpack: UnpackLimits,
    /// Bytes of a zip that may be uploaded directly.
    pub code_size_zipped: u64,
    /// Bytes of all packages of an account and region.
    pub total_code_size: u64,
    /// Executions at one time in an account and region.
    pub concurrent_executions: usize,
    /// Where code in S3 is; without it, there is none.
    pub objects: Option<Objects>,
    /// What requests to it are signed with; without them, the account's number stands for a key.
    pub objects_credentials: Option<Credentials>,
    /// Which networks functions may ask for. It may be set later: who needs it waits.
    pub network: Arc<SetOnce<NetworkRules>>,
    /// What becomes of functions on deprecated runtimes.
    pub runtime_deprecation: RuntimeDeprecation,
}

impl Default for ControlOptions {
    fn default() -> Self {
        Self {
            unpack: UnpackLimits::default(),
            code_size_zipped: limits::CODE_SIZE_ZIPPED,
            total_code_size: limits::TOTAL_CODE_SIZE,
            concurrent_executions: limits::CONCURRENT_EXECUTIONS,
            objects: None,
            objects_credentials: None,
            network: Arc::new(SetOnce::new_with(Some(NetworkRules::new(NetworkPolicy::None)))),
            runtime_deprecation: RuntimeDeprecation::default(),
        }
    }
}
