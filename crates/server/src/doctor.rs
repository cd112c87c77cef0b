//! `lambd doctor`'s view of the machine: `sandbox`, `runtime` and the data directory.

use std::path::Path;

use lambd_cli::{
    BoxFuture, Check, DoctorReport, Inspector, IsolationChoice, IsolationLevel, IsolationStatus,
    RuntimeFound, RuntimeMissing, RuntimeStatus, RuntimesQuery, StartError,
};
use lambd_invoke::InvokeOptions;
use lambd_runtime::{Bootstraps, Catalogue, Family, Substitution};
use lambd_sandbox::{
    Availability, CgroupVersion, Isolation, MachineMemory, OciRuntime, ProbeReport, TmpInForce,
};
use lambd_toolchains::Toolchains;

use crate::isolation::{self, Interpreters};
use crate::{choices, network, toolchains};

/// Below this hard limit of open files, some hundred instances are too many.
const ENOUGH_OPEN_FILES: u64 = 4096;

/// Looks at the machine without changing it.
pub(crate) struct Doctor;

impl Inspector for Doctor {
    fn inspect(&self, data_dir: &Path, choice: &IsolationChoice) -> DoctorReport {
        let probe = lambd_sandbox::probe();
        let in_force = isolation::choose(choice).ok();
        let interpreters = Interpreters::of(in_force.as_ref().unwrap_or(&Isolation::Namespaces));
        let found = runtimes(&interpreters, &Toolchains::at(&data_dir.join("toolchains")));
        DoctorReport {
            kernel_release: probe.kernel_release.clone(),
            kernel: kernel(&probe),
            isolation: probe.isolation.iter().map(level).chain([oci(choice)]).collect(),
            network: in_force.as_ref().map(networks).into_iter().collect(),
            limits: limits(&probe)
                .into_iter()
                .chain([tmp(in_force.as_ref(), data_dir), open_files(most_open_files()), memory()])
                .collect(),
            isolation_in_force: in_force.map(|level| level.to_string()),
            missing_runtimes: missing(&found),
            runtimes: found,
            data_dir: data_dir.to_owned(),
            data: data(data_dir),
        }
    }

    fn runtimes(&self, query: RuntimesQuery) -> BoxFuture<'_, Result<Vec<RuntimeStatus>, StartError>> {
        Box::pin(crate::runtimes::listed(query))
    }
}

fn level((level, availability): &(Isolation, Availability)) -> IsolationLevel {
    let status = match availability {
        Availability::Available => IsolationStatus::Available,
        Availability::Unavailable { reason, remedy } => {
            IsolationStatus::Unavailable { reason: reason.clone(), remedy: remedy.clone() }
        }
    };
    IsolationLevel { name: level.to_string(), detail: level.details(), status }
}

/// The level `oci` with the runtime that was chosen, else the first that is installed. It is tried.
fn oci(choice: &IsolationChoice) -> IsolationLevel {
    let found = match choice {
        IsolationChoice::Oci { runtime, args } => OciRuntime::find(runtime.as_deref(), args),
        IsolationChoice::Auto | IsolationChoice::Only(_) => OciRuntime::find(None, &[]),
    };
    match found {
        Ok(runtime) => {
            let isolation = Isolation::Oci(runtime);
            let availability = isolation.availability();
            level(&(isolation, availability))
        }
        Err(reason) => IsolationLevel {
            name: isolation::OCI.into(),
            detail: None,
            status: IsolationStatus::Unavailable { reason, remedy: OciRuntime::REMEDY.into() },
        },
    }
}

