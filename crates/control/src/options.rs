//! Settings of the rules.

use lambd_outbound::Credentials;
use lambd_outbound::s3::Objects;
use lambd_store::packages::UnpackLimits;
use lambd_types::{NetworkPolicy, NetworkRules, limits};

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
    /// Which networks functions may ask for.
    pub network: NetworkRules,
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
            network: NetworkRules::new(NetworkPolicy::None),
        }
    }
}
