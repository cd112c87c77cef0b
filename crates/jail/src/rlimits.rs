//! Resource limits of the function's process, see getrlimit(2).

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::error::{Step, StepError};
use crate::identity::Lease;
use crate::protocol::{JailSpec, Level, Tmp};

/// Open files, as on AWS.
const FILES: u64 = 1024;
/// Processes and threads, as on AWS. Counted for the uid within its user namespace.
const PROCESSES: u64 = 1024;

/// Signals that wait, timers included, and bytes of POSIX message queues (one of the usual size). The kernel counts
/// those of a user namespace for the user who made it as well, see [`raise_shared`], so that what one sandbox may have
/// should be small beside what a user has: about 100,000 and 819,200.
const SIGNALS: u64 = 1024;
const QUEUES: u64 = 128 << 10;

/// Core files. Not zero: a core that the host pipes to a program (core(5)) is limited by nothing but this value,
/// which means "none at all". With zero, a function that crashes would feed a program of the host, which runs
/// as root, as much memory as it likes. `filter` sees to it that it stays.
const CORE: u64 = 1;
/// Size to which the stack grows, as on AWS. Where it is unlimited, the kernel lays out memory less randomly.
const STACK: u64 = 8 << 20;

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
    all(0, None, data_bytes)
}

/// `others` are processes and threads that count although they are not the sandbox's.
fn all(others: u64, file_bytes: Option<u64>, data_bytes: Option<u64>) -> impl Iterator<Item = (Limit, u64)> {
    let limit = |name, resource, step| Limit { name, resource, step };
    let always = [
        (limit("RLIMIT_NOFILE", Resource::Nofile, "limit open files"), FILES),
        (limit("RLIMIT_NPROC", Resource::Nproc, "limit processes"), PROCESSES + others),
        (limit("RLIMIT_CORE", Resource::Core, "disable core files"), CORE),
        (limit("RLIMIT_SIGPENDING", Resource::Sigpending, "limit waiting signals"), SIGNALS),
        (limit("RLIMIT_MSGQUEUE", Resource::Msgqueue, "limit message queues"), QUEUES),
        // A user who may run in real time, such as musicians on their own machine, must not share that right.
        (limit("RLIMIT_RTPRIO", Resource::Rtprio, "disable real-time priorities"), 0),
        (limit("RLIMIT_NICE", Resource::Nice, "disable better priorities"), 0),
    ];
    let file = file_bytes.map(|bytes| (limit("RLIMIT_FSIZE", Resource::Fsize, "limit size of files"), bytes));
    let data = data_bytes.map(|bytes| (limit("RLIMIT_DATA", Resource::Data, "limit data memory"), bytes));
    always.into_iter().chain(file).chain(data).map(|(limit, value)| {
        let value = getrlimit(limit.resource).maximum.map_or(value, |hard| hard.min(value));
        (limit, value)
    })
}

/// Sets all limits but that of open files, see [`limit_files`].
pub(crate) fn apply(spec: &JailSpec, level: Level, lease: Lease) -> Result<(), StepError> {
    let on_host = level == Level::Process;
    // A user id that is not the sandbox's own has processes of others, which count as well.
    let others = if on_host && lease == Lease::Own { threads_of_own_user() } else { 0 };
    // No file system of its own limits what it writes. A single file at least cannot be larger.
    let file_bytes = match spec.tmp {
        Tmp::Memory { bytes } if on_host && bytes > 0 => Some(bytes),
        Tmp::Memory { .. } | Tmp::Directory { .. } => None,
    };
    let limits = all(others, file_bytes, spec.data_limit_bytes);
    for (limit, value) in limits.filter(|(limit, _)| limit.resource != Resource::Nofile) {
        set(&limit, value)?;
    }
    lower_soft(Resource::Stack, STACK).step("limit stacks")
}

/// Sets the limit of open files.
pub(crate) fn limit_files() -> Result<(), StepError> {
    limits(None)
        .filter(|(limit, _)| limit.resource == Resource::Nofile)
        .try_for_each(|(limit, value)| set(&limit, value))
}

/// Raises what all sandboxes together may have of what the kernel counts for the user who makes their namespaces: it
/// takes the limits of that process for those of all of them. Each has its own limits beside.
pub(crate) fn raise_shared() {
    for resource in [Resource::Sigpending, Resource::Msgqueue] {
        // An ordinary user may not, and shares.
        let _ = setrlimit(resource, Rlimit { current: None, maximum: None });
    }
}

fn set(limit: &Limit, value: u64) -> Result<(), StepError> {
    let both = Rlimit { current: Some(value), maximum: Some(value) };
    setrlimit(limit.resource, both).step(limit.step)
}

/// Lowers what is in force and leaves how far it may be raised: a program may know that it needs more.
fn lower_soft(resource: Resource, to: u64) -> rustix::io::Result<()> {
    let Rlimit { current, maximum } = getrlimit(resource);
    setrlimit(resource, Rlimit { current: Some(current.map_or(to, |soft| soft.min(to))), maximum })
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
