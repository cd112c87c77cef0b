//! Reading a process's memory use from /proc.

use std::collections::VecDeque;

/// Sum of the largest resident sets (`VmHWM`) of a process and its living descendants in bytes, see
/// proc_pid_status(5). An estimate: shared pages count more than once, ended processes not at all.
pub(crate) fn tree_peak_bytes(root: i32) -> Option<u64> {
    let mut sum = None;
    let mut queue = VecDeque::from([root]);
    while let Some(pid) = queue.pop_front() {
        if let Some(bytes) = peak_bytes(pid) {
            sum = Some(sum.unwrap_or(0) + bytes);
        }
        queue.extend(children(pid));
    }
    sum
}

fn peak_bytes(pid: i32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

fn children(pid: i32) -> Vec<i32> {
    std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"))
        .map(|text| text.split_ascii_whitespace().filter_map(|word| word.parse().ok()).collect())
        .unwrap_or_default()
}

/// Start time of a process in clock ticks after boot, which tells it from a later one with the same
/// number, see proc_pid_stat(5).
pub(crate) fn start_time(pid: i32) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field, the name, may contain anything; the last parenthesis ends it.
    let (_, rest) = stat.rsplit_once(')')?;
    rest.split_ascii_whitespace().nth(19)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_process_has_a_peak_and_a_start() {
        let own = i32::try_from(std::process::id()).expect("pid fits");
        assert!(tree_peak_bytes(own).is_some_and(|bytes| bytes > 100_000));
        assert!(start_time(own).is_some_and(|ticks| ticks > 0));
        assert_eq!(start_time(i32::MAX), None);
    }
}
