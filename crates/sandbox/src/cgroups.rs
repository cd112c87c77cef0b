//! Limits and accounting by cgroup v1 or v2, see cgroups(7).
//!
//! Directories: `<hierarchy>/<parent>/<daemon>/<sandbox>`, in one hierarchy for v2 and in one for each
//! controller for v1. `<daemon>` is the daemon's process id, its start time, so that a later daemon
//! can tell what a dead one left behind, and a number for each spawner of the daemon.

use std::fmt;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use lambd_jail::protocol::CgroupPlacement;
use rustix::process::{Pid, Signal, kill_process};

use crate::cleaner::Cleaner;
use crate::error::SandboxError;
use crate::limits::{EnforcedBy, LimitsInForce};
use crate::process;

/// Most processes and threads of a sandbox, as on AWS.
const PROCESSES: u64 = 1024;

/// Controllers of v1 that are used, each if it can be; memory must be there. Not cpu while no share is
/// set: entering a cpu group costs milliseconds on an idle machine.
const V1_CONTROLLERS: &[&str] = &["memory", "pids", "freezer"];

/// Which cgroup version limits sandboxes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum CgroupMode {
    /// The one that limits memory on this machine; resource limits if there is none.
    #[default]
    Auto,
    /// Version 1, else an error.
    V1,
    /// Version 2, else an error.
    V2,
    /// None: resource limits only.
    Off,
}

/// A mounted hierarchy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Hierarchy {
    /// Controllers of v1; `None` for v2.
    pub(crate) v1_controllers: Option<Vec<String>>,
    pub(crate) mount_point: PathBuf,
}

/// The cgroup hierarchies this process sees, see proc_pid_mountinfo(5).
pub(crate) fn hierarchies() -> Vec<Hierarchy> {
    std::fs::read_to_string("/proc/self/mountinfo").map(|text| parse_mountinfo(&text)).unwrap_or_default()
}

fn parse_mountinfo(text: &str) -> Vec<Hierarchy> {
    text.lines()
        .filter_map(|line| {
            let (mount, file_system) = line.split_once(" - ")?;
            let mount_point = mount.split(' ').nth(4)?.into();
            let mut fields = file_system.split(' ');
            match fields.next()? {
                "cgroup2" => Some(Hierarchy { v1_controllers: None, mount_point }),
                "cgroup" => {
                    let options = fields.nth(1)?.split(',').map(str::to_owned).collect();
                    Some(Hierarchy { v1_controllers: Some(options), mount_point })
                }
                _ => None,
            }
        })
        .collect()
}

