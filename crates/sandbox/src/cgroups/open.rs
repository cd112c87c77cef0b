//! Finding a place for this daemon's groups.
//!
//! Version 2 has a rule that version 1 lacks: but for the top one, a group whose children have
//! controllers may not hold processes itself. A daemon that was given a group of its own (by systemd's
//! `Delegate=yes`, or by a container) is in that group, so it moves what is there, itself included, into a
//! leaf beside its sandboxes.

use std::io;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use super::hierarchy::{Hierarchy, LEAF};
use super::orphans::{daemon_name, make_directory};
use super::{Cgroups, CpuLimits, shares};

/// Without these version 2 is not used. The others are enabled one by one, so that one that cannot be is no
/// loss of the rest.
const NEEDED: &str = "+memory +pids";

/// For how long processes are moved that were started meanwhile. One that is ending cannot be moved and still
/// keeps its group busy until it has given back its memory, which on a busy machine takes its time.
const PATIENCE: Duration = Duration::from_secs(5);

/// Between two attempts: no event tells when a group without its children is empty.
const PAUSE: Duration = Duration::from_millis(2);

/// Controllers of v1 that are used, each if it can be; memory must be there.
pub(super) fn v1(hierarchies: &[Hierarchy], parent: &str, cpu: CpuLimits) -> Result<Cgroups, String> {
    let mut usable = Vec::new();
    let daemon = daemon_name();
    let weights = shares::a_disk_heeds_weights(Path::new("/sys/block"));
    let controllers =
        [("memory", true), ("pids", true), ("freezer", true), ("cpu", cpu.limit()), ("blkio", weights)];
    for (controller, _) in controllers.into_iter().filter(|(_, wanted)| *wanted) {
        match v1_controller(hierarchies, controller, parent, &daemon) {
            // Two controllers may share a hierarchy (cpu,cpuacct); one directory serves both.
            Ok(directory) => usable.push((controller, directory)),
            Err(reason) if controller == "memory" => return Err(reason),
            Err(_) => {}
        }
    }
    Ok(Cgroups::V1(usable))
}

fn v1_controller(
    hierarchies: &[Hierarchy],
    controller: &str,
    parent: &str,
    daemon: &str,
) -> Result<PathBuf, String> {
    let with_it = hierarchies.iter().filter(|hierarchy| hierarchy.has_v1(controller));
    first_usable(with_it, |base| {
        let parent = base.join(parent);
        let directory = parent.join(daemon);
        make_directory(&parent).and_then(|()| make_directory(&directory)).map_err(|e| e.to_string())?;
        Ok(directory)
    })
}

/// Version 2, where memory and pids must be there.
pub(super) fn v2(hierarchies: &[Hierarchy], parent: &str, cpu: CpuLimits) -> Result<Cgroups, String> {
    let unified = hierarchies.iter().filter(|hierarchy| hierarchy.v1_controllers.is_none());
    first_usable(unified, |base| v2_below(base, parent, cpu))
}

/// A hierarchy may be mounted several times, for example read-only in a container.
fn first_usable<'a, T>(
    hierarchies: impl Iterator<Item = &'a Hierarchy>,
    mut attempt: impl FnMut(&Path) -> Result<T, String>,
) -> Result<T, String> {
    let mut failures = vec!["not mounted".to_owned()];
    for base in hierarchies.flat_map(Hierarchy::bases) {
        match attempt(&base) {
            Ok(found) => return Ok(found),
            Err(reason) => failures.push(format!("{}: {reason}", base.display())),
        }
    }
    // What failed says more than that nothing was there.
    Err(failures.split_off(usize::from(failures.len() > 1)).join("; "))
}

fn v2_below(base: &Path, parent: &str, cpu: CpuLimits) -> Result<Cgroups, String> {
    let controllers = std::fs::read_to_string(base.join("cgroup.controllers")).map_err(|e| e.to_string())?;
    let has = |name: &str| controllers.split_ascii_whitespace().any(|controller| controller == name);
    for needed in ["memory", "pids"] {
        if !has(needed) {
            return Err(format!("controller {needed} is not available"));
        }
    }
    match enable(base, NEEDED) {
        Err(error) if error.kind() == io::ErrorKind::ResourceBusy => empty_into_leaf(base)?,
        enabled => enabled.map_err(|error| format!("cannot enable controllers: {error}"))?,
    }
    let parent = base.join(parent);
    let daemon = parent.join(daemon_name());
    for directory in [&parent, &daemon] {
        make_directory(directory)
            .and_then(|()| enable(directory, NEEDED))
            .map_err(|error| format!("{}: {error}", directory.display()))?;
    }
    let all_the_way = |controller| {
        [base, &parent, &daemon].into_iter().all(|directory| enable(directory, controller).is_ok())
    };
    let cpu = cpu.limit() && has("cpu") && all_the_way("+cpu");
    let io = has("io") && all_the_way("+io");
    Ok(Cgroups::V2 { daemon, cpu, io })
}

fn enable(directory: &Path, controllers: &str) -> io::Result<()> {
    std::fs::write(directory.join("cgroup.subtree_control"), controllers)
}

/// Moves every process of a group into the leaf. All of them, not only this one: the shell that started
/// the daemon is usually in the same group and would keep it busy.
fn empty_into_leaf(base: &Path) -> Result<(), String> {
    let leaf = base.join(LEAF);
    let failed = |error: io::Error| format!("cannot move its processes to {}: {error}", leaf.display());
    make_directory(&leaf).map_err(failed)?;
    let deadline = Instant::now() + PATIENCE;
    loop {
        let processes = std::fs::read_to_string(base.join("cgroup.procs")).map_err(failed)?;
        for process in processes.lines() {
            match std::fs::write(leaf.join("cgroup.procs"), process) {
                // It has ended meanwhile.
                Err(error) if error.raw_os_error() == Some(rustix::io::Errno::SRCH.raw_os_error()) => {}
                other => other.map_err(failed)?,
            }
        }
        match enable(base, NEEDED) {
            Err(error) if error.kind() == io::ErrorKind::ResourceBusy && Instant::now() < deadline => {
                thread::sleep(PAUSE);
            }
            other => return other.map_err(failed),
        }
    }
}
