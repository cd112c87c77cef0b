//! The daemon and the spawner as processes: what happens when they die, and who may run them.

use lambd_sandbox::{ExitStatus, SandboxError};
use rustix::process::{Pid, Signal, kill_process};

use crate::support::{as_ordinary_user, eventually, exited, hold, is_alive, script, start, tree};

#[tokio::test]
async fn sandboxes_die_with_the_spawner() {
    let spawner = start();
    let sandbox = spawner.spawn(script("sleep 1000")).await.expect("spawns");
    let pid = sandbox.pid();
    kill(i32::try_from(spawner.pid()).expect("pid fits"));
    assert_eq!(exited(&sandbox).await, ExitStatus::Lost);
    assert!(!is_alive(pid));
    match spawner.spawn(script("true")).await {
        Err(SandboxError::SpawnerGone) => {}
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn everything_dies_with_the_daemon() {
    let (mut daemon, [spawner, init]) = hold(&["hold", "sleep 1000 & sleep 1000"]);
    eventually("the sandbox runs", || tree(init).len() >= 3).await;
    let processes = tree(init);
    daemon.kill().expect("kill -9");
    daemon.wait().expect("it ends");
    eventually("all are dead", || !processes.iter().chain([&spawner]).any(|pid| is_alive(*pid))).await;
}

#[tokio::test]
async fn the_process_list_shows_who_is_who() {
    let (mut daemon, [spawner, init]) = hold(&["hold", "sleep 1000"]);
    let name = |pid: i32| std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    let command_line = std::fs::read_to_string(format!("/proc/{spawner}/cmdline")).expect("readable");
    assert_eq!((name(spawner).trim(), command_line.as_str()), ("lambd-spawner", "lambd-spawner\0"));
    assert_eq!(name(init).trim(), "lambd-init");
    daemon.kill().expect("kill -9");
    daemon.wait().expect("it ends");
}

#[tokio::test]
async fn an_ordinary_user_can_run_sandboxes() {
    let (output, status) = as_ordinary_user(&[
        "run",
        "id -u; id -g; grep -E 'Cap(Eff|Bnd)' /proc/self/status | sort -u; touch /x; touch /tmp/x && echo tmp; \
         cat /proc/1/environ; exit 4",
    ]);
    assert!(status.contains("limits: memory: rlimit"), "{status}");
    assert!(status.contains("status: Exited(4)"), "{status}");
    assert!(
        output.starts_with("993\n990\nCapBnd:\t0000000000000000\nCapEff:\t0000000000000000\n"),
        "{output}"
    );
    assert!(output.contains("Read-only file system") && output.contains("tmp\n"), "{output}");
    assert!(output.contains("/proc/1/environ: Permission denied"), "{output}");
}

fn kill(pid: i32) {
    kill_process(Pid::from_raw(pid).expect("a pid"), Signal::KILL).expect("kill -9");
}
