//! The daemon and the spawner as processes: what happens when they die, and who may run them.

use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, Command, Stdio};

use lambd_sandbox::{ExitStatus, SandboxError};
use rustix::process::{Pid, Signal, kill_process};

use crate::support::{eventually, exited, helper, is_alive, script, start, tree};

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
    let (mut daemon, [spawner, init]) = hold("sleep 1000 & sleep 1000");
    eventually("the sandbox runs", || tree(init).len() >= 3).await;
    let processes = tree(init);
    daemon.kill().expect("kill -9");
    daemon.wait().expect("it ends");
    eventually("all are dead", || !processes.iter().chain([&spawner]).any(|pid| is_alive(*pid))).await;
}

#[tokio::test]
async fn the_process_list_shows_who_is_who() {
    let (mut daemon, [spawner, init]) = hold("sleep 1000");
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

/// Starts a daemon with one sandbox; returns process ids of its spawner and of the sandbox's init.
fn hold(text: &str) -> (Child, [i32; 2]) {
    let mut daemon = Command::new(helper())
        .args(["hold", text])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the helper starts");
    let lines = BufReader::new(daemon.stdout.take().expect("piped")).lines();
    let line = lines
        .map_while(Result::ok)
        .find(|line| line.starts_with("pids: "))
        .expect("it announces the sandbox");
    let pids: Vec<i32> = line.split(' ').skip(1).map(|word| word.parse().expect("a pid")).collect();
    (daemon, pids.try_into().expect("two pids"))
}

/// Runs the helper as an unprivileged user, by way of setpriv(1) when the tests run as root. Returns
/// what the sandbox wrote, and what the helper said about it.
pub(crate) fn as_ordinary_user(args: &[&str]) -> (String, String) {
    let directory = tempfile::tempdir().expect("temporary directory");
    std::fs::set_permissions(directory.path(), PermissionsExt::from_mode(0o755)).expect("chmod");
    let program = directory.path().join("helper");
    // By cp(1), not by this process: a child that another test forks while the file is open for writing
    // here would keep it open, and the kernel executes no such file.
    let copied = Command::new("cp").arg(helper()).arg(&program).status().expect("cp runs");
    assert!(copied.success(), "copy the helper to where the user can read it");
    let mut command = if rustix::process::geteuid().is_root() {
        let mut command = Command::new("setpriv");
        command.args(["--reuid", "65534", "--regid", "65534", "--clear-groups"]).arg(&program);
        command
    } else {
        Command::new(&program)
    };
    let output =
        command.args(args).current_dir("/").output().expect("setpriv (package util-linux) is needed as root");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    let (about, of_sandbox): (Vec<&str>, Vec<&str>) =
        text.lines().partition(|line| line.starts_with("limits:") || line.starts_with("status:"));
    (of_sandbox.join("\n") + "\n", about.join("\n"))
}
