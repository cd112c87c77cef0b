//! Directories of daemons, and what dead daemons left.
//!
//! A daemon's directory is named after its pid namespace, process id, start time and a number for each
//! spawner of the daemon, so that a later daemon can tell whether it still runs. One from another pid
//! namespace (a container that shares the hierarchy) cannot be told and is left alone.

use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::process::{Pid, Signal, kill_process};

use crate::process;

/// A name for this daemon's directories, new for each spawner.
pub(super) fn daemon_name() -> String {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let pid = std::process::id();
    let start = i32::try_from(pid).ok().and_then(|pid| process::start_time(pid).ok()?).unwrap_or(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    format!("{}-{pid}-{start}-{number}", pid_namespace().unwrap_or(0))
}

/// Makes a directory unless it is there.
pub(super) fn make_directory(path: &Path) -> io::Result<()> {
    match std::fs::create_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        other => other,
    }
}

/// Kills what runs in the groups of dead daemons (nothing should: sandboxes die with their daemon) and
/// returns their directories, inner ones first, for removal once they are empty.
pub(super) fn orphans(parent: &Path) -> Vec<PathBuf> {
    let Ok(namespace) = pid_namespace() else { return Vec::new() };
    let dead = subdirectories(parent).filter(|path| is_orphaned(path, namespace));
    dead.flat_map(|daemon| with_groups(&daemon)).inspect(|group| kill_all(group)).collect()
}

/// The groups in a daemon's directory, then the directory.
pub(super) fn with_groups(daemon: &Path) -> Vec<PathBuf> {
    subdirectories(daemon).chain([daemon.to_owned()]).collect()
}

fn pid_namespace() -> io::Result<u64> {
    std::fs::metadata("/proc/self/ns/pid").map(|namespace| namespace.ino())
}

fn is_orphaned(directory: &Path, namespace: u64) -> bool {
    let name = directory.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let numbers: Option<Vec<u64>> = name.split('-').map(|word| word.parse().ok()).collect();
    let Some([its_namespace, pid, start, _]) = numbers.as_deref() else { return false };
    let Ok(pid) = i32::try_from(*pid) else { return false };
    // What cannot be told may be alive, and would be killed with all of its sandboxes.
    *its_namespace == namespace && process::start_time(pid).is_ok_and(|found| found != Some(*start))
}

fn subdirectories(path: &Path) -> impl Iterator<Item = PathBuf> + use<> {
    let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
    entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())).map(|entry| entry.path())
}

/// Kills every process in a group.
pub(crate) fn kill_all(group: &Path) {
    processes(group).for_each(kill);
    // In v1 the signal waits while they are frozen. The file is missing in every other hierarchy.
    let thaw = std::fs::File::options().write(true).open(group.join("freezer.state"));
    let _ = thaw.and_then(|mut state| io::Write::write_all(&mut state, b"THAWED"));
}

/// The processes in a group.
pub(super) fn processes(group: &Path) -> impl Iterator<Item = Pid> + use<> {
    let list = std::fs::read_to_string(group.join("cgroup.procs")).unwrap_or_default();
    let numbers: Vec<i32> = list.lines().filter_map(|line| line.parse().ok()).collect();
    numbers.into_iter().filter_map(Pid::from_raw)
}

/// Fails only for a process that is gone, or is not ours.
pub(super) fn kill(pid: Pid) {
    let _ = kill_process(pid, Signal::KILL);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_directories_of_dead_daemons_are_orphaned() {
        let own = std::process::id();
        let start = process::start_time(i32::try_from(own).expect("pid fits"))
            .expect("readable")
            .expect("own process exists");
        let orphaned = |name: String| is_orphaned(&Path::new("/x").join(name), 7);
        assert!(!orphaned(format!("7-{own}-{start}-0")));
        assert!(orphaned(format!("7-{own}-{}-0", start + 1)), "same number, another process");
        assert!(!orphaned(format!("8-{own}-{}-0", start + 1)), "perhaps alive in another namespace");
        assert!(!orphaned("something-else".into()));
        assert!(!orphaned(format!("7-{own}-{}-0-x", start + 1)));
    }
}
