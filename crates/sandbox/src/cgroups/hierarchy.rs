//! The mounted hierarchies, and where in them this process may make groups.

use std::ffi::CStr;
use std::path::{Component, Path, PathBuf};

/// Name of the group into which a daemon moves itself, beside those of its sandboxes (see `super::open`).
pub(super) const LEAF: &str = "lambd-daemon";

/// Set by systemd on groups that it leaves to their service or user: by the system's manager, and by a
/// user's.
const DELEGATED: [&CStr; 2] = [c"trusted.delegate", c"user.delegate"];

/// A mounted hierarchy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Hierarchy {
    /// Controllers of v1; `None` for v2.
    pub(crate) v1_controllers: Option<Vec<String>>,
    /// Which group is mounted: the top one, or that of a container.
    root: PathBuf,
    /// Where.
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
            let mut mount = mount.split(' ').skip(3);
            let (root, mount_point) = (mount.next()?.into(), mount.next()?.into());
            let mut fields = file_system.split(' ');
            let v1_controllers = match fields.next()? {
                "cgroup2" => None,
                "cgroup" => Some(fields.nth(1)?.split(',').map(str::to_owned).collect()),
                _ => return None,
            };
            Some(Hierarchy { v1_controllers, root, mount_point })
        })
        .collect()
}

impl Hierarchy {
    /// Whether a controller of v1 is in this hierarchy.
    pub(crate) fn has_v1(&self, controller: &str) -> bool {
        self.v1_controllers.iter().flatten().any(|name| name == controller)
    }

    /// Groups below which a parent directory might be made, best first.
    pub(crate) fn bases(&self) -> Vec<PathBuf> {
        let membership = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        let own = self.own_group(&membership).map(without_leaf);
        let top = self.mount_point.clone();
        let root = rustix::process::geteuid().is_root();
        match own {
            Some(own) if own == top => vec![top],
            // To root everything is open, and the top is no process's own. But a service that was given
            // a group of its own stays inside it.
            Some(own) if root && !is_delegated(&own) => vec![top, own],
            Some(own) => vec![own, top],
            None => vec![top],
        }
    }

    /// The directory of the group that a process with these contents of `/proc/<pid>/cgroup` is in.
    fn own_group(&self, membership: &str) -> Option<PathBuf> {
        let path = membership.lines().find_map(|line| {
            let (controllers, path) = line.split_once(':')?.1.split_once(':')?;
            let same = match &self.v1_controllers {
                None => controllers.is_empty(),
                Some(_) => controllers.split(',').any(|name| self.has_v1(name)),
            };
            same.then_some(path)
        })?;
        // In a cgroup namespace a group outside of it begins with `/..`.
        let inside = Path::new(path).strip_prefix(&self.root).ok()?;
        let within = inside.components().all(|part| matches!(part, Component::Normal(_)));
        within.then(|| self.mount_point.join(inside))
    }
}

fn without_leaf(own: PathBuf) -> PathBuf {
    match own.parent() {
        Some(above) if own.file_name().is_some_and(|name| name == LEAF) => above.to_owned(),
        _ => own,
    }
}

fn is_delegated(group: &Path) -> bool {
    DELEGATED.iter().any(|name| {
        let mut value = [0; 8];
        matches!(rustix::fs::getxattr(group, *name, &mut value), Ok(1) if value[0] == b'1')
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTINFO: &str = "27 1 254:0 / / rw,relatime - ext4 /dev/vda rw\n\
         35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory\n\
         36 31 0:33 /docker/1 /sys/fs/cgroup/cpu,cpuacct rw shared:9 - cgroup cgroup rw,cpu,cpuacct\n\
         41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n";

    #[test]
    fn mountinfo_lists_both_versions() {
        let found = parse_mountinfo(MOUNTINFO);
        assert_eq!(found.len(), 3);
        assert_eq!(found[0].mount_point, Path::new("/sys/fs/cgroup/memory"));
        assert!(found[1].has_v1("cpu") && found[1].has_v1("cpuacct") && !found[1].has_v1("memory"));
        let unified = Hierarchy {
            v1_controllers: None,
            root: "/".into(),
            mount_point: "/sys/fs/cgroup/unified".into(),
        };
        assert_eq!(found[2], unified);
    }

    #[test]
    fn the_own_group_is_found_below_what_is_mounted() {
        let found = parse_mountinfo(MOUNTINFO);
        let membership =
            "5:memory:/user/1000\n4:cpu,cpuacct:/docker/1/x\n1:name=systemd:/y\n0::/user.slice/z\n";
        let own = |index: usize, text: &str| found[index].own_group(text);
        assert_eq!(own(0, membership), Some("/sys/fs/cgroup/memory/user/1000".into()));
        assert_eq!(own(1, membership), Some("/sys/fs/cgroup/cpu,cpuacct/x".into()));
        assert_eq!(own(2, membership), Some("/sys/fs/cgroup/unified/user.slice/z".into()));
        assert_eq!(own(2, "0::/\n"), Some("/sys/fs/cgroup/unified/".into()));
        assert_eq!(own(2, "0::/../elsewhere\n"), None);
        assert_eq!(own(1, "4:cpu,cpuacct:/docker/2\n"), None, "not below what is mounted");
        assert_eq!(own(0, "0::/\n"), None);
    }

    #[test]
    fn a_daemon_in_its_leaf_finds_the_group_above() {
        assert_eq!(without_leaf("/c/scope/lambd-daemon".into()), Path::new("/c/scope"));
        assert_eq!(without_leaf("/c/scope/other".into()), Path::new("/c/scope/other"));
    }
}
