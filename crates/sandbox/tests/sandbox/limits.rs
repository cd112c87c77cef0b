//! Memory, processes, files: what happens at the limit.

use lambd_sandbox::{CgroupMode, EnforcedBy, ExitStatus, SpawnerOptions};

use crate::support::{MIB, eventually, finish, output_of, run, script, start, start_with};

/// Without a controller the memory tests would test nothing, so they say what is missing.
fn assert_memory_is_limited_by_a_cgroup(spawner: &lambd_sandbox::Spawner) {
    let by = spawner.limits().memory;
    assert!(
        matches!(by, EnforcedBy::CgroupV1 | EnforcedBy::CgroupV2),
        "this test needs a writable memory cgroup; run it as root or with a delegated cgroup (limits: {})",
        spawner.limits()
    );
}

#[tokio::test]
async fn memory_over_the_limit_ends_in_out_of_memory() {
    let spawner = start();
    assert_memory_is_limited_by_a_cgroup(&spawner);
    let mut spec = script("x=$(head -c 200000000 /dev/zero | tr '\\0' x); echo survived");
    spec.command = "/bin/bash".into();
    spec.memory_bytes = 64 * MIB;
    // The shell itself holds the text, so it is the shell that is killed.
    let finished = finish(spawner.spawn(spec).await.expect("spawns")).await;
    assert_eq!(finished.status, ExitStatus::OutOfMemory, "{}", finished.output);
}

#[tokio::test]
async fn the_peak_is_measured_and_kept() {
    let spawner = start();
    assert_memory_is_limited_by_a_cgroup(&spawner);
    let sandbox = spawner
        .spawn(script("head -c 40000000 /dev/zero | tail -c 40000000 > /dev/null"))
        .await
        .expect("spawns");
    assert_eq!(sandbox.exited().await, ExitStatus::Exited(0));
    let peak = sandbox.memory_peak_bytes().expect("known");
    assert!((30 * MIB..256 * MIB).contains(&peak), "{peak}");
}

#[tokio::test]
async fn files_and_processes_are_limited() {
    let output =
        output_of("ulimit -n; ulimit -Hn; ulimit -u; ulimit -c; ulimit -n 2048 2>/dev/null || echo refused")
            .await;
    assert_eq!(output, "1024\n1024\n1024\n0\nrefused\n");
}

#[tokio::test]
async fn a_fork_bomb_hits_its_limit() {
    let text = "for i in $(seq 1100); do sleep 100 & done 2>&1 | head -n 1; echo still here";
    let finished = run(script(text)).await;
    assert!(finished.output.contains("Resource temporarily unavailable"), "{}", finished.output);
}

#[tokio::test]
async fn cgroups_are_removed() {
    let parent = format!("lambd-test-{}", std::process::id());
    let spawner = start_with(SpawnerOptions { cgroup_parent: parent.clone(), ..SpawnerOptions::default() });
    assert_memory_is_limited_by_a_cgroup(&spawner);
    let sandbox = spawner.spawn(script("sleep 1000")).await.expect("spawns");
    assert!(!sandboxes_of(&parent).is_empty());
    drop(sandbox);
    eventually("the sandbox's groups are gone", || sandboxes_of(&parent).is_empty()).await;
    spawner.shutdown().await;
    for directory in groups_of(&parent) {
        std::fs::remove_dir(&directory).expect("the daemon's directory is gone, so the parent is empty");
    }
}

#[tokio::test]
async fn leftovers_of_a_dead_daemon_are_removed() {
    let parent = format!("lambd-stale-{}", std::process::id());
    let options = SpawnerOptions { cgroup_parent: parent.clone(), ..SpawnerOptions::default() };
    let spawner = start_with(options.clone());
    assert_memory_is_limited_by_a_cgroup(&spawner);
    let left: Vec<_> = groups_of(&parent).into_iter().map(|group| group.join("1-1-0/left-behind")).collect();
    for directory in &left {
        std::fs::create_dir_all(directory).expect("make a leftover");
    }
    let second = start_with(options);
    for directory in &left {
        assert!(!directory.exists(), "{}", directory.display());
    }
    spawner.shutdown().await;
    second.shutdown().await;
    for directory in groups_of(&parent) {
        std::fs::remove_dir(&directory).expect("nothing is left");
    }
}

#[tokio::test]
async fn without_cgroups_memory_is_limited_by_an_rlimit_and_said_so() {
    let spawner = start_with(SpawnerOptions { cgroup: CgroupMode::Off, ..SpawnerOptions::default() });
    assert_eq!(spawner.limits().memory, EnforcedBy::Rlimit);
    assert!(spawner.limits().to_string().contains("rlimit (for each process"), "{}", spawner.limits());
    let mut spec = script("x=$(head -c 400000000 /dev/zero | tr '\\0' x); echo survived");
    spec.memory_bytes = 64 * MIB;
    let finished = finish(spawner.spawn(spec).await.expect("spawns")).await;
    assert!(!finished.output.contains("survived"), "{}", finished.output);
}

/// Directories of a cgroup parent in all hierarchies.
fn groups_of(parent: &str) -> Vec<std::path::PathBuf> {
    let text = std::fs::read_to_string("/proc/self/mountinfo").expect("readable");
    text.lines()
        .filter(|line| line.contains(" - cgroup"))
        .filter_map(|line| line.split(' ').nth(4))
        .map(|mount| std::path::Path::new(mount).join(parent))
        .filter(|path| path.is_dir())
        .collect()
}

/// Groups of the sandboxes of all daemons below a cgroup parent.
fn sandboxes_of(parent: &str) -> Vec<std::path::PathBuf> {
    let below = |path: std::path::PathBuf| {
        let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
        entries.map(|entry| entry.path()).filter(|path| path.is_dir())
    };
    groups_of(parent).into_iter().flat_map(below).flat_map(below).collect()
}