/// Where this daemon's sandboxes get their cgroups.
#[derive(Debug)]
pub(crate) enum Cgroups {
    /// Controller and this daemon's directory in its hierarchy.
    V1(Vec<(&'static str, PathBuf)>),
    /// This daemon's directory, and whether cpu is delegated to it.
    V2 { daemon: PathBuf, cpu: bool },
    /// Resource limits only, and why.
    Off { reason: String },
}

impl Cgroups {
    /// Finds usable hierarchies, makes this daemon's directories, and removes what dead daemons left.
    pub(crate) fn open(parent: &str, mode: CgroupMode) -> Result<Self, SandboxError> {
        let hierarchies = hierarchies();
        let unavailable = |version, reason| SandboxError::CgroupUnavailable { version, reason };
        match mode {
            CgroupMode::Off => Ok(Self::Off { reason: "switched off".into() }),
            CgroupMode::V1 => open_v1(&hierarchies, parent).map_err(|reason| unavailable("v1", reason)),
            CgroupMode::V2 => open_v2(&hierarchies, parent).map_err(|reason| unavailable("v2", reason)),
            CgroupMode::Auto => Ok(open_v2(&hierarchies, parent).or_else(|v2| {
                open_v1(&hierarchies, parent)
                    .or_else(|v1| Ok::<_, SandboxError>(Self::Off { reason: format!("v2: {v2}; v1: {v1}") }))
            })?),
        }
    }

    /// What the cgroups enforce, and what is left to resource limits.
    pub(crate) fn limits(&self) -> LimitsInForce {
        let (memory, processes, cpu, freezer) = match self {
            Self::V1(list) => {
                let by = |name, otherwise| {
                    if list.iter().any(|(controller, _)| *controller == name) {
                        EnforcedBy::CgroupV1
                    } else {
                        otherwise
                    }
                };
                let rlimit = EnforcedBy::Rlimit;
                let nothing = EnforcedBy::Nothing;
                (by("memory", rlimit), by("pids", rlimit), nothing, by("freezer", nothing))
            }
            Self::V2 { .. } => {
                (EnforcedBy::CgroupV2, EnforcedBy::CgroupV2, EnforcedBy::Nothing, EnforcedBy::CgroupV2)
            }
            Self::Off { .. } => {
                (EnforcedBy::Rlimit, EnforcedBy::Rlimit, EnforcedBy::Nothing, EnforcedBy::Nothing)
            }
        };
        LimitsInForce { memory, processes, cpu, freezer }
    }

    /// Makes the cgroups of one sandbox. Those limits that are the same for all are set; see
    /// [`CgroupSet::limit_memory`] for the other.
    pub(crate) fn create(&self, id: &str, cleaner: &Cleaner) -> Result<CgroupSet, SandboxError> {
        let mut set = CgroupSet {
            groups: Vec::new(),
            v2: matches!(self, Self::V2 { .. }),
            cleaner: cleaner.clone(),
            peak: OnceLock::new(),
        };
        match self {
            Self::Off { .. } => {}
            Self::V1(daemons) => {
                for (controller, daemon) in daemons {
                    let group = set.add(controller, daemon.join(id))?;
                    if *controller == "pids" {
                        write(&group.join("pids.max"), PROCESSES)?;
                    }
                }
            }
            Self::V2 { daemon, .. } => {
                let group = set.add("unified", daemon.join(id))?;
                // No swap: a sandbox over its limit must end, not slow the machine down.
                write_if_present(&group.join("memory.swap.max"), 0)?;
                write(&group.join("pids.max"), PROCESSES)?;
            }
        }
        Ok(set)
    }

    /// Removes this daemon's directories; they are empty unless sandboxes are alive.
    pub(crate) fn remove_own(&self) {
        for directory in self.daemon_directories() {
            let _ = std::fs::remove_dir(directory);
        }
    }

    fn daemon_directories(&self) -> Vec<&Path> {
        match self {
            Self::V1(list) => list.iter().map(|(_, directory)| directory.as_path()).collect(),
            Self::V2 { daemon, .. } => vec![daemon],
            Self::Off { .. } => Vec::new(),
        }
    }
}

impl fmt::Display for Cgroups {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::V1(list) => {
                let names: Vec<_> = list.iter().map(|(controller, _)| *controller).collect();
                write!(f, "cgroup v1 ({})", names.join(", "))
            }
            Self::V2 { cpu, .. } => write!(f, "cgroup v2 (memory, pids{})", if *cpu { ", cpu" } else { "" }),
            Self::Off { reason } => write!(f, "no cgroups ({reason})"),
        }
    }
}

fn open_v1(hierarchies: &[Hierarchy], parent: &str) -> Result<Cgroups, String> {
    let mut usable = Vec::new();
    for controller in V1_CONTROLLERS {
        let Some(hierarchy) = hierarchies.iter().find(|h| {
            h.v1_controllers.as_ref().is_some_and(|list| list.iter().any(|name| name == controller))
        }) else {
            if *controller == "memory" {
                return Err("no memory hierarchy is mounted".into());
            }
            continue;
        };
        match make_daemon_directory(&hierarchy.mount_point.join(parent)) {
            // Two controllers may share a hierarchy (cpu,cpuacct); one directory serves both.
            Ok(directory) => usable.push((*controller, directory)),
            Err(error) if *controller == "memory" => {
                return Err(format!("{}: {error}", hierarchy.mount_point.display()));
            }
            Err(_) => {}
        }
    }
    Ok(Cgroups::V1(usable))
}

