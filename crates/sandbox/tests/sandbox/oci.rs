//! The level `oci`: the same sandbox with a container of crun in it. crun must be installed; no test skips
//! itself.

use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use lambd_sandbox::{
    Availability, Bind, CgroupMode, EnforcedBy, ExitStatus, Isolation, ListenerSocket, OciRuntime,
    SandboxSpec, Spawner, SpawnerOptions,
};
use tokio::io::AsyncReadExt as _;
use tokio::net::unix::pipe::Receiver;

use crate::isolation::{CALLS, assert_calls_are_refused};
use crate::limits::{BOMB, taking};
use crate::support::{
    Finished, MIB, as_ordinary_user_by, eventually, exited, finish, helper, hold_by, is_alive, is_root,
    program, read_until, script, start_with, tcp, tree,
};

const CRUN: &str = "crun";

/// Names the runtime to the helper, which then uses the level `oci`.
const OCI_RUNTIME: &str = "LAMBD_OCI_RUNTIME";

fn runtime(name: &str) -> OciRuntime {
    OciRuntime::find(Some(name), &[]).expect("these tests need the package crun")
}

fn options() -> SpawnerOptions {
    SpawnerOptions { isolation: Isolation::Oci(runtime(CRUN)), ..SpawnerOptions::default() }
}

async fn run(spec: SandboxSpec) -> Finished {
    run_with(options(), spec).await
}

async fn run_with(options: SpawnerOptions, spec: SandboxSpec) -> Finished {
    let spawner = start_with(options);
    let finished = finish(spawner.spawn(spec).await.expect("the sandbox is made")).await;
    spawner.shutdown().await;
    finished
}

async fn output_of(text: &str) -> String {
    let finished = run(script(text)).await;
    assert_eq!(finished.status, ExitStatus::Exited(0), "{}", finished.output);
    finished.output
}

/// A runtime of which nothing is known but its command line: crun behind a script with another name.
fn unknown_runtime(directory: &Path) -> PathBuf {
    let path = directory.join("other");
    let text = "#!/bin/sh\nif [ \"$1\" = --version ]; then echo other version 7; exit; fi\n\
                exec crun --cgroup-manager=disabled \"$@\"\n";
    write_program(&path, text);
    path
}

/// By a shell, not by this process: a child that another test forks meanwhile would keep the file open for
/// writing, and the kernel executes no such file.
fn write_program(path: &Path, text: &str) {
    let written = std::process::Command::new("sh")
        .args(["-c", "printf %s \"$1\" > \"$2\" && chmod 755 \"$2\"", "sh", text])
        .arg(path)
        .status()
        .expect("sh runs");
    assert!(written.success());
}

/// A directory that the identity of a sandbox's init may enter.
fn open_directory() -> tempfile::TempDir {
    let directory = tempfile::tempdir().expect("temporary directory");
    std::fs::set_permissions(directory.path(), PermissionsExt::from_mode(0o755)).expect("chmod");
    directory
}

#[tokio::test]
async fn exit_codes_and_signals_are_told_apart() {
    for (text, expected) in [
        ("exit 0", ExitStatus::Exited(0)),
        ("exit 7", ExitStatus::Exited(7)),
        ("exit 137", ExitStatus::Exited(137)),
        ("kill -9 $$", ExitStatus::Signaled(9)),
        ("kill -SEGV $$", ExitStatus::Signaled(11)),
    ] {
        assert_eq!(run(script(text)).await.status, expected, "{text}");
    }
}

