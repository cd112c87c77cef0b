//! The cgroups of one sandbox.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use lambd_jail::protocol::CgroupPlacement;

use super::freezer::Freezer;
use super::orphans;
use super::shares::{self, Bandwidth};
use crate::cleaner::Cleaner;
use crate::error::SandboxError;

/// Most processes and threads of a sandbox, as on AWS.
const PROCESSES: u64 = 1024;

/// The directories of a sandbox's groups by what they are for.
#[derive(Debug)]
pub(super) enum Groups {
    /// No cgroups.
    None,
    /// Controller and directory. Controllers in one hierarchy have the same directory.
    V1(Vec<(&'static str, PathBuf)>),
    /// One directory for all, and whether the cpu controller is there.
    V2 { group: PathBuf, cpu: bool },
}

impl Groups {
    /// Each directory once.
    fn directories(&self) -> Vec<&Path> {
        match self {
            Self::None => Vec::new(),
            Self::V1(list) => {
                let mut directories: Vec<&Path> = Vec::new();
                for (_, directory) in list {
                    if !directories.contains(&directory.as_path()) {
                        directories.push(directory);
                    }
                }
                directories
            }
            Self::V2 { group, .. } => vec![group],
        }
    }

    fn freezer(&self) -> Option<Freezer> {
        match self {
            Self::None => None,
            Self::V1(list) => {
                let (_, group) = list.iter().find(|(name, _)| *name == "freezer")?;
                Some(Freezer::v1(group))
            }
            Self::V2 { group, .. } => Some(Freezer::v2(group)),
        }
    }

    /// Makes all directories or none: one that exists is somebody else's.
    fn make_directories(&self) -> Result<(), SandboxError> {
        let directories = self.directories();
        for (index, directory) in directories.iter().enumerate() {
            if let Err(source) = std::fs::create_dir(directory) {
                for made in &directories[..index] {
                    let _ = std::fs::remove_dir(made);
                }
                return Err(SandboxError::Cgroup { path: directory.to_path_buf(), source });
            }
        }
        Ok(())
    }
}

/// The cgroups of one sandbox; removed when this is dropped and they are empty.
#[derive(Debug)]
pub(crate) struct CgroupSet {
    groups: Groups,
    /// As limited; zero before.
    memory_bytes: u64,
    cleaner: Cleaner,
    peak: OnceLock<Option<File>>,
    freezer: Option<Arc<Freezer>>,
}

impl CgroupSet {
    /// Makes the directories and limits the processes.
    pub(super) fn make(groups: Groups, cleaner: &Cleaner) -> Result<Self, SandboxError> {
        groups.make_directories()?;
        let freezer = groups.freezer().map(Arc::new);
        let set = Self { groups, memory_bytes: 0, cleaner: cleaner.clone(), peak: OnceLock::new(), freezer };
        set.limit_processes()?;
        Ok(set)
    }

    /// The file that a controller has in v1 or in v2.
    fn file(&self, controller: &str, v1: &str, v2: &str) -> Option<PathBuf> {
        match &self.groups {
            Groups::None => None,
            Groups::V1(list) => {
                let (_, directory) = list.iter().find(|(name, _)| *name == controller)?;
                Some(directory.join(v1))
            }
            Groups::V2 { group, .. } => Some(group.join(v2)),
        }
    }

    /// Limits the memory of all processes together, swap included, and sets the share of disk time that
    /// goes with it.
    pub(crate) fn limit_memory(&mut self, bytes: u64) -> Result<(), SandboxError> {
        self.memory_bytes = bytes;
        if let Some(limit) = self.file("memory", "memory.limit_in_bytes", "memory.max") {
            set_to(&limit, self.memory_bytes)?;
        }
        // No swap: a sandbox over its limit must end, not slow the machine down. In v1 the file limits
        // memory and swap together and may never be below the other one. Neither exists where the
        // kernel does not account for swap.
        let no_swap = if matches!(self.groups, Groups::V2 { .. }) { 0 } else { self.memory_bytes };
        match self.file("memory", "memory.memsw.limit_in_bytes", "memory.swap.max") {
            Some(limit) if limit.exists() => set_to(&limit, no_swap)?,
            _ => {}
        }
        // In v1 the buffers of TCP sockets are not part of the above; gigabytes fit into a process's sockets.
        if let Groups::V1(list) = &self.groups
            && let Some((_, group)) = list.iter().find(|(name, _)| *name == "memory")
        {
            let buffers = group.join("memory.kmem.tcp.limit_in_bytes");
            if buffers.exists() {
                set_to(&buffers, bytes)?;
            }
        }
        self.weigh_io()
    }

    fn limit_processes(&self) -> Result<(), SandboxError> {
        self.file("pids", "pids.max", "pids.max").map_or(Ok(()), |limit| set_to(&limit, PROCESSES))
    }

    /// All files that there are: which of them counts depends on the disk's scheduler.
    fn weigh_io(&self) -> Result<(), SandboxError> {
        for (name, weight) in shares::IO {
            match self.file("blkio", name, name) {
                Some(file) if file.exists() => set_to(&file, weight.of_memory(self.memory_bytes))?,
                _ => {}
            }
        }
        Ok(())
    }

    /// Limits the CPU in proportion to memory; before, the sandbox runs unthrottled. Nothing happens
    /// without a cpu controller.
    pub(crate) fn limit_cpu(&self) -> io::Result<()> {
        let Bandwidth { quota_us, period_us } = Bandwidth::of_memory(self.memory_bytes);
        match &self.groups {
            Groups::V2 { group, cpu: true } => {
                let weight = shares::CPU_V2.of_memory(self.memory_bytes);
                write(&group.join("cpu.weight"), &weight.to_string())?;
                write(&group.join("cpu.max"), &format!("{quota_us} {period_us}"))
            }
            Groups::V1(list) => {
                let Some((_, group)) = list.iter().find(|(name, _)| *name == "cpu") else { return Ok(()) };
                let weight = shares::CPU_V1.of_memory(self.memory_bytes);
                write(&group.join("cpu.shares"), &weight.to_string())?;
                write(&group.join("cpu.cfs_period_us"), &period_us.to_string())?;
                match write(&group.join("cpu.cfs_quota_us"), &quota_us.to_string()) {
                    // A group above, that of a container, has a lower limit, which holds anyway.
                    Err(error) if error.kind() == io::ErrorKind::InvalidInput => Ok(()),
                    other => other,
                }
            }
            Groups::V2 { cpu: false, .. } | Groups::None => Ok(()),
        }
    }

    /// How the spawner puts a new process into these groups.
    pub(crate) fn placement(&self) -> CgroupPlacement {
        let directories = self.groups.directories().into_iter();
        match &self.groups {
            Groups::V2 { group, .. } => {
                CgroupPlacement { v2_directory: Some(group.clone()), ..CgroupPlacement::default() }
            }
            Groups::V1(_) | Groups::None => CgroupPlacement {
                v1_tasks_files: directories.map(|directory| directory.join("tasks")).collect(),
                v2_directory: None,
            },
        }
    }

    /// What stops its processes, if anything can.
    pub(crate) fn freezer(&self) -> Option<&Arc<Freezer>> {
        self.freezer.as_ref()
    }

    /// Kills every process but one. Frozen ones die when they are thawed, before they run again.
    pub(crate) fn kill_all_but(&self, spared: i32) {
        // Each hierarchy has all of them.
        if let Some(group) = self.groups.directories().first() {
            let others = orphans::processes(group).filter(|pid| pid.as_raw_nonzero().get() != spared);
            others.for_each(orphans::kill);
        }
    }

    /// Stops all processes where they are, or lets them go on. Without a freezer nothing happens.
    pub(crate) fn set_frozen(&self, frozen: bool) -> io::Result<()> {
        self.freezer.as_ref().map_or(Ok(()), |freezer| freezer.rest(frozen))
    }

    /// Lets all processes go on for good, so that they can die.
    pub(crate) fn end(&self) {
        self.freezer.iter().for_each(|freezer| freezer.end());
    }

    /// Largest memory use so far in bytes, if the kernel accounts for it. Asked for after every event,
    /// so the file stays open.
    pub(crate) fn memory_peak_bytes(&self) -> Option<u64> {
        let file = self.peak.get_or_init(|| {
            let path = self.file("memory", "memory.max_usage_in_bytes", "memory.peak")?;
            File::open(path).ok()
        });
        let mut text = [0; 32];
        let length = file.as_ref()?.read_at(&mut text, 0).ok()?;
        std::str::from_utf8(&text[..length]).ok()?.trim().parse().ok()
    }

    /// How many processes the kernel killed for want of memory.
    pub(crate) fn out_of_memory_kills(&self) -> u64 {
        let file = self.file("memory", "memory.oom_control", "memory.events");
        let text = file.and_then(|file| std::fs::read_to_string(file).ok());
        text.as_deref().and_then(oom_kill_count).unwrap_or(0)
    }
}

impl Drop for CgroupSet {
    fn drop(&mut self) {
        self.end();
        let directories: Vec<PathBuf> = self.groups.directories().into_iter().map(Path::to_owned).collect();
        if !directories.is_empty() {
            self.cleaner.remove(directories);
        }
    }
}

fn oom_kill_count(text: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix("oom_kill "))?.trim().parse().ok()
}

fn set_to(path: &Path, value: u64) -> Result<(), SandboxError> {
    write(path, &value.to_string()).map_err(|source| SandboxError::Cgroup { path: path.to_owned(), source })
}

/// One write(2) to an existing file, as cgroup files want it.
fn write(path: &Path, value: &str) -> io::Result<()> {
    File::options().write(true).open(path)?.write_all(value.as_bytes())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;
    use crate::cgroups::Cgroups;

    #[test]
    fn kills_are_counted_in_both_formats() {
        assert_eq!(oom_kill_count("oom_kill_disable 0\nunder_oom 0\noom_kill 3\n"), Some(3));
        assert_eq!(oom_kill_count("low 0\nhigh 0\nmax 9\noom 2\noom_kill 1\noom_group_kill 0\n"), Some(1));
        assert_eq!(oom_kill_count("low 0\n"), None);
    }

    #[tokio::test]
    async fn controllers_that_share_a_hierarchy_share_a_directory() {
        let top = tempfile::tempdir().expect("temporary directory");
        let group = top.path().join("a");
        let groups = || Groups::V1(vec![("cpu", group.clone()), ("freezer", group.clone())]);
        let nothing = Arc::new(Cgroups::Off { reason: String::new() });
        let cleaner = Cleaner::start(nothing, Duration::from_secs(60));
        let set = CgroupSet::make(groups(), &cleaner).expect("made once");
        assert_eq!(set.placement().v1_tasks_files, [group.join("tasks")]);
        assert_eq!(set.file("freezer", "freezer.state", ""), Some(group.join("freezer.state")));
        CgroupSet::make(groups(), &cleaner).expect_err("the name is taken");
        cleaner.flush().await;
        assert!(group.is_dir(), "a failure removes nothing of others");
        drop(set);
        cleaner.flush().await;
        assert!(!group.exists());
    }
}
