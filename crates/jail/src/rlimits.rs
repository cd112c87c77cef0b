//! Resource limits of the function's process, see getrlimit(2).

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::error::{Step, StepError};

/// Open files, as on AWS.
const FILES: u64 = 1024;
/// Processes and threads, as on AWS. Counted for the uid within the sandbox's user namespace.
const PROCESSES: u64 = 1024;

/// A limit of the function's process.
pub(crate) struct Limit {
    pub(crate) name: &'static str,
    resource: Resource,
    step: &'static str,
}

/// All limits with their values, hard and soft, so that the function cannot raise them again. Never above
/// the hard limit this process has: raising needs a right that nobody needs to have.
///
/// `RLIMIT_AS` is never used for memory: runtimes with a managed heap (V8, the JVM) reserve far more
/// addresses than they touch. `RLIMIT_DATA` counts private writable memory only; see the sandbox
/// crate for what it is set to.
pub(crate) fn limits(data_bytes: Option<u64>) -> impl Iterator<Item = (Limit, u64)> {
    let limit = |name, resource, step| Limit { name, resource, step };
    let always = [
        (limit("RLIMIT_NOFILE", Resource::Nofile, "limit open files"), FILES),
        (limit("RLIMIT_NPROC", Resource::Nproc, "limit processes"), PROCESSES),
        // A core file would fill /tmp, and its pattern may name a program of the host.
        (limit("RLIMIT_CORE", Resource::Core, "disable core files"), 0),
    ];
    let data = data_bytes.map(|bytes| (limit("RLIMIT_DATA", Resource::Data, "limit data memory"), bytes));
    always.into_iter().chain(data).map(|(limit, value)| {
        let value = getrlimit(limit.resource).maximum.map_or(value, |hard| hard.min(value));
        (limit, value)
    })
}

/// Sets all limits.
pub(crate) fn apply(data_bytes: Option<u64>) -> Result<(), StepError> {
    for (limit, value) in limits(data_bytes) {
        let both = Rlimit { current: Some(value), maximum: Some(value) };
        setrlimit(limit.resource, both).step(limit.step)?;
    }
    Ok(())
}
