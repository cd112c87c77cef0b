//! Resource limits of the function's process, see getrlimit(2).

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::error::{Step, StepError};

/// Open files, as on AWS.
const FILES: u64 = 1024;
/// Processes and threads, as on AWS. Counted for the uid within the sandbox's user namespace.
const PROCESSES: u64 = 1024;

/// Sets all limits, hard and soft, so that the function cannot raise them again.
///
/// `RLIMIT_AS` is never used for memory: runtimes with a managed heap (V8, the JVM) reserve far more
/// addresses than they touch. `RLIMIT_DATA` counts private writable memory only; see the sandbox
/// crate for what it is set to.
pub(crate) fn apply(data_bytes: Option<u64>) -> Result<(), StepError> {
    lower(Resource::Nofile, FILES).step("limit open files")?;
    lower(Resource::Nproc, PROCESSES).step("limit processes")?;
    // A core file would fill /tmp, and its pattern may name a program of the host.
    lower(Resource::Core, 0).step("disable core files")?;
    if let Some(bytes) = data_bytes {
        lower(Resource::Data, bytes).step("limit data memory")?;
    }
    Ok(())
}

/// Never above the hard limit this process has: raising needs a right that nobody needs to have.
fn lower(resource: Resource, to: u64) -> rustix::io::Result<()> {
    let limit = Some(getrlimit(resource).maximum.map_or(to, |hard| hard.min(to)));
    setrlimit(resource, Rlimit { current: limit, maximum: limit })
}