/// An attached runtime has but its own exit code to tell how the container ended.
#[tokio::test]
async fn an_unknown_runtime_stays_and_tells_signals_by_its_exit_code() {
    let directory = open_directory();
    let other = unknown_runtime(directory.path());
    let other = runtime(other.to_str().expect("UTF-8"));
    assert_eq!(other.to_string(), "other 7");
    let with = || SpawnerOptions { isolation: Isolation::Oci(other.clone()), ..SpawnerOptions::default() };
    for (text, expected) in [
        ("exit 0", ExitStatus::Exited(0)),
        ("exit 7", ExitStatus::Exited(7)),
        ("exit 128", ExitStatus::Exited(128)),
        ("kill -9 $$", ExitStatus::Signaled(9)),
        ("kill -TERM $$", ExitStatus::Signaled(15)),
    ] {
        assert_eq!(run_with(with(), script(text)).await.status, expected, "{text}");
    }
    let spawner = start_with(with());
    let mut sandbox = spawner
        .spawn(script("trap 'exit 5' TERM; echo up; while :; do sleep 0.05; done"))
        .await
        .expect("spawns");
    let mut output = Receiver::from_owned_fd(sandbox.take_output()).expect("pipe");
    read_until(&mut output, "up\n").await;
    sandbox.terminate(Duration::from_secs(30)).await;
    assert_eq!(exited(&sandbox).await, ExitStatus::Exited(5));
}

#[tokio::test]
async fn a_command_that_cannot_be_executed_says_why() {
    let directory = open_directory();
    write_program(&directory.path().join("no-program"), "neither script nor program");
    write_program(&directory.path().join("no-interpreter"), "#!/no/such/interpreter\n");
    for (command, errno) in [
        ("/usr/bin/does-not-exist", rustix::io::Errno::NOENT),
        ("/etc/passwd", rustix::io::Errno::ACCESS),
        ("/usr/bin", rustix::io::Errno::ACCESS),
        ("/var/task/no-program", rustix::io::Errno::NOEXEC),
        ("/var/task/no-interpreter", rustix::io::Errno::NOENT),
    ] {
        let mut spec = program(command, &[]);
        spec.binds.push(Bind { source: directory.path().into(), target: "/var/task".into() });
        match run(spec).await.status {
            ExitStatus::NotStarted(error) => {
                assert_eq!((error.step.as_str(), error.errno), ("execve", errno.raw_os_error()), "{command}");
            }
            other => panic!("{command}: {other:?}"),
        }
    }
    let mut spec = script("true");
    spec.cwd = "/no/such".into();
    let ExitStatus::NotStarted(error) = run(spec).await.status else { panic!("it started") };
    assert_eq!(error.step, "change directory to /no/such");
}

#[tokio::test]
async fn output_arguments_environment_and_binds_are_as_specified() {
    // Where only the daemon's user may look.
    let directory = tempfile::tempdir().expect("temporary directory");
    std::fs::write(directory.path().join("hello"), "from the host").expect("write");
    let mut spec =
        script("pwd; cat hello; echo; cat /opt/x/hello; echo \"$0 $A\" >&2; x=(a b); echo ${x[1]}");
    spec.args.push("zero".into());
    spec.env.push(("A".into(), "1 = one".into()));
    spec.binds.push(Bind { source: directory.path().into(), target: "/var/task".into() });
    spec.symlinks.push(("/opt/x".into(), "/var/task".into()));
    spec.cwd = "/var/task".into();
    assert_eq!(run(spec).await.output, "/var/task\nfrom the host\nfrom the hostzero 1 = one\nb\n");
}

#[tokio::test]
async fn memory_is_limited_and_measured() {
    let spawner = start_with(options());
    let sandbox = spawner.spawn(taking(35)).await.expect("spawns");
    assert_eq!(exited(&sandbox).await, ExitStatus::Exited(0));
    let peak = sandbox.memory_peak_bytes().expect("known");
    assert!((35 * MIB..=64 * MIB).contains(&peak), "{peak}");
    let finished = finish(spawner.spawn(taking(400)).await.expect("spawns")).await;
    match spawner.limits().memory {
        EnforcedBy::CgroupV1 | EnforcedBy::CgroupV2 => {
            assert_eq!(finished.status, ExitStatus::OutOfMemory, "{}", finished.output);
        }
        EnforcedBy::Rlimit => assert!(finished.output.contains("MemoryError"), "{}", finished.output),
        EnforcedBy::Signals | EnforcedBy::Nothing => panic!("memory is always limited by something"),
    }
}

