//! What this machine offers, for `lambd doctor`.

use std::path::PathBuf;

use lambd_jail::probe as jail;
use rustix::fs::{Access, access};

use crate::cgroups::{Hierarchy, hierarchies};
use crate::isolation::Isolation;

/// Whether an isolation level can be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Availability {
    /// It works: it was tried.
    Available,
    /// It does not.
    Unavailable {
        /// What failed.
        reason: String,
        /// What the operator can do about it.
        remedy: String,
    },
}

/// Version of a cgroup hierarchy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CgroupVersion {
    /// One hierarchy per controller.
    V1,
    /// One hierarchy for all.
    V2,
}

/// One controller of a mounted cgroup hierarchy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CgroupController {
    /// Name, for example `memory`.
    pub name: String,
    /// Version of the hierarchy it is in.
    pub version: CgroupVersion,
    /// The group below which this process may make groups: the top one, or one that was delegated to
    /// it. Where it may make none, the top one.
    pub directory: PathBuf,
    /// Whether it may.
    pub writable: bool,
}

/// What this machine offers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProbeReport {
    /// Release of the running kernel, for example `6.1.0-18-amd64`.
    pub kernel_release: String,
    /// Whether this process runs as root.
    pub root: bool,
    /// clone3(2).
    pub clone3: bool,
    /// pidfd_open(2).
    pub pidfd: bool,
    /// mount_setattr(2).
    pub mount_setattr: bool,
    /// close_range(2).
    pub close_range: bool,
    /// seccomp(2) filters.
    pub seccomp: bool,
    /// Version of the Landlock interface, if enabled.
    pub landlock_abi: Option<u32>,
    /// Whether the kernel knows overlayfs (as a loaded module or built in).
    pub overlayfs: bool,
    /// Controllers of all mounted cgroup hierarchies.
    pub cgroup_controllers: Vec<CgroupController>,
    /// Isolation levels, strongest first, and whether each can be used.
    pub isolation: Vec<(Isolation, Availability)>,
}

/// Tries what a sandbox needs. Takes a few milliseconds and leaves nothing behind.
#[must_use]
pub fn probe() -> ProbeReport {
    let features = jail::features();
    ProbeReport {
        kernel_release: rustix::system::uname().release().to_string_lossy().into_owned(),
        root: rustix::process::geteuid().is_root(),
        clone3: features.clone3,
        pidfd: features.pidfd,
        mount_setattr: features.mount_setattr,
        close_range: features.close_range,
        seccomp: features.seccomp,
        landlock_abi: features.landlock_abi,
        overlayfs: knows_overlayfs(),
        cgroup_controllers: hierarchies().iter().flat_map(controllers).collect(),
        isolation: Isolation::ALL.into_iter().map(|level| (level.clone(), level.availability())).collect(),
    }
}

/// Whether the isolation level `namespaces` works: it is tried.
pub(crate) fn namespaces() -> Availability {
    let features = jail::features();
    let missing: Vec<&str> = [
        (features.clone3, "clone3"),
        (features.pidfd, "pidfd_open"),
        (features.close_range, "close_range"),
        (features.mount_setattr, "mount_setattr"),
    ]
    .into_iter()
    .filter_map(|(present, name)| (!present).then_some(name))
    .collect();
    if !missing.is_empty() {
        return Availability::Unavailable {
            reason: format!("the kernel or a filter around this process lacks {}", missing.join(", ")),
            remedy: "run Linux 5.12 or later; in a container, allow these system calls".into(),
        };
    }
    if !features.seccomp {
        return Availability::Unavailable {
            reason: "the kernel lacks seccomp filters".into(),
            remedy: "run a kernel built with CONFIG_SECCOMP_FILTER".into(),
        };
    }
    match jail::namespaces() {
        Ok(()) => Availability::Available,
        Err(failure) => Availability::Unavailable {
            reason: format!("cannot {}: {}", failure.step, std::io::Error::from_raw_os_error(failure.errno)),
            remedy: remedy(&failure, &|path| {
                std::fs::read_to_string(path).ok().map(|text| text.trim().to_owned())
            }),
        },
    }
}

/// Whether the isolation level `process` works.
pub(crate) fn process() -> Availability {
    process_with(&jail::features(), lambd_jail::has_ids_for_sandboxes())
}

fn process_with(features: &jail::Features, own_ids: bool) -> Availability {
    let unavailable = |reason: &str, remedy: &str| Availability::Unavailable {
        reason: reason.to_owned(),
        remedy: remedy.to_owned(),
    };
    if !features.pidfd || !features.close_range {
        return unavailable(
            "the kernel or a filter around this process lacks pidfd_open or close_range",
            "run Linux 5.9 or later; in a container, allow these system calls",
        );
    }
    if !features.seccomp {
        return unavailable(
            "the kernel lacks seccomp filters",
            "run a kernel built with CONFIG_SECCOMP_FILTER",
        );
    }
    if features.landlock_abi.is_none() && !own_ids {
        return unavailable(
            "the kernel or a filter around this process lacks Landlock, without which a function could read \
             the files of the user who runs lambd",
            "run Linux 5.13 or later with landlock among lsm=, or run as root with CAP_SETUID, CAP_SETGID, \
             CAP_CHOWN and CAP_KILL, so that each function gets a user of its own",
        );
    }
    Availability::Available
}