fn open_v2(hierarchies: &[Hierarchy], parent: &str) -> Result<Cgroups, String> {
    let hierarchy = hierarchies.iter().find(|h| h.v1_controllers.is_none()).ok_or("not mounted")?;
    let mut failures = Vec::new();
    for base in v2_bases(&hierarchy.mount_point) {
        match open_v2_below(&base, parent) {
            Ok((daemon, cpu)) => return Ok(Cgroups::V2 { daemon, cpu }),
            Err(error) => failures.push(format!("{}: {error}", base.display())),
        }
    }
    Err(failures.join("; "))
}

/// Where a parent directory can be made: at the top, where processes may stay beside groups, or, for
/// a service or user with a delegated subtree, in its own group.
fn v2_bases(mount_point: &Path) -> Vec<PathBuf> {
    let mut bases = Vec::new();
    if rustix::process::geteuid().is_root() {
        bases.push(mount_point.to_owned());
    }
    let own = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    if let Some(own) = own.lines().find_map(|line| line.strip_prefix("0::/")).filter(|own| !own.is_empty()) {
        bases.push(mount_point.join(own));
    }
    bases
}

fn open_v2_below(base: &Path, parent: &str) -> Result<(PathBuf, bool), String> {
    let controllers = std::fs::read_to_string(base.join("cgroup.controllers")).map_err(|e| e.to_string())?;
    let has = |name: &str| controllers.split_ascii_whitespace().any(|controller| controller == name);
    for needed in ["memory", "pids"] {
        if !has(needed) {
            return Err(format!("controller {needed} is not available"));
        }
    }
    let cpu = has("cpu");
    let enable = if cpu { "+memory +pids +cpu" } else { "+memory +pids" };
    let control = |directory: &Path| std::fs::write(directory.join("cgroup.subtree_control"), enable);
    if let Err(error) = control(base) {
        // Only the top group may hold processes and groups with controllers at once; elsewhere the
        // daemon moves itself into a leaf of its own first.
        if error.raw_os_error() != Some(rustix::io::Errno::BUSY.raw_os_error()) {
            return Err(format!("cannot enable controllers: {error}"));
        }
        let leaf = base.join(format!("{parent}-daemon"));
        make_directory(&leaf)
            .and_then(|()| std::fs::write(leaf.join("cgroup.procs"), std::process::id().to_string()))
            .and_then(|()| control(base))
            .map_err(|e| format!("cannot move the daemon into a leaf: {e}"))?;
    }
    let parent = base.join(parent);
    make_directory(&parent)
        .and_then(|()| control(&parent))
        .map_err(|e| format!("{}: {e}", parent.display()))?;
    let daemon = make_daemon_directory(&parent).map_err(|e| format!("{}: {e}", parent.display()))?;
    control(&daemon).map_err(|e| format!("{}: {e}", daemon.display()))?;
    Ok((daemon, cpu))
}

fn make_directory(path: &Path) -> io::Result<()> {
    match std::fs::create_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        other => other,
    }
}

/// Makes `<parent>/<pid>-<start time>-<number>` and removes the same of daemons that are dead.
fn make_daemon_directory(parent: &Path) -> io::Result<PathBuf> {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    make_directory(parent)?;
    remove_stale(parent);
    let pid = std::process::id();
    let start = i32::try_from(pid).ok().and_then(process::start_time).unwrap_or(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let directory = parent.join(format!("{pid}-{start}-{number}"));
    make_directory(&directory)?;
    Ok(directory)
}

/// Removes the directories of dead daemons. Their sandboxes died with them; should a process be
/// left nevertheless, it is killed first.
fn remove_stale(parent: &Path) {
    for daemon in subdirectories(parent).filter(|path| is_stale(path)) {
        for sandbox in subdirectories(&daemon).collect::<Vec<_>>() {
            kill_all(&sandbox);
            // The signal waits while they are frozen.
            let _ = std::fs::write(sandbox.join("freezer.state"), "THAWED");
            let _ = std::fs::remove_dir(sandbox);
        }
        let _ = std::fs::remove_dir(daemon);
    }
}

fn is_stale(directory: &Path) -> bool {
    let name = directory.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let numbers: Vec<u64> = name.split('-').filter_map(|word| word.parse().ok()).collect();
    let [pid, start, _] = numbers[..] else { return false };
    let Ok(pid) = i32::try_from(pid) else { return false };
    process::start_time(pid) != Some(start)
}

fn subdirectories(path: &Path) -> impl Iterator<Item = PathBuf> + use<> {
    let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
    entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())).map(|entry| entry.path())
}