#[tokio::test]
async fn processes_and_files_are_limited() {
    let limits = output_of("ulimit -n; ulimit -Hn; ulimit -u; ulimit -c").await;
    assert_eq!(limits, "1024\n1024\n1024\n0\n");
    let mut spec = script("exec /usr/bin/python3 -c \"$BOMB\"");
    spec.env.push(("BOMB".into(), BOMB.into()));
    // More than a thousand processes need, so that their number is what ends them.
    spec.memory_bytes = 1024 * MIB;
    let finished = run(spec).await;
    let children = finished.output.trim().strip_prefix("EAGAIN ").and_then(|count| count.parse().ok());
    // Whether Python itself and the init are counted depends on what limits.
    assert!(children.is_some_and(|count: u32| (1020..=1024).contains(&count)), "{finished:?}");
}

#[tokio::test]
async fn what_all_sandboxes_share_is_divided() {
    let output = output_of("ulimit -Hi; ulimit -Hq").await;
    assert_eq!(output, "1024\n131072\n");
}

#[tokio::test]
async fn without_cgroups_memory_is_limited_by_an_rlimit() {
    let spawner = start_with(SpawnerOptions { cgroup: CgroupMode::Off, ..options() });
    let finished = finish(spawner.spawn(taking(400)).await.expect("spawns")).await;
    assert!(finished.output.contains("MemoryError"), "{}", finished.output);
}

#[tokio::test]
async fn kill_leaves_nothing() {
    let mounts = || std::fs::read_to_string("/proc/self/mountinfo").expect("readable").lines().count();
    let before = mounts();
    let spawner = start_with(options());
    let spawner_pid = i32::try_from(spawner.pid()).expect("pid fits");
    let mut sandbox = spawner.spawn(script("sleep 1000 & echo up; wait")).await.expect("spawns");
    let mut output = Receiver::from_owned_fd(sandbox.take_output()).expect("pipe");
    read_until(&mut output, "up\n").await;
    // The runtime is gone: what the function sees and what counts as its memory is the function's alone.
    eventually("init, shell and sleep run", || tree(sandbox.pid()).len() == 3).await;
    let processes = tree(sandbox.pid());
    // Its state is in the sandbox's mount namespace, and there is none of it here.
    // Only root can look there.
    if is_root() {
        let root = PathBuf::from(format!("/proc/{}/root", sandbox.pid()));
        let states = ["mnt", "media", "srv", "tmp"].map(|stage| root.join(stage).join("state"));
        let state = states.iter().find_map(|state| std::fs::read_dir(state).ok()).expect("the state of crun");
        assert_eq!(state.count(), 1);
    }
    sandbox.kill();
    assert_eq!(exited(&sandbox).await, ExitStatus::Signaled(9));
    assert!(!processes.iter().any(|pid| is_alive(*pid)), "{processes:?}");
    eventually("only the spawner is left", || tree(spawner_pid) == [spawner_pid]).await;
    assert_eq!(mounts(), before);
}

#[tokio::test]
async fn everything_dies_with_the_daemon() {
    let (mut daemon, [spawner, init]) =
        hold_by(&["env", &format!("{OCI_RUNTIME}={CRUN}")], &["hold", "sleep 1000 & sleep 1000"]);
    eventually("the sandbox runs", || tree(init).len() == 4).await;
    let processes = tree(init);
    daemon.kill().expect("kill -9");
    daemon.wait().expect("it ends");
    eventually("all are dead", || !processes.iter().chain([&spawner]).any(|pid| is_alive(*pid))).await;
}

#[tokio::test]
async fn a_container_killed_while_it_starts_leaves_nothing() {
    let copies = || {
        let entries = std::fs::read_dir("/tmp").expect("readable").flatten();
        entries.filter(|entry| entry.file_name().as_encoded_bytes().starts_with(b"crun.")).count()
    };
    let before = copies();
    let spawner = start_with(options());
    let spawner_pid = i32::try_from(spawner.pid()).expect("pid fits");
    for step in 0..20 {
        let sandbox = spawner.spawn(script("sleep 1000")).await.expect("spawns");
        tokio::time::sleep(Duration::from_millis(step)).await;
        drop(sandbox);
    }
    eventually("only the spawner is left", || tree(spawner_pid) == [spawner_pid]).await;
    // crun copies itself to there before it does anything.
    assert!(copies() <= before);
}

