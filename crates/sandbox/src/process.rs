//! Reading a process's memory use from /proc.

use std::collections::VecDeque;
use std::io;

/// Sum of the largest resident sets (`VmHWM`) of a process and its living descendants in bytes, see
/// proc_pid_status(5). An estimate: shared pages count more than once, ended processes not at all.
pub(crate) fn tree_peak_bytes(root: i32) -> Option<u64> {
    tree(root).filter_map(peak_bytes).reduce(|sum, bytes| sum + bytes)
}

/// A process and its living descendants.
pub(crate) fn tree(root: i32) -> impl Iterator<Item = i32> {
    let mut queue = VecDeque::from([root]);
    std::iter::from_fn(move || {
        let pid = queue.pop_front()?;
        queue.extend(children(pid));
        Some(pid)
    })
}

/// Whether a process has the socket with this inode open, see proc_pid_fd(5).
pub(crate) fn has_open(pid: i32, inode: u64) -> bool {
    let wanted = format!("socket:[{inode}]");
    let files = std::fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    files
        .filter_map(|file| std::fs::read_link(file.path()).ok())
        .any(|target| target.as_os_str() == wanted.as_str())
}

fn peak_bytes(pid: i32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

fn children(pid: i32) -> Vec<i32> {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let lists = tasks.filter_map(|task| std::fs::read_to_string(task.path().join("children")).ok());
    lists
        .flat_map(|list| list.split_ascii_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<_>>())
        .collect()
}

/// Start time of a process in clock ticks after boot, which tells it from a later one with the same
/// number, see proc_pid_stat(5); `None` when there is none.
///
/// # Errors
/// It cannot be told, for example because this process may open no more files.
pub(crate) fn start_time(pid: i32) -> io::Result<Option<u64>> {
    let stat = match std::fs::read_to_string(format!("/proc/{pid}/stat")) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        // It ended between opening and reading.
        Err(error) if error.raw_os_error() == Some(rustix::io::Errno::SRCH.raw_os_error()) => {
            return Ok(None);
        }
        stat => stat?,
    };
    // The second field, the name, may contain anything; the last parenthesis ends it.
    let field =
        stat.rsplit_once(')').and_then(|(_, rest)| rest.split_ascii_whitespace().nth(19)?.parse().ok());
    field.map(Some).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_process_has_a_peak_and_a_start() {
        let own = i32::try_from(std::process::id()).expect("pid fits");
        assert!(tree_peak_bytes(own).is_some_and(|bytes| bytes > 100_000));
        assert!(start_time(own).is_ok_and(|ticks| ticks > Some(0)));
        assert!(start_time(i32::MAX).is_ok_and(|ticks| ticks.is_none()));
    }
}
