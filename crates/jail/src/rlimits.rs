//! Resource limits of the function's process, see getrlimit(2).

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::error::{Step, StepError};
use crate::identity::Lease;
use crate::protocol::{JailSpec, Level};

/// Open files, as on AWS.
const FILES: u64 = 1024;
/// Processes and threads, as on AWS. Counted for the uid within its user namespace.
const PROCESSES: u64 = 1024;

/// Sets all limits, hard and soft, so that the function cannot raise them again.
///
/// `RLIMIT_AS` is never used for memory: runtimes with a managed heap (V8, the JVM) reserve far more
/// addresses than they touch. `RLIMIT_DATA` counts private writable memory only; see the sandbox
/// crate for what it is set to.
pub(crate) fn apply(spec: &JailSpec, level: Level, lease: Lease) -> Result<(), StepError> {
    lower(Resource::Nofile, FILES).step("limit open files")?;
    // A user id that is not the sandbox's own has processes of others, which count as well.
    let others = if level == Level::Process && lease == Lease::Own { threads_of_own_user() } else { 0 };
    lower(Resource::Nproc, PROCESSES + others).step("limit processes")?;
    // A core file would fill /tmp, and its pattern may name a program of the host.
    lower(Resource::Core, 0).step("disable core files")?;
    if level == Level::Process {
        // No file system of its own limits what it writes. A single file at least cannot be larger.
        lower(Resource::Fsize, spec.tmp_bytes).step("limit size of files")?;
    }
    if let Some(bytes) = spec.data_limit_bytes {
        lower(Resource::Data, bytes).step("limit data memory")?;
    }
    Ok(())
}

/// Never above the hard limit this process has: raising needs a right that nobody needs to have.
fn lower(resource: Resource, to: u64) -> rustix::io::Result<()> {
    let limit = Some(getrlimit(resource).maximum.map_or(to, |hard| hard.min(to)));
    setrlimit(resource, Rlimit { current: limit, maximum: limit })
}

/// Threads of all processes of this process's user, as far as /proc shows them.
fn threads_of_own_user() -> u64 {
    let own = rustix::process::getuid().as_raw();
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let statuses = processes
        .filter(|entry| entry.file_name().as_encoded_bytes().iter().all(u8::is_ascii_digit))
        .filter_map(|entry| std::fs::read_to_string(entry.path().join("status")).ok());
    statuses
        .filter(|status| field(status, "Uid:") == Some(u64::from(own)))
        .filter_map(|status| field(&status, "Threads:"))
        .sum()
}

/// The first number behind a name in a status file, see proc_pid_status(5).
fn field(status: &str, name: &str) -> Option<u64> {
    status.lines().find_map(|line| line.strip_prefix(name))?.split_ascii_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_threads_are_counted() {
        assert!(threads_of_own_user() >= 1);
        assert_eq!(field("Name:\tx\nUid:\t1000\t1001\t0\t0\n", "Uid:"), Some(1000));
        assert_eq!(field("Name:\tx\n", "Uid:"), None);
    }
}
