//! The memory that sandboxes can have together.

use std::fs;
use std::path::{Path, PathBuf};

use crate::cgroups::hierarchies;

/// Reads how much memory there is: of the machine, or of the control group with a limit that sandboxes are in.
#[derive(Debug, Clone)]
pub struct MachineMemory {
    groups: Vec<Group>,
}

/// What there is now, in bytes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MemoryNow {
    /// All of it.
    pub total: u64,
    /// What can be had without taking it from a process.
    pub available: u64,
    /// The part of the last ten seconds, from 0 to 1, in which all processes waited for memory; 0 where the kernel
    /// does not tell.
    pub stalled: f64,
}

/// A control group that may have a limit.
#[derive(Debug, Clone)]
struct Group {
    directory: PathBuf,
    v2: bool,
}

impl MachineMemory {
    /// Finds out where to look.
    pub fn find() -> Self {
        let mut groups = Vec::new();
        for hierarchy in hierarchies() {
            let v2 = hierarchy.v1_controllers.is_none();
            if !v2 && !hierarchy.has_v1("memory") {
                continue;
            }
            let Some(own) = hierarchy.bases().into_iter().next() else { continue };
            let above = own.ancestors().take_while(|group| group.starts_with(&hierarchy.mount_point));
            groups.extend(above.map(|group| Group { directory: group.to_owned(), v2 }));
        }
        Self { groups }
    }

    /// What there is now; `None` where the kernel does not tell.
    pub fn read(&self) -> Option<MemoryNow> {
        let (mut total, mut available) = of_machine(&fs::read_to_string("/proc/meminfo").ok()?)?;
        for (limit, used) in self.groups.iter().filter_map(Group::read) {
            total = total.min(limit);
            available = available.min(limit.saturating_sub(used));
        }
        let stalled = fs::read_to_string("/proc/pressure/memory").ok();
        let stalled = stalled.and_then(|text| of_pressure(&text)).unwrap_or_default();
        Some(MemoryNow { total, available, stalled })
    }
}

impl Group {
    /// Its limit, and what of it is in use and cannot be dropped.
    fn read(&self) -> Option<(u64, u64)> {
        let (limit, usage, cache) = match self.v2 {
            true => ("memory.max", "memory.current", "inactive_file"),
            false => ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
        };
        // Without a limit v2 has no number, and v1 one that no machine reaches.
        let limit = number(&self.directory.join(limit))?;
        let usage = number(&self.directory.join(usage))?;
        let stat = fs::read_to_string(self.directory.join("memory.stat")).ok()?;
        Some((limit, usage.saturating_sub(field(&stat, cache).unwrap_or_default())))
    }
}

fn number(path: &Path) -> Option<u64> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

/// Total and available bytes, from the lines of `/proc/meminfo`, which are in units of 1024.
fn of_machine(text: &str) -> Option<(u64, u64)> {
    Some((field(text, "MemTotal:")? * 1024, field(text, "MemAvailable:")? * 1024))
}

fn field(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|line| {
        let mut words = line.split_whitespace();
        (words.next()? == name).then(|| words.next()?.parse().ok())?
    })
}

fn of_pressure(text: &str) -> Option<f64> {
    let full = text.lines().find_map(|line| line.strip_prefix("full avg10="))?;
    let percent: f64 = full.split_whitespace().next()?.parse().ok()?;
    Some(percent / 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_s_own_words() {
        let text = "MemTotal:       24591096 kB\nMemFree:        12050000 kB\nMemAvailable:   22000000 kB\n";
        assert_eq!(of_machine(text), Some((24_591_096 << 10, 22_000_000 << 10)));
        assert_eq!(of_machine("MemTotal: 1 kB\n"), None);
        let text =
            "some avg10=3.10 avg60=1.0 avg300=0.0 total=9\nfull avg10=12.50 avg60=0.00 avg300=0.00 total=4\n";
        assert_eq!(of_pressure(text), Some(0.125));
        assert_eq!(of_pressure(""), None);
    }

    #[test]
    fn a_group_s_limit_counts_without_what_can_be_dropped() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs::write(dir.path().join(name), text).unwrap();
        let group = |v2| Group { directory: dir.path().to_owned(), v2 };
        assert_eq!(group(true).read(), None);
        write("memory.max", "max\n");
        write("memory.current", "700\n");
        write("memory.stat", "anon 100\ninactive_file 300\ntotal_inactive_file 50\n");
        assert_eq!(group(true).read(), None, "no limit");
        write("memory.max", "1000\n");
        assert_eq!(group(true).read(), Some((1000, 400)));
        write("memory.limit_in_bytes", "900\n");
        write("memory.usage_in_bytes", "60\n");
        assert_eq!(group(false).read(), Some((900, 10)));
    }

    #[test]
    fn this_machine_has_memory() {
        let now = MachineMemory::find().read().unwrap();
        assert!(
            now.available > 0 && now.available <= now.total && (0.0..=1.0).contains(&now.stalled),
            "{now:?}"
        );
    }
}