/// Kills every process in a group.
pub(crate) fn kill_all(group: &Path) {
    processes(group).for_each(kill);
}

fn processes(group: &Path) -> impl Iterator<Item = Pid> + use<> {
    let list = std::fs::read_to_string(group.join("cgroup.procs")).unwrap_or_default();
    let numbers: Vec<i32> = list.lines().filter_map(|line| line.parse().ok()).collect();
    numbers.into_iter().filter_map(Pid::from_raw)
}

fn kill(pid: Pid) {
    let _ = kill_process(pid, Signal::KILL);
}

/// The cgroups of one sandbox; removed when this is dropped and they are empty.
#[derive(Debug)]
pub(crate) struct CgroupSet {
    groups: Vec<(&'static str, PathBuf)>,
    v2: bool,
    cleaner: Cleaner,
    peak: OnceLock<Option<File>>,
}

impl CgroupSet {
    fn add(&mut self, controller: &'static str, path: PathBuf) -> Result<PathBuf, SandboxError> {
        match std::fs::create_dir(&path) {
            Ok(()) => self.groups.push((controller, path.clone())),
            // The directory of another controller in a shared hierarchy.
            Err(_) if self.groups.iter().any(|(_, existing)| *existing == path) => {}
            Err(source) => return Err(SandboxError::Cgroup { path, source }),
        }
        Ok(path)
    }

    /// How the spawner puts a new process into these groups.
    pub(crate) fn placement(&self) -> CgroupPlacement {
        let mut placement = CgroupPlacement::default();
        for (_, path) in &self.groups {
            if self.v2 {
                placement.v2_directory = Some(path.clone());
            } else {
                placement.v1_tasks_files.push(path.join("tasks"));
            }
        }
        placement
    }

    /// Limits the memory of all processes together, swap included.
    pub(crate) fn limit_memory(&self, bytes: u64) -> Result<(), SandboxError> {
        let Some(group) = self.memory_group() else { return Ok(()) };
        if self.v2 {
            return write(&group.join("memory.max"), bytes);
        }
        write(&group.join("memory.limit_in_bytes"), bytes)?;
        // Memory and swap together: equal to the above means no swap. Second, because it may never be
        // below it. Missing where the kernel does not account for swap.
        write_if_present(&group.join("memory.memsw.limit_in_bytes"), bytes)
    }

    fn memory_group(&self) -> Option<&Path> {
        self.groups
            .iter()
            .find(|(name, _)| matches!(*name, "memory" | "unified"))
            .map(|(_, path)| path.as_path())
    }

    /// Whether [`Self::set_frozen`] does anything.
    pub(crate) fn can_freeze(&self) -> bool {
        self.groups.iter().any(|(name, _)| matches!(*name, "freezer" | "unified"))
    }

    /// Kills every process but one. Frozen ones die when they are thawed, before they run again.
    pub(crate) fn kill_all_but(&self, spared: i32) {
        // Each hierarchy has all of them.
        if let Some((_, group)) = self.groups.first() {
            processes(group).filter(|pid| pid.as_raw_nonzero().get() != spared).for_each(kill);
        }
    }

