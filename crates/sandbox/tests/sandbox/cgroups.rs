//! The groups themselves: what is set, freezing, CPU shares, and that nothing is left of them.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use lambd_sandbox::{CgroupMode, CpuLimits, EnforcedBy, ExitStatus, SandboxError, SpawnerOptions};
use tokio::net::unix::pipe::Receiver;

use crate::support::{
    MIB, eventually, exited, group_of, groups_named, is_alive, output_of, read_until, script, start,
    start_with, tree,
};

/// A parent of this test's own, so that nobody else's groups are looked at.
fn own_parent(test: &str) -> SpawnerOptions {
    let cgroup_parent = format!("lambd-{test}-{}", std::process::id());
    SpawnerOptions { cgroup_parent, ..SpawnerOptions::default() }
}

/// Removes an own parent, which must be empty.
fn remove(options: &SpawnerOptions) {
    for directory in groups_named(&options.cgroup_parent) {
        std::fs::remove_dir(&directory).expect("nothing is left");
    }
}

/// First line of a file of the group that a process is in.
fn setting(pid: i32, controller: &str, file: &str) -> Option<String> {
    let text = std::fs::read_to_string(group_of(pid, controller)?.join(file)).ok()?;
    text.lines().next().map(str::to_owned)
}

/// A number from a file with one `name value` on each line.
fn counter(pid: i32, controller: &str, file: &str, name: &str) -> u64 {
    let group = group_of(pid, controller).expect("the process lives");
    let text = std::fs::read_to_string(group.join(file)).expect("readable");
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    value.unwrap_or_else(|| panic!("no {name} in {text}")).trim().parse().expect("a number")
}

