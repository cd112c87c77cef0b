//! Programs that are started ahead of demand.

use std::path::Path;
use std::sync::Arc;

use lambd_sandbox::{
    Ahead, AheadNow, Base, Bind, EnforcedBy, ExitStatus, SandboxError, SandboxSpec, Spawner, SpawnerOptions,
};
use rustix::process::{Pid, Signal, kill_process};

use crate::support::{MIB, children, eventually, finish, is_alive, program, start_with};

/// A shell that waits for its environment and then does what is in `RUN`.
const SHELL: &str = r#"printf . >&0
while IFS= read -r -d '' variable; do export "$variable"; [ "$variable" ] && given=1; done
[ "$given" ] || exit 0
exec < /dev/null
eval "$RUN""#;

/// The same shell, when nothing waited.
const PLAIN: &str = r#"eval "$RUN""#;

fn shell() -> Arc<Ahead> {
    Arc::new(Ahead {
        command: "/bin/bash".into(),
        args: vec!["-c".into(), SHELL.into()],
        env: vec![("PATH".into(), "/usr/bin:/bin".into()), ("EARLY".into(), "1".into())],
        binds: Vec::new(),
        symlinks: vec![("/var/lang".into(), "/usr".into())],
        tmp_bytes: 16 * MIB,
        can_be_captured: false,
        directories: vec!["/var/task/lib".into(), "/opt/lib".into()],
    })
}

/// A function that is run by it.
fn function(run: &str, code: &Path) -> SandboxSpec {
    let mut spec = program("/bin/bash", &["-c", SHELL]);
    spec.env.push(("RUN".into(), run.into()));
    spec.symlinks.push(("/var/lang".into(), "/usr".into()));
    spec.binds.push(Bind { source: code.into(), target: "/var/task".into() });
    spec
}

/// A spawner with one that waits; `None` where memory is limited for each process and not for all of a sandbox: there
/// the limit of one that runs already could not be lowered, and none waits.
async fn with_one_waiting(ahead: &Arc<Ahead>) -> Option<Spawner> {
    let spawner = start_with(SpawnerOptions { started_ahead: 4, ..SpawnerOptions::default() });
    spawner.expect(Base::default(), ahead);
    if spawner.limits().memory == EnforcedBy::Rlimit {
        drop(spawner.prepare_for(Base::default(), ahead).await.expect("prepares"));
        assert_eq!(spawner.started_ahead(), AheadNow::default());
        return None;
    }
    eventually("one waits", || spawner.started_ahead().waiting == 1).await;
    Some(spawner)
}

/// What a program can find out about its rights, limits and surroundings.
pub(crate) const ALL: &str =
    "grep -E '^(Uid|Gid|Groups|Cap|NoNewPrivs|Seccomp|SigIgn|SigBlk)' /proc/self/status
cat /proc/self/cgroup /proc/self/limits
cut -d' ' -f4- /proc/self/mountinfo | sed 's/,[ug]id=.*//' | sort
find /var /opt /mnt /run /root -xdev | sort
ls -l /proc/$$/fd > /tmp/fds; sed 's/.* //; s/[0-9]*\\]$/]/' /tmp/fds
ps -o pid,ppid,sid,pgid,args | grep -v ' -c \\|ps -o\\|grep'
hostname; pwd; echo; touch /x /var/task/x /tmp/x; ls /.host; cat /var/task/file";

#[tokio::test]
async fn one_that_waited_has_what_others_have_and_no_more() {
    let code = tempfile::tempdir().expect("temporary directory");
    std::fs::write(code.path().join("file"), "code\n").expect("writes");
    let plain = SandboxSpec {
        args: vec!["-c".into(), PLAIN.into()],
        ..function(&format!("cd /tmp; {ALL}"), code.path())
    };
    let ahead = shell();
    let Some(spawner) = with_one_waiting(&ahead).await else { return };
    let expected = finish(spawner.spawn(plain).await.expect("spawns")).await;
    let prepared = spawner.prepare_for(Base::default(), &ahead).await.expect("prepares");
    assert_eq!(spawner.started_ahead(), AheadNow { waiting: 0, used: 1, restored: 0, missed: 0 });
    let spec = function(&format!("cd /tmp; {ALL}"), code.path());
    let found = finish(prepared.build(spec).await.expect("builds")).await;
    assert_eq!(found.output, expected.output);
    assert!(found.output.contains("code\n") && found.output.contains("NoNewPrivs:\t1"), "{}", found.output);
    assert_eq!(found.status, expected.status);
    spawner.shutdown().await;
}

