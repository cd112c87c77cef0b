//! The isolation level `process`: no namespace and no mount, for containers that allow neither. What a
//! function may do is limited by the rights of its process alone.

use crate::error::StepError;
use crate::init::Init;

/// Everything between the order and the fork of the function's process. `false` when the spawner has died
/// meanwhile.
pub(crate) fn build(_init: &mut Init<'_>) -> Result<bool, StepError> {
    Err(StepError { step: "build a sandbox at the level process".into(), errno: libc::ENOSYS })
}
