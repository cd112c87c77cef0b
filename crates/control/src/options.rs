//! Settings of the rules.

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
            network: NetworkRules::new(NetworkPolicy::None),
        }
    }
}