/// What protects at the level `process`, and what does not.
pub(crate) fn process_details() -> String {
    let features = jail::features();
    let user = if lambd_jail::has_ids_for_sandboxes() {
        "each function has a user of its own"
    } else {
        "functions run as the user who runs lambd"
    };
    let files = match features.landlock_abi {
        Some(abi) => format!("files: Landlock ABI {abi}"),
        None => "files: by permissions only, for want of Landlock".to_owned(),
    };
    let network =
        if features.limits_tcp() { "" } else { "; network: the host's, which needs Linux 6.7 to be limited" };
    format!("{user}; {files}{network}")
}

/// The usual causes, most specific first; `read` returns a setting of the kernel.
fn remedy(failure: &jail::NamespaceFailure, read: &dyn Fn(&str) -> Option<String>) -> String {
    let set = |path: &str, value: &str| read(path).as_deref() == Some(value);
    if set("/proc/sys/user/max_user_namespaces", "0") {
        "sysctl user.max_user_namespaces=15000".into()
    } else if set("/proc/sys/kernel/unprivileged_userns_clone", "0") {
        "sysctl kernel.unprivileged_userns_clone=1, or run as root".into()
    } else if set("/proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1") {
        "give the lambd binary an AppArmor profile that allows userns, sysctl \
         kernel.apparmor_restrict_unprivileged_userns=0, or run as root"
            .into()
    } else if failure.step.contains("/proc") {
        "in a container, show the whole /proc (docker: --security-opt systempaths=unconfined)".into()
    } else {
        "in a container, allow namespaces (docker: --security-opt seccomp=unconfined --security-opt \
         apparmor=unconfined, or --privileged)"
            .into()
    }
}

fn knows_overlayfs() -> bool {
    std::fs::read_to_string("/proc/filesystems")
        .is_ok_and(|text| text.lines().any(|line| line.ends_with("\toverlay")))
}

fn controllers(hierarchy: &Hierarchy) -> Vec<CgroupController> {
    let may_write = |base: &PathBuf| {
        let wanted = if hierarchy.v1_controllers.is_none() { "cgroup.subtree_control" } else { "" };
        [base.clone(), base.join(wanted)].iter().all(|path| access(path, Access::WRITE_OK).is_ok())
    };
    let found = hierarchy.bases().into_iter().find(may_write);
    let (directory, writable) =
        found.map_or_else(|| (hierarchy.mount_point.clone(), false), |base| (base, true));
    let (version, names) = match &hierarchy.v1_controllers {
        None => {
            let list = std::fs::read_to_string(directory.join("cgroup.controllers")).unwrap_or_default();
            let mut names: Vec<_> = list.split_ascii_whitespace().map(str::to_owned).collect();
            if names.iter().any(|name| name == "memory") {
                // Freezing is part of every group that is used for anything.
                names.push("freezer".to_owned());
            }
            (CgroupVersion::V2, names)
        }
        Some(options) => {
            // What is not a controller in the options of a v1 mount.
            let other = |name: &str| {
                matches!(name, "rw" | "ro" | "xattr" | "clone_children" | "cpuset_v2_mode" | "noprefix")
                    || name.contains('=')
            };
            (CgroupVersion::V1, options.iter().filter(|name| !other(name)).cloned().collect::<Vec<_>>())
        }
    };
    names
        .into_iter()
        .map(|name| CgroupController { name, version, directory: directory.clone(), writable })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_remedy_names_the_setting_that_is_in_the_way() {
        let clone = jail::NamespaceFailure { step: "create user namespaces", errno: 1 };
        let proc = jail::NamespaceFailure { step: "mount /proc in a new pid namespace", errno: 1 };
        let with = |path: &'static str, value: &'static str| {
            move |asked: &str| (asked == path).then(|| value.to_owned())
        };
        assert!(
            remedy(&clone, &with("/proc/sys/user/max_user_namespaces", "0")).contains("max_user_namespaces")
        );
        assert!(
            remedy(&clone, &with("/proc/sys/kernel/unprivileged_userns_clone", "0"))
                .contains("unprivileged_userns")
        );
        assert!(
            remedy(&clone, &with("/proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1"))
                .contains("AppArmor")
        );
        assert!(remedy(&proc, &|_| None).contains("systempaths"));
        assert!(remedy(&clone, &|_| None).contains("seccomp"));
    }

    #[test]
    fn the_level_process_needs_landlock_or_a_user_for_each_function() {
        let features = |landlock_abi| jail::Features {
            clone3: false,
            pidfd: true,
            mount_setattr: false,
            close_range: true,
            seccomp: true,
            landlock_abi,
        };
        assert_eq!(process_with(&features(None), true), Availability::Available);
        assert_eq!(process_with(&features(Some(1)), false), Availability::Available);
        match process_with(&features(None), false) {
            Availability::Unavailable { reason, remedy } => {
                assert!(reason.contains("Landlock") && remedy.contains("CAP_SETUID"), "{reason}; {remedy}");
            }
            Availability::Available => panic!("the daemon's files would be open"),
        }
    }

    #[test]
    fn a_probe_of_this_machine_names_its_kernel() {
        let report = probe();
        assert!(!report.kernel_release.is_empty());
        assert!(report.clone3 && report.mount_setattr, "{report:?}");
    }
}