#[tokio::test]
async fn version_1_and_2_are_used_where_they_are_and_refused_where_not() {
    let by = start().limits().memory;
    for (mode, version, name) in
        [(CgroupMode::V1, EnforcedBy::CgroupV1, "v1"), (CgroupMode::V2, EnforcedBy::CgroupV2, "v2")]
    {
        let options = SpawnerOptions { cgroup: mode, ..SpawnerOptions::default() };
        match lambd_sandbox::Spawner::start_with_program(crate::support::helper(), options) {
            Ok(spawner) => assert_eq!(spawner.limits().memory, version),
            Err(SandboxError::CgroupUnavailable { version: refused, reason }) => {
                assert_ne!(by, version, "{reason}");
                assert!(refused == name && !reason.is_empty(), "{refused}: {reason}");
            }
            Err(other) => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn memory_swap_processes_and_disk_time_are_set() {
    let spawner = start();
    let mut spec = script("sleep 1000");
    spec.memory_bytes = 896 * MIB;
    let bytes = spec.memory_bytes.to_string();
    let sandbox = spawner.spawn(spec).await.expect("spawns");
    let set = |controller: &str, file: &str| setting(sandbox.pid(), controller, file);
    match spawner.limits().memory {
        EnforcedBy::CgroupV2 => {
            assert_eq!(set("memory", "memory.max"), Some(bytes));
            assert_eq!(set("memory", "memory.swap.max").as_deref(), Some("0"));
            assert_eq!(set("pids", "pids.max").as_deref(), Some("1024"));
            assert!(set("memory", "memory.peak").is_some_and(|peak| peak != "0"));
            assert_eq!(set("memory", "cgroup.type").as_deref(), Some("domain"));
        }
        EnforcedBy::CgroupV1 => {
            assert_eq!(set("memory", "memory.limit_in_bytes"), Some(bytes.clone()));
            // Missing where the kernel does not account for swap.
            assert!(set("memory", "memory.memsw.limit_in_bytes").is_none_or(|limit| limit == bytes));
            assert_eq!(set("pids", "pids.max").as_deref(), Some("1024"));
        }
        EnforcedBy::Rlimit => {
            let limits =
                |pid: i32| std::fs::read_to_string(format!("/proc/{pid}/limits")).unwrap_or_default();
            let expected = (1152 * MIB).to_string();
            let limited =
                || tree(sandbox.pid()).into_iter().any(|pid| limits(pid).contains(expected.as_str()));
            eventually("the function's data is limited", limited).await;
        }
        EnforcedBy::Signals | EnforcedBy::Nothing => panic!("memory is always limited by something"),
    }
    // Half a CPU's memory, half the weight.
    match spawner.limits().io {
        EnforcedBy::CgroupV2 => assert_eq!(set("io", "io.weight").as_deref(), Some("default 50")),
        EnforcedBy::CgroupV1 => assert_eq!(set("blkio", "blkio.bfq.weight").as_deref(), Some("50")),
        _ => {}
    }
}

#[tokio::test]
async fn the_own_group_is_the_root_of_what_a_function_sees() {
    let output = output_of("cat /proc/self/cgroup").await;
    assert!(output.lines().count() > 0 && output.lines().all(|line| line.ends_with(":/")), "{output}");
}

fn is_frozen(pid: i32, by: EnforcedBy) -> bool {
    match by {
        EnforcedBy::CgroupV2 => counter(pid, "freezer", "cgroup.events", "frozen") == 1,
        EnforcedBy::CgroupV1 => setting(pid, "freezer", "freezer.state").as_deref() == Some("FROZEN"),
        _ => false,
    }
}

#[tokio::test]
async fn a_frozen_sandbox_goes_on_when_it_is_thawed() {
    let spawner = start();
    let by = spawner.limits().freezer;
    let mut sandbox = spawner.spawn(script("while :; do echo tick; sleep 0.02; done")).await.expect("spawns");
    let mut output = Receiver::from_owned_fd(sandbox.take_output()).expect("pipe");
    read_until(&mut output, "tick\n").await;
    sandbox.freeze().expect("freezes");
    if by == EnforcedBy::Nothing {
        read_until(&mut output, "tick\ntick\n").await;
    } else {
        eventually("the kernel says it is frozen", || is_frozen(sandbox.pid(), by)).await;
        // What was written before.
        while output.try_read(&mut [0; 4096]).is_ok() {}
        assert!(output.try_read(&mut [0; 1]).is_err_and(|e| e.kind() == std::io::ErrorKind::WouldBlock));
    }
    sandbox.thaw().expect("thaws");
    read_until(&mut output, "tick\n").await;
    assert!(!is_frozen(sandbox.pid(), by));
}

#[tokio::test]
async fn a_frozen_sandbox_can_be_killed() {
    let spawner = start();
    let by = spawner.limits().freezer;
    let sandbox = spawner.spawn(script("sleep 1000")).await.expect("spawns");
    sandbox.freeze().expect("freezes");
    if by != EnforcedBy::Nothing {
        eventually("the kernel says it is frozen", || is_frozen(sandbox.pid(), by)).await;
    }
    sandbox.kill();
    assert_eq!(exited(&sandbox).await, ExitStatus::Signaled(9));
}

#[tokio::test]
async fn frozen_sandboxes_die_with_the_spawner() {
    let spawner = start();
    let sandbox = spawner.spawn(script("sleep 1000")).await.expect("spawns");
    sandbox.freeze().expect("freezes");
    spawner.shutdown().await;
    assert_eq!(exited(&sandbox).await, ExitStatus::Lost);
}

/// User and system time of all processes in clock ticks of 10 ms.
fn cpu_ticks(pid: i32) -> u64 {
    let of = |pid: i32| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_ascii_whitespace().collect();
        Some(fields[11].parse::<u64>().ok()? + fields[12].parse::<u64>().ok()?)
    };
    tree(pid).into_iter().filter_map(of).sum()
}

#[tokio::test]
async fn the_cpu_is_shared_by_memory_once_it_is_limited() {
    let spawner = start();
    let by = spawner.limits().cpu;
    let mut spec = script("while :; do :; done");
    spec.memory_bytes = 256 * MIB;
    let sandbox = spawner.spawn(spec).await.expect("spawns");
    let pid = sandbox.pid();
    eventually("it ran for a while", || cpu_ticks(pid) > 10).await;
    let (quota_us, period_us) = match by {
        // No controller: nothing to limit with, and the call says nothing.
        EnforcedBy::Nothing | EnforcedBy::Rlimit | EnforcedBy::Signals => {
            return sandbox.limit_cpu().expect("does nothing");
        }
        EnforcedBy::CgroupV1 | EnforcedBy::CgroupV2 => (2857, 20_000),
    };
    assert_eq!(counter(pid, "cpu", "cpu.stat", "nr_throttled"), 0, "the init phase is not throttled");
    sandbox.limit_cpu().expect("limits");
    if by == EnforcedBy::CgroupV2 {
        assert_eq!(setting(pid, "cpu", "cpu.max"), Some(format!("{quota_us} {period_us}")));
        assert_eq!(setting(pid, "cpu", "cpu.weight").as_deref(), Some("14"));
    } else {
        assert_eq!(setting(pid, "cpu", "cpu.cfs_quota_us"), Some(quota_us.to_string()));
        assert_eq!(setting(pid, "cpu", "cpu.cfs_period_us"), Some(period_us.to_string()));
        assert_eq!(setting(pid, "cpu", "cpu.shares").as_deref(), Some("146"));
    }
    let periods = || counter(pid, "cpu", "cpu.stat", "nr_periods");
    eventually("it is throttled", || counter(pid, "cpu", "cpu.stat", "nr_throttled") > 0).await;
    let (ticks, first) = (cpu_ticks(pid), periods());
    eventually("a second has passed", || periods() >= first + 50).await;
    let (ticks, passed) = (cpu_ticks(pid) - ticks, periods() - first);
    let share = passed * quota_us / 10_000;
    // A seventh of a CPU, with what a tick of the kernel is late; unlimited it would be all of one.
    assert!(ticks <= share * 3 / 2 + 2, "{ticks} ticks in {passed} periods, {share} were granted");
}

#[tokio::test]
async fn without_a_cpu_limit_no_share_is_set() {
    let options = SpawnerOptions { cpu: CpuLimits::Unlimited, ..own_parent("unlimited") };
    let spawner = start_with(options.clone());
    assert_eq!(spawner.limits().cpu, EnforcedBy::Nothing);
    assert_eq!(spawner.limits().memory, start().limits().memory, "the rest is as ever");
    let sandbox = spawner.spawn(script("sleep 1000")).await.expect("spawns");
    sandbox.limit_cpu().expect("does nothing");
    let quota =
        ["cpu.max", "cpu.cfs_quota_us"].into_iter().find_map(|file| setting(sandbox.pid(), "cpu", file));
    assert!(quota.as_deref().is_none_or(|quota| matches!(quota, "max 100000" | "-1")), "{quota:?}");
    drop(sandbox);
    spawner.shutdown().await;
    remove(&options);
}

#[tokio::test]
async fn cgroups_are_removed() {
    let options = own_parent("removed");
    let spawner = start_with(options.clone());
    let sandbox = spawner.spawn(script("sleep 1000")).await.expect("spawns");
    let below = |directory: PathBuf| {
        let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
        entries.map(|entry| entry.path()).filter(|path| path.is_dir())
    };
    let of_sandbox = || -> Vec<PathBuf> {
        groups_named(&options.cgroup_parent).into_iter().flat_map(below).flat_map(below).collect()
    };
    assert_eq!(of_sandbox().is_empty(), spawner.limits().memory == EnforcedBy::Rlimit, "{:?}", of_sandbox());
    drop(sandbox);
    eventually("the sandbox's groups are gone", || of_sandbox().is_empty()).await;
    spawner.shutdown().await;
    remove(&options);
}

/// Whatever is being made ahead of demand at that moment.
#[tokio::test(flavor = "multi_thread")]
async fn a_shutdown_at_any_moment_leaves_no_groups() {
    let options = own_parent("moments");
    for moment in 0..25 {
        let spawner = start_with(SpawnerOptions { prepared: 2, ..options.clone() });
        tokio::time::sleep(Duration::from_micros(240 * moment)).await;
        spawner.shutdown().await;
        let left: Vec<PathBuf> = groups_named(&options.cgroup_parent)
            .into_iter()
            .flat_map(|parent| std::fs::read_dir(parent).into_iter().flatten().flatten())
            .map(|entry| entry.path())
            .filter(|path| path.is_dir())
            .collect();
        assert_eq!(left, Vec::<PathBuf>::new(), "after {moment} x 240 µs");
    }
    remove(&options);
}

/// Groups that a dead daemon left, each with a process in it, which is frozen.
struct Leftovers {
    directories: Vec<PathBuf>,
    processes: Vec<Child>,
}

impl Leftovers {
    fn make(options: &SpawnerOptions) -> Self {
        // Whatever belongs to a dead daemon may be removed at any time, so it dies when all is made.
        let mut daemon = sleeping();
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", daemon.id())).expect("readable");
        let start = stat.rsplit_once(") ").and_then(|(_, fields)| fields.split(' ').nth(19)).expect("a time");
        let namespace = std::fs::read_link("/proc/self/ns/pid").expect("readable");
        let namespace: String = namespace.to_string_lossy().chars().filter(char::is_ascii_digit).collect();
        let name = format!("{namespace}-{}-{start}-0/left-behind", daemon.id());
        let mut left = Self { directories: Vec::new(), processes: Vec::new() };
        for parent in groups_named(&options.cgroup_parent) {
            let directory = parent.join(&name);
            std::fs::create_dir_all(&directory).expect("make a leftover");
            let process = sleeping();
            write(&directory.join("cgroup.procs"), &process.id().to_string());
            for (file, state) in [("freezer.state", "FROZEN"), ("cgroup.freeze", "1")] {
                if directory.join(file).exists() {
                    write(&directory.join(file), state);
                }
            }
            left.directories.push(directory);
            left.processes.push(process);
        }
        daemon.kill().and_then(|()| daemon.wait()).expect("it dies");
        left
    }

    async fn gone(mut self) {
        for process in &mut self.processes {
            tokio::task::block_in_place(|| process.wait()).expect("it was killed");
        }
        for directory in &self.directories {
            eventually("the leftover is gone", || !directory.exists()).await;
            let daemon = directory.parent().expect("it has one");
            eventually("the dead daemon's directory is gone", || !daemon.exists()).await;
        }
    }
}

impl Drop for Leftovers {
    /// Of a test that failed: a process that lives on keeps the test program's output open.
    fn drop(&mut self) {
        for process in &mut self.processes {
            let _ = process.kill();
        }
    }
}

fn sleeping() -> Child {
    Command::new("sleep").arg("1000").stdin(Stdio::null()).spawn().expect("it starts")
}

fn write(file: &Path, value: &str) {
    std::fs::write(file, value).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
}

#[tokio::test(flavor = "multi_thread")]
async fn leftovers_of_a_dead_daemon_are_removed_at_the_start() {
    let options = own_parent("start");
    let spawner = start_with(options.clone());
    let left = Leftovers::make(&options);
    assert_eq!(left.directories.is_empty(), spawner.limits().memory == EnforcedBy::Rlimit);
    let second = start_with(options.clone());
    left.gone().await;
    spawner.shutdown().await;
    second.shutdown().await;
    remove(&options);
}

#[tokio::test(flavor = "multi_thread")]
async fn leftovers_of_a_dead_daemon_are_removed_while_running() {
    let options = SpawnerOptions { orphans_every: Duration::from_millis(200), ..own_parent("running") };
    let spawner = start_with(options.clone());
    let sandbox = spawner.spawn(script("sleep 1000")).await.expect("spawns");
    let left = Leftovers::make(&options);
    assert_eq!(left.directories.is_empty(), spawner.limits().memory == EnforcedBy::Rlimit);
    left.gone().await;
    assert!(is_alive(sandbox.pid()), "what is in use stays");
    drop(sandbox);
    spawner.shutdown().await;
    remove(&options);
}