fn kernel(probe: &ProbeReport) -> Vec<Check> {
    let newer = "boot Linux 5.12 or newer";
    let required = |name: &str, there: bool| match there {
        true => Check::ok(name, "there"),
        false => Check::missing(name, "the kernel does not have it", newer),
    };
    let for_namespaces = |name: &str, there: bool| match there {
        true => Check::ok(name, "there"),
        false => Check::degraded(name, "absent; the level namespaces needs it", newer),
    };
    let mut checks = vec![
        for_namespaces("clone3", probe.clone3),
        required("pidfd", probe.pidfd),
        for_namespaces("mount_setattr", probe.mount_setattr),
        required("close_range", probe.close_range),
        match probe.seccomp {
            true => Check::ok("seccomp", "there"),
            false => Check::missing(
                "seccomp",
                "filters are not supported",
                "boot a kernel with CONFIG_SECCOMP_FILTER",
            ),
        },
    ];
    checks.push(match probe.landlock_abi {
        Some(abi) => Check::ok("Landlock", format!("ABI {abi}")),
        None => Check::ok(
            "Landlock",
            "absent; at the level process, what functions may read is then up to permissions",
        ),
    });
    checks.push(match probe.overlayfs {
        true => Check::ok("overlayfs", "there"),
        false => Check::ok("overlayfs", "absent; not needed yet"),
    });
    checks
}

fn limits(probe: &ProbeReport) -> Vec<Check> {
    let remedy =
        "run lambd as root, or give its user a delegated cgroup (systemd-run --user --scope -p Delegate=yes)";
    ["memory", "pids", "cpu", "freezer"]
        .into_iter()
        .map(|name| {
            let usable = probe.cgroup_controllers.iter().find(|c| c.name == name && c.writable);
            match usable {
                Some(controller) => {
                    let version = match controller.version {
                        CgroupVersion::V1 => "v1",
                        CgroupVersion::V2 => "v2",
                    };
                    Check::ok(name, format!("cgroup {version} at {}", controller.directory.display()))
                }
                None => Check::degraded(
                    name,
                    "no writable cgroup controller; limits fall back to rlimits",
                    remedy,
                ),
            }
        })
        .collect()
}

/// The most open files that a daemon started like this command may have; `None` for no limit.
fn most_open_files() -> Option<u64> {
    rustix::process::getrlimit(rustix::process::Resource::Nofile).maximum
}

fn open_files(most: Option<u64>) -> Check {
    match most {
        Some(most @ ..ENOUGH_OPEN_FILES) => Check::degraded(
            "open files",
            format!("at most {most}; lambd needs about ten for each instance"),
            format!(
                "raise the hard limit to {ENOUGH_OPEN_FILES} or more (LimitNOFILE= of systemd, limits.conf)"
            ),
        ),
        Some(most) => Check::ok("open files", format!("at most {most}")),
        None => Check::ok("open files", "not limited"),
    }
}

/// How many instances there may be, by the memory that there is.
fn memory() -> Check {
    let Some(now) = MachineMemory::find().read() else {
        return Check::degraded(
            "free memory",
            "the kernel does not tell; there is no limit of instances, and none makes room for others",
            "mount /proc, or give lambd serve --max-instances",
        );
    };
    let options = InvokeOptions { memory: now.total, ..InvokeOptions::default() };
    let (free, total) = (now.available >> 20, now.total >> 20);
    let text = format!("{free} of {total} MB; at most {} instances", options.instances());
    match now.available < options.reserve(now.total) {
        true => Check::degraded(
            "free memory",
            format!(
                "{text}; with less than {} MB, idle instances are ended",
                options.reserve(now.total) >> 20
            ),
            "free some, or give lambd serve another --min-free-memory",
        ),
        false => Check::ok("free memory", text),
    }
}

fn tmp(level: Option<&Isolation>, data_dir: &Path) -> Check {
    if level == Some(&Isolation::Process) {
        return Check::ok("/tmp", TmpInForce::Directory.to_string());
    }
    match lambd_sandbox::probe_scratch(&choices::scratch_directory(data_dir)) {
        TmpInForce::Memory(why) => Check::degraded(
            "/tmp",
            format!("memory, which a cgroup counts as the function's: {}", why.reason()),
            why.remedy(),
        ),
        on_disk => Check::ok("/tmp", on_disk.to_string()),
    }
}