#[tokio::test]
async fn a_daemonised_grandchild_ends_with_the_program() {
    let spawner = start_with(options());
    let text = "(setsid sleep 1000 >/dev/null 2>&1 &) ; echo up; sleep 0.3";
    let mut sandbox = spawner.spawn(script(text)).await.expect("spawns");
    let mut output = Receiver::from_owned_fd(sandbox.take_output()).expect("pipe");
    read_until(&mut output, "up\n").await;
    let processes = tree(sandbox.pid());
    assert_eq!(exited(&sandbox).await, ExitStatus::Exited(0));
    assert!(!processes.iter().any(|pid| is_alive(*pid)), "{processes:?}");
}

#[tokio::test]
async fn a_frozen_container_stands_still() {
    let spawner = start_with(options());
    let mut sandbox = spawner.spawn(script("while :; do echo tick; sleep 0.01; done")).await.expect("spawns");
    let mut output = Receiver::from_owned_fd(sandbox.take_output()).expect("pipe");
    read_until(&mut output, "tick\n").await;
    sandbox.freeze().expect("freezes");
    let mut buffer = [0; 65536];
    // What was written before is read at once; then nothing comes for a while, unless nothing can freeze.
    let quiet = async {
        let pause = Duration::from_millis(500);
        while tokio::time::timeout(pause, output.read(&mut buffer)).await.is_ok() {}
    };
    let stands_still = tokio::time::timeout(Duration::from_secs(5), quiet).await.is_ok();
    assert_eq!(stands_still, spawner.limits().freezer != EnforcedBy::Nothing, "{}", spawner.limits());
    sandbox.thaw().expect("thaws");
    read_until(&mut output, "tick\n").await;
    sandbox.kill();
    exited(&sandbox).await;
}

#[tokio::test]
async fn terminate_is_not_lost_while_the_container_starts() {
    let spawner = start_with(options());
    let text = "trap '' TERM; sleep 1000";
    let sandbox = spawner.spawn(script(text)).await.expect("spawns");
    let started = std::time::Instant::now();
    sandbox.terminate(Duration::from_millis(100)).await;
    let status = exited(&sandbox).await;
    // The signal of the runtime's own end would be told otherwise: the program had not ended by itself.
    assert!(matches!(status, ExitStatus::Signaled(9 | 15)), "{status:?}");
    assert!(started.elapsed() < Duration::from_secs(20));
    let mut sandbox = spawner
        .spawn(script("trap 'echo bye; exit 5' TERM; echo up; while :; do sleep 0.05; done"))
        .await
        .expect("spawns");
    let mut output = Receiver::from_owned_fd(sandbox.take_output()).expect("pipe");
    read_until(&mut output, "up\n").await;
    sandbox.terminate(Duration::from_secs(30)).await;
    assert_eq!(exited(&sandbox).await, ExitStatus::Exited(5));
    read_until(&mut output, "bye\n").await;
}

#[tokio::test]
async fn listeners_are_reached_from_inside_and_served_from_outside() {
    let spawner =
        start_with(SpawnerOptions { listeners: vec![tcp("127.0.0.1:9001")], prepared: 1, ..options() });
    let text =
        "exec 5<>/dev/tcp/127.0.0.1/9001; echo hello >&5; cat <&5; tail -n +3 /proc/net/dev | cut -d: -f1";
    let mut sandbox = spawner.spawn(program("/bin/bash", &["-c", text])).await.expect("spawns");
    let Some(ListenerSocket::Tcp(listener)) = sandbox.take_listeners().pop() else { panic!("one socket") };
    let served = tokio::task::spawn_blocking(move || {
        listener.set_nonblocking(false).expect("blocking");
        let (mut connection, _) = listener.accept().expect("accepts");
        connection.set_nonblocking(false).expect("blocking");
        let mut greeting = [0; 6];
        connection.read_exact(&mut greeting).expect("reads");
        assert_eq!(&greeting, b"hello\n");
        writeln!(connection, "served").expect("writes");
    });
    let finished = finish(sandbox).await;
    served.await.expect("served");
    let lines: Vec<&str> = finished.output.lines().map(str::trim).collect();
    assert_eq!(lines, ["served", "lo"], "the only interface is the loopback");
}