    /// Stops all processes where they are, or lets them go on. Without a freezer nothing happens.
    pub(crate) fn set_frozen(&self, frozen: bool) -> io::Result<()> {
        let group = self.groups.iter().find(|(name, _)| matches!(*name, "freezer" | "unified"));
        let Some((_, group)) = group else { return Ok(()) };
        match (self.v2, frozen) {
            (true, true) => std::fs::write(group.join("cgroup.freeze"), "1"),
            (true, false) => std::fs::write(group.join("cgroup.freeze"), "0"),
            (false, true) => std::fs::write(group.join("freezer.state"), "FROZEN"),
            (false, false) => std::fs::write(group.join("freezer.state"), "THAWED"),
        }
    }

    /// Largest memory use so far in bytes, if the kernel accounts for it. Asked for after every event,
    /// so the file stays open.
    pub(crate) fn memory_peak_bytes(&self) -> Option<u64> {
        let file = self.peak.get_or_init(|| {
            let name = if self.v2 { "memory.peak" } else { "memory.max_usage_in_bytes" };
            File::open(self.memory_group()?.join(name)).ok()
        });
        let mut text = [0; 32];
        let length = file.as_ref()?.read_at(&mut text, 0).ok()?;
        std::str::from_utf8(&text[..length]).ok()?.trim().parse().ok()
    }

    /// How many processes the kernel killed for want of memory.
    pub(crate) fn out_of_memory_kills(&self) -> u64 {
        let file = if self.v2 { "memory.events" } else { "memory.oom_control" };
        let text = self.memory_group().and_then(|group| std::fs::read_to_string(group.join(file)).ok());
        text.as_deref().and_then(oom_kill_count).unwrap_or(0)
    }
}

impl Drop for CgroupSet {
    fn drop(&mut self) {
        if !self.groups.is_empty() {
            self.cleaner.remove(self.groups.drain(..).map(|(_, path)| path).collect());
        }
    }
}

fn oom_kill_count(text: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix("oom_kill "))?.trim().parse().ok()
}

fn write(path: &Path, value: u64) -> Result<(), SandboxError> {
    std::fs::write(path, value.to_string())
        .map_err(|source| SandboxError::Cgroup { path: path.to_owned(), source })
}

fn write_if_present(path: &Path, value: u64) -> Result<(), SandboxError> {
    if path.exists() { write(path, value) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mountinfo_lists_both_versions() {
        let text = "27 1 254:0 / / rw,relatime - ext4 /dev/vda rw\n\
                    35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory\n\
                    36 31 0:33 / /sys/fs/cgroup/cpu,cpuacct rw shared:9 - cgroup cgroup rw,cpu,cpuacct\n\
                    41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n";
        let found = parse_mountinfo(text);
        assert_eq!(found.len(), 3);
        assert_eq!(found[0].mount_point, Path::new("/sys/fs/cgroup/memory"));
        assert!(found[1].v1_controllers.as_ref().is_some_and(|list| list.contains(&"cpu".to_owned())));
        assert_eq!(
            found[2],
            Hierarchy { v1_controllers: None, mount_point: "/sys/fs/cgroup/unified".into() }
        );
    }

    #[test]
    fn kills_are_counted_in_both_formats() {
        assert_eq!(oom_kill_count("oom_kill_disable 0\nunder_oom 0\noom_kill 3\n"), Some(3));
        assert_eq!(oom_kill_count("low 0\nhigh 0\nmax 9\noom 2\noom_kill 1\noom_group_kill 0\n"), Some(1));
        assert_eq!(oom_kill_count("low 0\n"), None);
    }

    #[test]
    fn only_directories_of_dead_daemons_are_stale() {
        let own = i32::try_from(std::process::id()).expect("pid fits");
        let start = process::start_time(own).expect("own process exists");
        assert!(!is_stale(Path::new(&format!("/x/{own}-{start}-0"))));
        assert!(is_stale(Path::new(&format!("/x/{own}-{}-0", start + 1))), "same number, another process");
        assert!(!is_stale(Path::new("/x/something-else")));
    }
}
