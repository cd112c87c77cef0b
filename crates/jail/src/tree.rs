//! All processes of a sandbox that has no pid namespace: finding them, and sending signals to them.
//!
//! A process cannot leave: its uid is the sandbox's own and it has no right to change it; or, where the
//! uid is the daemon's, it is a descendant of the init and stays one, because the init is a child
//! subreaper (prctl(2), PR_SET_CHILD_SUBREAPER) to which orphans go.

use std::collections::HashSet;
use std::io;

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};

use crate::identity::{self, Lease};
use crate::sys::{self, Side};

/// Sends a signal to every process of a sandbox below this process.
///
/// With ids of its own, the kernel finds them, and no fork can slip through. Else stopping comes first:
/// a process that multiplies while it is listed ends up stopped, at the latest when it has reached the
/// limit on processes.
pub(crate) fn signal(lease: Lease, signal: Signal) -> io::Result<()> {
    match lease {
        Lease::Pair { first } => signal_user(first, signal),
        Lease::Own | Lease::OwnAsRoot => {
            signal_descendants(own_pid(), signal);
            Ok(())
        }
    }
}

/// Kills every process of a sandbox below this process, and returns when none is left.
pub(crate) fn kill(lease: Lease) {
    loop {
        // What fails now, for example for want of memory, is tried again.
        let _ = signal(lease, Signal::KILL);
        while sys::reap().is_some() {}
        if !has_children() {
            return;
        }
        // They are dying; each wakes us, and a wait in vain only delays the next look.
        sys::wait_for_child(std::time::Duration::from_millis(10));
    }
}

/// Sends a signal to all processes of the function's user behind `first`, see [`Lease::Pair`].
///
/// kill(2) with -1 means all that this process may send signals to, so a process that may to these alone
/// does it.
fn signal_user(first: u32, signal: Signal) -> io::Result<()> {
    // SAFETY: spawner and init have a single thread.
    match unsafe { sys::fork() }? {
        Side::Child => {
            if identity::become_signaller(first).is_ok() {
                let _ = sys::kill_all_reachable(signal);
            }
            sys::exit_now(0)
        }
        Side::Parent(pid) => sys::wait_for(pid).map(drop),
    }
}

/// Sends a signal to all descendants of a process.
pub(crate) fn signal_descendants(root: i32, signal: Signal) {
    let send = |pid: i32, signal| Pid::from_raw(pid).map(|pid| kill_process(pid, signal));
    let mut stopped = HashSet::new();
    loop {
        let found = descendants(root);
        let new: Vec<i32> = found.iter().copied().filter(|pid| !stopped.contains(pid)).collect();
        if new.is_empty() || signal == Signal::CONT {
            for pid in found {
                send(pid, signal);
            }
            return;
        }
        for pid in new {
            send(pid, Signal::STOP);
            stopped.insert(pid);
        }
    }
}

/// Every process below this one, parents first.
pub(crate) fn descendants(root: i32) -> Vec<i32> {
    let mut found = children(root);
    let mut next = 0;
    while let Some(pid) = found.get(next).copied() {
        // Numbers may be used again while this goes on; nobody is his own ancestor.
        found.extend(children(pid).into_iter().filter(|pid| *pid != root));
        next += 1;
        if next > MOST_PROCESSES {
            break;
        }
    }
    found
}

/// Ends a walk that a hostile tree, or numbers that are used again, would make endless.
const MOST_PROCESSES: usize = 1 << 16;

/// The children of all threads of a process.
pub(crate) fn children(pid: i32) -> Vec<i32> {
    let Ok(tasks) = std::fs::read_dir(format!("/proc/{pid}/task")) else { return Vec::new() };
    let mut found = Vec::new();
    for task in tasks.flatten() {
        match std::fs::read_to_string(task.path().join("children")) {
            Ok(text) => {
                found.extend(text.split_ascii_whitespace().filter_map(|word| word.parse::<i32>().ok()));
            }
            // The thread has ended, or the kernel was built without CONFIG_PROC_CHILDREN.
            Err(_) if task.path().exists() => return children_by_search(pid),
            Err(_) => {}
        }
    }
    found
}

/// The same, by looking at every process.
fn children_by_search(parent: i32) -> Vec<i32> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(|pid| stat_field(*pid, PARENT) == Some(parent)).collect()
}

/// Positions behind the name in `/proc/<pid>/stat`, see proc_pid_stat(5).
pub(crate) const PARENT: usize = 1;
/// The same.
pub(crate) const GROUP: usize = 2;

/// A number of a process or thread; zero counts as none.
pub(crate) fn stat_field(pid: i32, index: usize) -> Option<i32> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name may contain anything; the last parenthesis ends it.
    let (_, rest) = stat.rsplit_once(')')?;
    rest.split_ascii_whitespace().nth(index)?.parse().ok().filter(|number| *number > 0)
}

fn has_children() -> bool {
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    !matches!(waitid(WaitId::All, options), Err(rustix::io::Errno::CHILD))
}

fn own_pid() -> i32 {
    rustix::process::getpid().as_raw_nonzero().get()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways_find_the_same_children() {
        let mut child = std::process::Command::new("sleep").arg("1000").spawn().expect("spawns");
        let pid = i32::try_from(child.id()).expect("pid fits");
        // Of whichever thread of this process has started it.
        assert!(children(own_pid()).contains(&pid));
        assert!(children_by_search(own_pid()).contains(&pid));
        assert!(descendants(own_pid()).contains(&pid));
        child.kill().and_then(|()| child.wait()).expect("ends");
        assert!(!descendants(own_pid()).contains(&pid));
    }
}
