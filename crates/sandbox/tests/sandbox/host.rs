//! The daemon and the spawner as processes: what happens when they die, and who may run them.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::process::Command;

use lambd_sandbox::{EnforcedBy, ExitStatus, LimitsInForce, Sandbox, SandboxError};
use rustix::process::{Pid, Signal, kill_process};

use crate::support::{
    NOBODY, as_ordinary_user, as_ordinary_user_by, eventually, exited, group_of, helper, hold, hold_by,
    is_alive, is_root, script, start, tree,
};

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
    // Root's own groups are of no use to another user.
    let by = if is_root() { EnforcedBy::Rlimit } else { start().limits().memory };
    assert!(status.contains(&format!("limits: memory: {by}")), "{status}");
    assert!(status.contains("status: Exited(4)"), "{status}");
    assert!(
        output.starts_with("993\n990\nCapBnd:\t0000000000000000\nCapEff:\t0000000000000000\n"),
        "{output}"
    );
    assert!(output.contains("Read-only file system") && output.contains("tmp\n"), "{output}");
    assert!(output.contains("/proc/1/environ: Permission denied"), "{output}");
}

/// Root's sandboxes have user ids that no other daemon's have: the daemon holds a lock of theirs as long as it lives.
#[tokio::test]
async fn user_ids_of_sandboxes_are_locked() {
    let (mut daemon, [spawner, init]) = hold(&["hold", "sleep 1000"]);
    let map = std::fs::read_to_string(format!("/proc/{init}/uid_map")).expect("readable");
    let id: u32 = map.split_ascii_whitespace().nth(1).and_then(|id| id.parse().ok()).expect("a map of ids");
    if is_root() {
        let entries = std::fs::read_dir("/run/lambd/uids").expect("readable").flatten();
        let blocks = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
        let block = blocks.filter(|first| *first <= id).max().expect("the sandbox's block");
        let file = File::open(format!("/run/lambd/uids/{block}")).expect("opens");
        assert!(matches!(file.try_lock(), Err(TryLockError::WouldBlock)), "{block} for {id}");
        daemon.kill().expect("kill -9");
        daemon.wait().expect("it ends");
        eventually("the spawner is dead", || !is_alive(spawner)).await;
        file.try_lock().expect("nobody's");
    } else {
        assert_eq!(id, rustix::process::geteuid().as_raw());
        daemon.kill().expect("kill -9");
        daemon.wait().expect("it ends");
    }
}

/// An empty sandbox may wait for days: it must neither keep a file system of the host from being released
/// nor lack one that came later.
#[test]
fn an_empty_sandbox_follows_the_mounts_of_the_host() {
    let directory = tempfile::tempdir().expect("temporary directory");
    let count = "grep -c lambd-test /proc/$INIT/mountinfo";
    let beside = format!("{count}; umount $DIR; {count}; mount -t tmpfs lambd-test $DIR; {count}");
    // In mount namespaces of the test's own, whose mounts are shared as those of hosts with systemd are.
    let output = Command::new("unshare")
        .args(["--mount", "--map-root-user", "--propagation", "private", "sh", "-c"])
        .arg("mount --make-rshared / && mount -t tmpfs lambd-test $DIR && $HELPER beside \"$BESIDE\"")
        .envs([("DIR", directory.path().as_os_str()), ("HELPER", helper().as_os_str())])
        .env("BESIDE", beside)
        .output()
        .expect("unshare runs");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "1\n0\n1\n", "{output:?}");
}