#[tokio::test]
async fn a_function_has_no_rights_and_sees_nothing_of_the_host() {
    let status = output_of("id -u; id -g; hostname; umask; cat /proc/self/status").await;
    assert!(status.starts_with("993\n990\nlambd\n0022\n"), "{status}");
    for line in [
        "CapInh:\t0000000000000000",
        "CapPrm:\t0000000000000000",
        "CapEff:\t0000000000000000",
        "CapBnd:\t0000000000000000",
        "CapAmb:\t0000000000000000",
        "NoNewPrivs:\t1",
        "Seccomp:\t2",
        "SigIgn:\t0000000000000000",
        "SigBlk:\t0000000000000000",
    ] {
        assert!(status.contains(line), "{line} not in {status}");
    }
    let seen = output_of(
        "ls -A /sys /home /boot /srv /root 2>/dev/null; ls /dev /proc/acpi; ls /proc/self/fd; true",
    )
    .await;
    let expected = "core\nfd\nfull\nnull\nptmx\nrandom\nshm\nstderr\nstdin\nstdout\ntty\nurandom\nzero";
    assert_eq!(seen, format!("/dev:\n{expected}\n\n/proc/acpi:\n0\n1\n2\n3\n"));
}

#[tokio::test]
async fn only_tmp_can_be_written() {
    let code = open_directory();
    std::fs::set_permissions(code.path(), PermissionsExt::from_mode(0o777)).expect("chmod");
    let mut spec = script(
        "for d in / /usr /etc /dev /dev/shm /var /var/task /opt /mnt /root /run /proc/sys/kernel; do \
         touch $d/x 2>/dev/null && echo wrote $d; done; \
         echo 1 2>/dev/null > /proc/sys/net/ipv4/ip_forward && echo wrote sysctl; \
         cat /proc/kcore /proc/keys /proc/timer_list 2>/dev/null; \
         head -c 3000000 /dev/zero > /tmp/big || stat -c %s /tmp/big",
    );
    spec.tmp_bytes = 2 * MIB;
    spec.binds.push(Bind { source: code.path().into(), target: "/var/task".into() });
    let output = run(spec).await.output;
    assert!(output.contains("No space left") && output.ends_with("2097152\n"), "{output}");
    assert!(!output.contains("wrote"), "{output}");
    assert_eq!(std::fs::read_dir(code.path()).expect("readable").count(), 0);
}

/// The init keeps the host's root in view; nobody may look through it.
const LOOK_THROUGH_OTHERS: &str = "for p in /proc/[0-9]*; do [ $p = /proc/$$ ] || { \
    for f in root/ cwd/ fd/ ns/net; do ls $p/$f >/dev/null 2>&1 && echo saw $(cat $p/comm); done; }; done; \
    cat /proc/1/environ /proc/1/maps /proc/1/mem 2>&1 | grep -c denied; \
    kill -9 1 2>/dev/null; kill -9 -1 2>/dev/null; echo alive";

#[tokio::test]
async fn the_init_cannot_be_looked_into() {
    assert_eq!(output_of(LOOK_THROUGH_OTHERS).await, "3\nalive\n");
}

#[cfg(target_arch = "x86_64")]
#[tokio::test]
async fn dangerous_calls_fail() {
    let mut spec = script("exec /usr/bin/python3 -c \"$CALLS\"");
    spec.env.push(("CALLS".into(), CALLS.into()));
    assert_calls_are_refused(&run(spec).await);
}

/// Without crun's annotation the policy is compiled by libseccomp from its OCI form. It ends a process that
/// uses calls of another interface, which the test's last call does.
#[cfg(target_arch = "x86_64")]
#[tokio::test]
async fn the_policy_holds_in_its_oci_form_too() {
    let directory = open_directory();
    let other = unknown_runtime(directory.path());
    let options = SpawnerOptions {
        isolation: Isolation::Oci(runtime(other.to_str().expect("UTF-8"))),
        ..SpawnerOptions::default()
    };
    let without_x32: String =
        CALLS.lines().filter(|line| !line.contains("x32")).map(|l| format!("{l}\n")).collect();
    assert_ne!(without_x32, CALLS);
    let mut spec = script("exec /usr/bin/python3 -c \"$CALLS\"");
    spec.env.push(("CALLS".into(), without_x32));
    let mut finished = run_with(options, spec).await;
    finished.output.push_str("x32 left out  Function not implemented\n");
    assert_calls_are_refused(&finished);
}