/// Whether functions can reach the outside; tried, not guessed.
fn networks(isolation: &Isolation) -> Check {
    match on_runtime(network::probe(isolation)) {
        Some(Ok(nat)) => Check::ok("nat", format!("{} connects sandboxes", nat.program.display())),
        Some(Err(obstacle)) => Check::degraded("nat", obstacle.reason, obstacle.remedy),
        None => Check::degraded("nat", "there is no event loop to try it in", "try again"),
    }
}

/// The command runs inside the event loop, and what it does here is asynchronous: a thread of its own.
fn on_runtime<T: Send>(work: impl Future<Output = T> + Send) -> Option<T> {
    let run = || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().ok()?;
        Some(runtime.block_on(work))
    };
    std::thread::scope(|scope| scope.spawn(run).join().ok().flatten())
}

fn runtimes(interpreters: &Interpreters, toolchains: &Toolchains) -> Vec<RuntimeFound> {
    let bootstraps = Bootstraps::at("/nowhere".into());
    let catalogue = on_runtime(Catalogue::discover(Substitution::Never, bootstraps, |found| {
        interpreters.are_usable(found)
    }));
    let installed = toolchains::found(&toolchains.list());
    let catalogue = catalogue.map(|catalogue| catalogue.with_toolchains(installed));
    let found = catalogue.iter().flat_map(|c| c.found().to_vec());
    found
        .map(|f| RuntimeFound {
            created_as: crate::runtimes::created_as(&f.runtime()),
            id: f.runtime(),
            path: f.program.clone(),
            version: f.version_text(),
        })
        .collect()
}

fn missing(found: &[RuntimeFound]) -> Vec<RuntimeMissing> {
    let creatable = ["python3.13", "python3.12", "nodejs22.x", "nodejs20.x"];
    let absent = creatable.into_iter().filter(|id| !found.iter().any(|f| f.id == *id));
    absent
        .filter_map(|id| {
            let (family, _) = Family::of(id)?;
            let name = family.name();
            let same = found.iter().find(|f| Family::of(&f.id).is_some_and(|(f, _)| f == family));
            let add = lambd_toolchains::can_be_added(id);
            let remedy = match same {
                Some(other) if add => {
                    format!("lambd runtimes add {id}; until then {} runs instead", other.id)
                }
                None if add => format!("lambd runtimes add {id}"),
                Some(other) => {
                    format!("install this version of {name}; until then {} runs instead", other.id)
                }
                None => format!("install {name}, for example with your distribution's package manager"),
            };
            Some(RuntimeMissing { id: id.to_owned(), remedy })
        })
        .collect()
}

fn data(dir: &Path) -> Vec<Check> {
    let remedy = "choose another directory with --data, or change its permissions";
    let existing = dir.ancestors().find(|a| a.exists()).unwrap_or(Path::new("/"));
    let writable = match std::fs::metadata(existing) {
        Ok(meta) if meta.is_dir() => rustix::fs::access(existing, rustix::fs::Access::WRITE_OK).is_ok(),
        _ => false,
    };
    let mut checks = vec![match (dir.exists(), writable) {
        (true, true) => Check::ok("writable", "yes"),
        (false, true) => Check::ok("writable", "it will be created"),
        (_, false) => Check::missing("writable", format!("{} cannot be written", existing.display()), remedy),
    }];
    if let Ok(stat) = rustix::fs::statvfs(existing) {
        let free = stat.f_bavail.saturating_mul(stat.f_frsize) / (1024 * 1024);
        checks.push(match free {
            1024.. => Check::ok("free space", format!("{} GB", free / 1024)),
            _ => {
                Check::degraded("free space", format!("{free} MB"), "free some space: packages and logs grow")
            }
        });
    }
    checks
}

#[cfg(test)]
mod tests {
    use lambd_cli::Verdict;

    use super::*;

    #[test]
    fn few_open_files_are_told() {
        let few = open_files(Some(1024));
        assert!(matches!(few.verdict, Verdict::Degraded { .. }), "{few:?}");
        assert!(few.detail.contains("1024"), "{few:?}");
        for enough in [Some(4096), Some(1_048_576), None] {
            assert_eq!(open_files(enough).verdict, Verdict::Ok);
        }
    }
}