#[tokio::test]
async fn a_delegated_group_limits_the_sandboxes_of_an_ordinary_user() {
    let spawner = start();
    let limits = spawner.limits();
    let sandbox = spawner.spawn(script("sleep 1000")).await.expect("spawns");
    let groups = delegate(&sandbox);
    assert_eq!(groups.is_empty(), limits.memory == EnforcedBy::Rlimit, "{groups:?}");
    let enter: String =
        groups.iter().map(|group| format!("echo $$ > {}/cgroup.procs; ", group.display())).collect();
    // The shell stays in the group, as the one does in which a user starts the daemon.
    let text = enter + "\"$@\"; status=$?; cat /proc/self/cgroup; exit $status";
    let takes_160_mib = "/usr/bin/python3 -c 'bytearray(160 << 20)'; echo status $?";
    let (output, status) = as_ordinary_user_by(&["sh", "-c", &text, "sh"], &["run", takes_160_mib]);
    assert!(status.contains("status: Exited(0)"), "{status}");
    if groups.is_empty() {
        assert!(status.contains("limits: memory: rlimit"), "{status}");
    } else {
        let LimitsInForce { memory, processes, cpu, freezer, .. } = limits;
        for limit in
            [format!("memory: {memory}, processes: {processes}, cpu: {cpu}"), format!("freezer: {freezer}")]
        {
            assert!(status.contains(&limit), "{limit} is not in {status}");
        }
        assert!(output.contains("status 137\n"), "{output}");
    }
    if limits.memory == EnforcedBy::CgroupV2 {
        assert!(output.contains("/lambd-daemon\n"), "what was in the group is in the leaf: {output}");
    }
    for group in groups {
        eventually("the group is empty", || removed_with_all_below(&group)).await;
    }
}

#[tokio::test]
async fn a_service_of_root_stays_in_the_group_it_was_given() {
    let spawner = start();
    let sandbox = spawner.spawn(script("sleep 1000")).await.expect("spawns");
    let groups = delegate(&sandbox);
    if is_root() {
        for group in &groups {
            // As systemd marks it.
            let flags = rustix::fs::XattrFlags::empty();
            rustix::fs::setxattr(group, "trusted.delegate", b"1", flags).expect("xattr");
        }
    }
    let enter: String = groups.iter().map(|g| format!("echo $$ > {}/cgroup.procs; ", g.display())).collect();
    let (mut daemon, [_, init]) =
        hold_by(&["sh", "-c", &(enter + "exec \"$@\""), "sh"], &["hold", "sleep 1000"]);
    for group in &groups {
        let of_sandbox =
            ["memory", "pids", "freezer", "cpu"].map(|name| group_of(init, name).expect("it runs"));
        assert!(of_sandbox.iter().any(|path| path.starts_with(group)), "{of_sandbox:?} {}", group.display());
    }
    daemon.kill().expect("kill -9");
    daemon.wait().expect("it ends");
    for group in groups {
        eventually("the group is empty", || removed_with_all_below(&group)).await;
    }
}

/// Removes a group and those in it, if no process is left there.
fn removed_with_all_below(group: &Path) -> bool {
    for below in std::fs::read_dir(group).into_iter().flatten().flatten() {
        if below.file_type().is_ok_and(|kind| kind.is_dir()) {
            removed_with_all_below(&below.path());
        }
    }
    std::fs::remove_dir(group).is_ok()
}

/// Makes a group beside `lambd` in each hierarchy where a sandbox has one, and gives it to the ordinary
/// user.
fn delegate(sandbox: &Sandbox) -> Vec<PathBuf> {
    let mut groups = Vec::new();
    for controller in ["memory", "pids", "freezer", "cpu"] {
        let of_sandbox = group_of(sandbox.pid(), controller).expect("it runs");
        let Some(parent) = of_sandbox.ancestors().find(|group| group.ends_with("lambd")) else { continue };
        let group = parent.with_file_name(format!("delegated-{}-{}", std::process::id(), sandbox.id()));
        if groups.contains(&group) {
            continue;
        }
        std::fs::create_dir(&group).expect("made beside the other");
        if is_root() {
            for file in ["", "cgroup.procs", "cgroup.subtree_control", "cgroup.threads", "tasks"] {
                let path = group.join(file);
                if path.exists() {
                    std::os::unix::fs::chown(&path, Some(NOBODY), Some(NOBODY)).expect("chown");
                }
            }
        }
        groups.push(group);
    }
    groups
}

fn kill(pid: i32) {
    kill_process(Pid::from_raw(pid).expect("a pid"), Signal::KILL).expect("kill -9");
}