#[tokio::test]
async fn an_ordinary_user_can_run_containers_of_crun() {
    let text = format!(
        "id -u; id -g; grep CapEff /proc/self/status; touch /x 2>&1; echo y > /tmp/y; {LOOK_THROUGH_OTHERS}; exit 4"
    );
    let (output, status) = as_ordinary_user_by(&["env", &format!("{OCI_RUNTIME}={CRUN}")], &["run", &text]);
    assert!(status.contains("status: Exited(4)"), "{status}");
    assert!(output.starts_with("993\n990\nCapEff:\t0000000000000000\ntouch: "), "{output}");
    assert!(output.contains("Read-only file system") && output.ends_with("3\nalive\n"), "{output}");
    assert!(!output.contains("saw"), "{output}");
}

#[tokio::test]
async fn what_is_no_runtime_is_refused_with_the_reason() {
    let directory = open_directory();
    let find = |name: &str| OciRuntime::find(Some(name), &[]);
    assert_eq!(find("no-such-runtime").expect_err("missing"), "no-such-runtime is not in PATH");
    let missing = find("/no/such/runtime").expect_err("missing");
    assert!(missing.contains("No such file"), "{missing}");
    let failing = find("/bin/false").expect_err("no version");
    assert!(failing.contains("--version ended with exit status: 1"), "{failing}");
    let reason = |runtime: OciRuntime| match Isolation::Oci(runtime).availability_with_program(helper()) {
        Availability::Unavailable { reason, .. } => reason,
        Availability::Available => panic!("it is no runtime"),
    };
    let program = reason(runtime("/bin/true"));
    assert!(program.contains("a trial container of true") && program.contains("did not run"), "{program}");
    let option = OciRuntime::find(Some(CRUN), &["--no-such-option".into()]).expect("crun is installed");
    assert!(reason(option).contains("unrecognized option '--no-such-option'"));
    let broken = directory.path().join("broken");
    write_program(
        &broken,
        "#!/bin/sh\n[ \"$1\" = --version ] && echo broken 1 && exit\n\
         printf '{\"level\":\"error\",\"msg\":\"no virtual machine today\"}\\n' > \"$4\"; exit 1\n",
    );
    let broken = reason(runtime(broken.to_str().expect("UTF-8")));
    assert_eq!(broken, "a trial container of broken 1 failed: no virtual machine today");
    // As a crun that was built without seccomp.
    let lax = directory.path().join("lax");
    write_program(
        &lax,
        "#!/bin/sh\n[ \"$1\" = --version ] && echo crun version 0 && exit\n\
         for word; do [ \"$last\" = --bundle ] && cd \"$word\"; last=$word; done\n\
         /usr/bin/python3 -c 'import json; c = json.load(open(\"config.json\")); del c[\"linux\"][\"seccomp\"], \
         c[\"annotations\"]; json.dump(c, open(\"config.json\", \"w\"))'\nexec crun \"$@\"\n",
    );
    let lax = reason(runtime(lax.to_str().expect("UTF-8")));
    assert!(lax.contains("not restricted") && lax.contains("Seccomp"), "{lax}");
    let good = Isolation::Oci(runtime(CRUN));
    assert_eq!(good.availability_with_program(helper()), Availability::Available);
    assert!(good.to_string().starts_with("oci with crun "), "{good}");
}

#[tokio::test]
async fn eight_at_once() {
    let spawner = start_with(options());
    let spawned: Vec<_> = (0..8)
        .map(|number| {
            let spawner: Spawner = spawner.clone();
            tokio::spawn(async move {
                finish(spawner.spawn(script(&format!("echo {number}"))).await.expect("spawns")).await
            })
        })
        .collect();
    for (number, task) in spawned.into_iter().enumerate() {
        let finished = task.await.expect("no panic");
        assert_eq!((finished.status, finished.output), (ExitStatus::Exited(0), format!("{number}\n")));
    }
    spawner.shutdown().await;
}
