//! Resource limits of the function's process, see getrlimit(2).

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::error::{Step, StepError};

/// Open files, as on AWS.
const FILES: u64 = 1024;
/// Processes and threads, as on AWS. Counted for the uid within the sandbox's user namespace.
const PROCESSES: u64 = 1024;

/// Core files. Not zero: a core that the host pipes to a program (core(5)) is limited by nothing but this value,
/// which means "none at all". With zero, a function that crashes would feed a program of the host, which runs
/// as root, as much memory as it likes. `filter` sees to it that it stays.
const CORE: u64 = 1;
/// Size to which the stack grows, as on AWS. Where it is unlimited, the kernel lays out memory less randomly.
const STACK: u64 = 8 << 20;

/// Sets all limits, hard and soft, so that the function cannot raise them again.
///
/// `RLIMIT_AS` is never used for memory: runtimes with a managed heap (V8, the JVM) reserve far more
/// addresses than they touch. `RLIMIT_DATA` counts private writable memory only; see the sandbox
/// crate for what it is set to.
pub(crate) fn apply(data_bytes: Option<u64>) -> Result<(), StepError> {
    lower(Resource::Nofile, FILES).step("limit open files")?;
    lower(Resource::Nproc, PROCESSES).step("limit processes")?;
    lower(Resource::Core, CORE).step("disable core files")?;
    // A user who may run in real time, such as musicians on their own machine, must not share that right.
    lower(Resource::Rtprio, 0).step("disable real-time priorities")?;
    lower(Resource::Nice, 0).step("disable better priorities")?;
    lower_soft(Resource::Stack, STACK).step("limit stacks")?;
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

/// Lowers what is in force and leaves how far it may be raised: a program may know that it needs more.
fn lower_soft(resource: Resource, to: u64) -> rustix::io::Result<()> {
    let Rlimit { current, maximum } = getrlimit(resource);
    setrlimit(resource, Rlimit { current: Some(current.map_or(to, |soft| soft.min(to))), maximum })
}
