//! Memory, processes, files: what happens at the limit.

use lambd_sandbox::{CgroupMode, EnforcedBy, ExitStatus, SandboxSpec, SpawnerOptions};

use crate::support::{MIB, exited, finish, output_of, run, script, start, start_with};

/// A sandbox of 64 MiB whose program takes this much. In Python, because its memory is the program's own
/// and touched at once.
pub(crate) fn taking(mebibytes: u64) -> SandboxSpec {
    let text = format!("exec /usr/bin/python3 -c 'x = bytearray({mebibytes} << 20); print(\"survived\")'");
    let mut spec = script(&text);
    spec.memory_bytes = 64 * MIB;
    spec
}

#[tokio::test]
async fn memory_within_the_limit_is_there() {
    let finished = run(taking(30)).await;
    assert_eq!((finished.status, finished.output.as_str()), (ExitStatus::Exited(0), "survived\n"));
}

#[tokio::test]
async fn memory_over_the_limit_ends_in_out_of_memory() {
    let spawner = start();
    let finished = finish(spawner.spawn(taking(400)).await.expect("spawns")).await;
    match spawner.limits().memory {
        EnforcedBy::CgroupV1 | EnforcedBy::CgroupV2 => {
            assert_eq!(finished.status, ExitStatus::OutOfMemory, "{}", finished.output);
            assert_eq!(finished.output, "");
        }
        // The allocation fails, and what comes of that is the program's choice.
        EnforcedBy::Rlimit => {
            assert_eq!(finished.status, ExitStatus::Exited(1), "{}", finished.output);
            assert!(finished.output.contains("MemoryError"), "{}", finished.output);
        }
        EnforcedBy::Signals | EnforcedBy::Nothing => panic!("memory is always limited by something"),
    }
}

#[tokio::test]
async fn a_child_over_the_limit_does_not_end_the_function() {
    let spawner = start();
    let mut spec = taking(400);
    spec.args[1] = spec.args[1].replace("exec ", "") + "; echo status $?";
    let finished = finish(spawner.spawn(spec).await.expect("spawns")).await;
    let status = if spawner.limits().memory == EnforcedBy::Rlimit { "status 1\n" } else { "status 137\n" };
    assert!(finished.output.ends_with(status), "{}", finished.output);
    assert_eq!(finished.status, ExitStatus::Exited(0));
}

#[tokio::test]
async fn the_peak_is_measured_and_kept() {
    let spawner = start();
    let sandbox = spawner.spawn(taking(35)).await.expect("spawns");
    assert_eq!(exited(&sandbox).await, ExitStatus::Exited(0));
    let peak = sandbox.memory_peak_bytes().expect("known");
    assert!((35 * MIB..=64 * MIB).contains(&peak), "{peak}");
}

#[tokio::test]
async fn files_and_processes_are_limited() {
    let output =
        output_of("ulimit -n; ulimit -Hn; ulimit -u; ulimit -c; ulimit -n 2048 2>/dev/null || echo refused")
            .await;
    assert_eq!(output, "1024\n1024\n1024\n0\nrefused\n");
}

/// What the kernel also counts for the user who starts sandboxes: one that takes all it may have leaves something to
/// the others, and to the host's own programs.
#[tokio::test]
async fn what_all_sandboxes_share_is_divided() {
    let output = output_of("cat /proc/sys/user/max_inotify_instances; ulimit -Hq; ulimit -Hi").await;
    let signals = output.trim_end().strip_prefix("16\n131072\n").and_then(|signals| signals.parse().ok());
    // Small machines allow fewer.
    assert!(signals.is_some_and(|signals: u32| signals <= 1024), "{output}");
}

/// Starts threads, which are cheaper, and then processes until the kernel refuses, and prints how often it
/// did not.
pub(crate) const BOMB: &str = r#"
import errno, os, signal, threading, _thread
threading.stack_size(65536)
held = _thread.allocate_lock()
held.acquire()
for started in range(1000):
    _thread.start_new_thread(held.acquire, ())
try:
    while started < 2000:
        started += 1
        if os.fork() == 0:
            signal.pause()
except OSError as error:
    print(errno.errorcode[error.errno], started, flush=True)
os._exit(0)
"#;

#[tokio::test]
async fn a_fork_bomb_hits_its_limit() {
    let mut spec = script("exec /usr/bin/python3 -c \"$BOMB\"");
    spec.env.push(("BOMB".into(), BOMB.into()));
    let finished = run(spec).await;
    let started = finished.output.trim().strip_prefix("EAGAIN ").and_then(|count| count.parse().ok());
    // Python itself is one of the 1024, and so is the init where it shares the function's user or group.
    assert!(started.is_some_and(|count: u32| (1020..1024).contains(&count)), "{finished:?}");
}

#[tokio::test]
async fn without_cgroups_memory_is_limited_by_an_rlimit_and_said_so() {
    let spawner = start_with(SpawnerOptions { cgroup: CgroupMode::Off, ..SpawnerOptions::default() });
    assert_eq!(spawner.limits().memory, EnforcedBy::Rlimit);
    assert!(spawner.limits().to_string().contains("rlimit (for each process"), "{}", spawner.limits());
    let finished = finish(spawner.spawn(taking(400)).await.expect("spawns")).await;
    assert!(finished.output.contains("MemoryError"), "{}", finished.output);
}
