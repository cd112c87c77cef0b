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
        let text = std::fs::read_to_string(task.path().join("children")).unwrap_or_default();
        found.extend(text.split_ascii_whitespace().filter_map(|word| word.parse::<i32>().ok()));
    }
    found
}

fn has_children() -> bool {
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    !matches!(waitid(WaitId::All, options), Err(rustix::io::Errno::CHILD))
}

fn own_pid() -> i32 {
    rustix::process::getpid().as_raw_nonzero().get()
}