/// x86-64 alone has images.
#[cfg(target_arch = "x86_64")]
#[tokio::test]
async fn one_that_was_restored_has_what_others_have_and_nothing_of_them() {
    let code = tempfile::tempdir().expect("temporary directory");
    std::fs::write(code.path().join("file"), "code\n").expect("writes");
    let plain = SandboxSpec {
        args: vec!["-c".into(), PLAIN.into()],
        ..function(&format!("cd /tmp; {ALL}"), code.path())
    };
    let ahead = Arc::new(Ahead { can_be_captured: true, ..(*shell()).clone() });
    let Some(spawner) = with_one_waiting(&ahead).await else { return };
    let expected = finish(spawner.spawn(plain).await.expect("spawns")).await;
    let first = spawner.prepare_for(Base::default(), &ahead).await.expect("prepares");
    let mut others = Vec::new();
    for _ in 0..8 {
        others.push(spawner.prepare_for(Base::default(), &ahead).await.expect("prepares"));
    }
    let now = spawner.started_ahead();
    assert!(now.restored > 0 && now.used + now.restored == 9 && now.missed == 0, "{now:?}");
    // The one whose image it is still goes on.
    let run = format!("cd /tmp; {ALL}");
    let finished = finish(first.build(function(&run, code.path())).await.expect("builds")).await;
    assert_eq!(finished.output, expected.output);
    for (number, other) in others.into_iter().enumerate() {
        let mut spec = function(&format!("{run}; echo $MINE; exit 7"), code.path());
        spec.env.push(("MINE".into(), number.to_string()));
        let finished = finish(other.build(spec).await.expect("builds")).await;
        assert_eq!(finished.output, format!("{}{number}\n", expected.output));
        assert_eq!(finished.status, ExitStatus::Exited(7));
    }
    spawner.shutdown().await;
}

#[tokio::test]
async fn its_environment_arrives_whole() {
    let long = "x".repeat(100_000);
    let code = tempfile::tempdir().expect("temporary directory");
    let ahead = shell();
    let Some(spawner) = with_one_waiting(&ahead).await else { return };
    let prepared = spawner.prepare_for(Base::default(), &ahead).await.expect("prepares");
    let mut spec = function("echo ${#LONG} $TEXT; exit 7", code.path());
    spec.env.extend([("LONG".into(), long), ("TEXT".into(), "ü = 2".into())]);
    let finished = finish(prepared.build(spec).await.expect("builds")).await;
    assert_eq!((finished.output.as_str(), finished.status), ("100000 ü = 2\n", ExitStatus::Exited(7)));
}

#[tokio::test]
async fn limits_hold_for_one_that_waited() {
    let code = tempfile::tempdir().expect("temporary directory");
    let ahead = shell();
    let Some(spawner) = with_one_waiting(&ahead).await else { return };
    let prepared = spawner.prepare_for(Base::default(), &ahead).await.expect("prepares");
    let mut spec = function("head -c 300M /dev/zero | tail", code.path());
    spec.memory_bytes = 64 * MIB;
    let sandbox = prepared.build(spec).await.expect("builds");
    assert!(finish(sandbox).await.status != ExitStatus::Exited(0), "300 MB fit into 64 MiB");
    eventually("another one waits", || spawner.started_ahead().waiting == 1).await;
    let prepared = spawner.prepare_for(Base::default(), &ahead).await.expect("prepares");
    let full = finish(
        prepared.build(function("head -c 17M /dev/zero > /tmp/x", code.path())).await.expect("builds"),
    );
    assert_ne!(full.await.status, ExitStatus::Exited(0), "17 MB fit into a /tmp of 16 MiB");
}

#[tokio::test]
async fn those_that_nobody_needs_or_that_died_are_not_handed_out() {
    let ahead = shell();
    let Some(spawner) = with_one_waiting(&ahead).await else { return };
    let inits = || children(i32::try_from(spawner.pid()).expect("pid fits"));
    let [waiting] = inits()[..] else { panic!("one waits: {:?}", inits()) };
    let [program] = children(waiting)[..] else { panic!("it has one process") };
    kill_process(Pid::from_raw(program).expect("pid"), Signal::KILL).expect("kills");
    eventually("its sandbox ends with it", || !is_alive(waiting)).await;
    drop(spawner.prepare_for(Base::default(), &ahead).await.expect("an empty one is made"));
    assert_eq!(spawner.started_ahead().missed, 1);
    eventually("another one waits", || spawner.started_ahead().waiting == 1).await;
    spawner.shutdown().await;
    eventually("none is left", || inits().is_empty()).await;
}

#[tokio::test]
async fn a_program_that_cannot_be_started_ahead_is_started_when_it_is_needed() {
    let code = tempfile::tempdir().expect("temporary directory");
    // It ends instead of waiting.
    let ahead = Arc::new(Ahead { args: vec!["-c".into(), PLAIN.into()], ..(*shell()).clone() });
    let spawner = start_with(SpawnerOptions { started_ahead: 4, ..SpawnerOptions::default() });
    spawner.expect(Base::default(), &ahead);
    let prepared = spawner.prepare_for(Base::default(), &ahead).await.expect("prepares");
    let spec = SandboxSpec { args: ahead.args.clone(), ..function("exit 7", code.path()) };
    assert_eq!(finish(prepared.build(spec).await.expect("builds")).await.status, ExitStatus::Exited(7));
    let missed = u64::from(spawner.limits().memory != EnforcedBy::Rlimit);
    assert_eq!(spawner.started_ahead(), AheadNow { missed, ..AheadNow::default() });
}

#[tokio::test]
async fn one_that_waited_for_another_program_is_refused() {
    let ahead = shell();
    let Some(spawner) = with_one_waiting(&ahead).await else { return };
    let prepared = spawner.prepare_for(Base::default(), &ahead).await.expect("prepares");
    match prepared.build(program("/bin/bash", &["-c", SHELL])).await {
        Err(SandboxError::InvalidSpec { field: "command", reason }) => {
            assert_eq!(reason, "/bin/bash was started for another");
        }
        other => panic!("{other:?}"),
    }
}
