//! Starting, ending, listeners, environment.

use std::io::{self, Read, Write};
use std::time::Duration;

use lambd_sandbox::{
    Base, Bind, ExitStatus, Listener, ListenerSocket, Network, SandboxError, SandboxSpec, SpawnerOptions,
    Transport,
};
use tokio::net::unix::pipe::Receiver;

use crate::support::{
    MIB, children, eventually, exited, finish, is_alive, output_of, program, read_until, run, script, start,
    start_with, tcp, tree,
};

#[tokio::test]
async fn output_of_both_streams_arrives_in_order() {
    let finished = run(script("for i in 1 2 3; do echo out $i; echo err $i >&2; done; exit 7")).await;
    assert_eq!(finished.output, "out 1\nerr 1\nout 2\nerr 2\nout 3\nerr 3\n");
    assert_eq!(finished.status, ExitStatus::Exited(7));
}

#[tokio::test]
async fn death_by_a_signal_is_told_apart_from_an_exit_code() {
    assert_eq!(run(script("kill -9 $$")).await.status, ExitStatus::Signaled(9));
    assert_eq!(run(script("kill -SEGV $$")).await.status, ExitStatus::Signaled(11));
    assert_eq!(run(script("exit 137")).await.status, ExitStatus::Exited(137));
}

#[tokio::test]
async fn a_command_that_cannot_be_executed_says_why() {
    for (command, kind) in [
        ("/usr/bin/does-not-exist", io::ErrorKind::NotFound),
        ("/etc/passwd", io::ErrorKind::PermissionDenied),
        ("/usr/bin", io::ErrorKind::PermissionDenied),
    ] {
        match run(program(command, &[])).await.status {
            ExitStatus::NotStarted(error) => {
                assert_eq!((error.step.as_str(), error.kind()), ("execve", kind), "{command}: {error}");
            }
            other => panic!("{command}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn a_file_that_is_no_program_says_so() {
    let directory = tempfile::tempdir().expect("temporary directory");
    let file = directory.path().join("bootstrap");
    std::fs::write(&file, "neither script nor program").expect("write");
    std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o755)).expect("chmod");
    let mut spec = program("/var/task/bootstrap", &[]);
    spec.binds.push(Bind { source: directory.path().into(), target: "/var/task".into() });
    let ExitStatus::NotStarted(error) = run(spec).await.status else { panic!("it started") };
    assert_eq!(error.errno, rustix::io::Errno::NOEXEC.raw_os_error(), "{error}");
}

#[tokio::test]
async fn a_missing_working_directory_is_named() {
    let mut spec = script("true");
    spec.cwd = "/no/such".into();
    let ExitStatus::NotStarted(error) = run(spec).await.status else { panic!("it started") };
    assert_eq!(
        (error.step.as_str(), error.kind()),
        ("change directory to /no/such", io::ErrorKind::NotFound)
    );
}

#[tokio::test]
async fn a_missing_bind_source_is_a_named_setup_error() {
    let spawner = start();
    let mut spec = script("true");
    spec.binds.push(Bind { source: "/no/such".into(), target: "/opt/x".into() });
    match spawner.spawn(spec).await {
        Err(SandboxError::Setup { step, source }) => {
            assert_eq!((step.as_str(), source.kind()), ("open /no/such", io::ErrorKind::NotFound));
        }
        other => panic!("{other:?}"),
    }
    // The spawner survives a failed request.
    assert_eq!(
        finish(spawner.spawn(script("true")).await.expect("spawns")).await.status,
        ExitStatus::Exited(0)
    );
}

#[tokio::test]
async fn the_environment_is_exactly_what_was_given() {
    let mut spec = program("/usr/bin/env", &[]);
    spec.env = vec![("B".into(), "2 = two".into()), ("A".into(), String::new()), ("Ü".into(), "ü".into())];
    assert_eq!(run(spec).await.output, "B=2 = two\nA=\nÜ=ü\n");
}

#[tokio::test]
async fn arguments_binds_links_and_directory_are_as_specified() {
    let directory = tempfile::tempdir().expect("temporary directory");
    std::fs::write(directory.path().join("hello"), "from the host").expect("write");
    let mut spec = script("pwd; cat hello; cat /var/lang/hello; echo; echo \"$0 $1\"; ls -d /a/deep/place");
    spec.args.extend(["zero".into(), "one two".into()]);
    spec.binds = vec![
        Bind { source: directory.path().into(), target: "/var/task".into() },
        Bind { source: directory.path().into(), target: "/a/deep/place".into() },
        Bind { source: directory.path().join("hello"), target: "/opt/a-file".into() },
    ];
    spec.symlinks = vec![("/var/lang".into(), "/var/task".into())];
    spec.cwd = "/var/task".into();
    let finished = run(spec).await;
    assert_eq!(finished.output, "/var/task\nfrom the hostfrom the host\nzero one two\n/a/deep/place\n");
}

#[tokio::test]
async fn a_source_may_lie_where_only_the_daemon_may_look() {
    let directory = tempfile::tempdir().expect("temporary directory");
    let code = directory.path().join("code");
    std::fs::create_dir(&code).expect("make directory");
    std::fs::write(code.join("hello"), "found").expect("write");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o700);
    std::fs::set_permissions(directory.path(), mode).expect("chmod");
    let mut spec = script("cat /var/task/hello");
    spec.binds.push(Bind { source: code, target: "/var/task".into() });
    assert_eq!(run(spec).await.output, "found");
}

#[tokio::test]
async fn sh_is_bash() {
    let shell = output_of("x=(a b); echo ${x[1]} ${BASH_VERSION:+bash}").await;
    assert_eq!(shell, "b bash\n");
}

#[tokio::test]
async fn listeners_are_reached_from_inside_and_served_from_outside() {
    let listeners = vec![tcp("127.0.0.1:9001"), tcp("127.0.0.1:9002")];
    let spawner = start_with(SpawnerOptions { listeners, ..SpawnerOptions::default() });
    let text = "for port in 9001 9002; do exec 5<>/dev/tcp/127.0.0.1/$port; echo hello >&5; cat <&5; exec 5>&-; done";
    let mut sandbox = spawner.spawn(program("/bin/bash", &["-c", text])).await.expect("spawns");
    let listeners = sandbox.take_listeners();
    let ports: Vec<u16> = listeners.iter().map(|l| l.local_addr().expect("address").port()).collect();
    assert_eq!(ports, [9001, 9002]);
    let served = tokio::task::spawn_blocking(move || {
        for (number, listener) in listeners.into_iter().enumerate() {
            let ListenerSocket::Tcp(listener) = listener else { panic!("{listener:?}") };
            listener.set_nonblocking(false).expect("blocking");
            let (mut connection, _) = listener.accept().expect("accepts");
            connection.set_nonblocking(false).expect("blocking");
            let mut greeting = [0; 6];
            connection.read_exact(&mut greeting).expect("reads");
            assert_eq!(&greeting, b"hello\n");
            writeln!(connection, "served {number}").expect("writes");
        }
    });
    let finished = finish(sandbox).await;
    served.await.expect("served");
    assert_eq!(finished.output, "served 0\nserved 1\n");
}

#[tokio::test]
async fn datagrams_reach_the_daemon() {
    let address = "127.0.0.1:2000".parse().expect("address");
    let listeners = vec![Listener { transport: Transport::Udp, address }];
    let spawner = start_with(SpawnerOptions { listeners, ..SpawnerOptions::default() });
    let mut sandbox = spawner
        .spawn(program("/bin/bash", &["-c", "echo hello >/dev/udp/127.0.0.1/2000"]))
        .await
        .expect("spawns");
    let Some(ListenerSocket::Udp(socket)) = sandbox.take_listeners().pop() else { panic!("one socket") };
    assert_eq!(finish(sandbox).await.status, ExitStatus::Exited(0));
    let mut text = [0; 16];
    let length = socket.recv(&mut text).expect("it has arrived, because its sender has ended");
    assert_eq!(&text[..length], b"hello\n");
}

/// Sandboxes of the daemon's network cannot all have the same ports.
#[tokio::test]
async fn in_the_host_network_each_sandbox_has_ports_of_its_own() {
    let listeners = vec![tcp("127.0.0.1:9001")];
    let spawner = start_with(SpawnerOptions { listeners, ..SpawnerOptions::default() });
    let base = Base { network: Network::Host, ..Base::default() };
    let a = spawner.prepare(base).await.expect("prepares");
    let b = spawner.prepare(base).await.expect("prepares");
    let [a_address, b_address] = [&a, &b].map(|prepared| prepared.addresses()[0]);
    assert_ne!(a_address.port(), b_address.port());
    let text = format!("exec 5<>/dev/tcp/127.0.0.1/{}; cat <&5", a_address.port());
    let spec = SandboxSpec { network: Network::Host, ..program("/bin/bash", &["-c", &text]) };
    let mut sandbox = a.build(spec).await.expect("builds");
    let Some(ListenerSocket::Tcp(listener)) = sandbox.take_listeners().pop() else { panic!("one socket") };
    let served = tokio::task::spawn_blocking(move || {
        listener.set_nonblocking(false).expect("blocking");
        let (mut connection, _) = listener.accept().expect("accepts");
        writeln!(connection, "served").expect("writes");
    });
    assert_eq!(finish(sandbox).await.output, "served\n");
    served.await.expect("served");
}

#[tokio::test]
async fn sandboxes_made_ahead_are_used_replaced_and_removed() {
    let spawner = start_with(SpawnerOptions { prepared: 2, ..SpawnerOptions::default() });
    let inits = || children(i32::try_from(spawner.pid()).expect("pid fits"));
    eventually("two wait", || inits().len() == 2).await;
    let waiting = inits();
    let sandbox = spawner.spawn(script("read forever </dev/zero")).await.expect("spawns");
    assert!(waiting.contains(&sandbox.pid()), "{waiting:?} were ready");
    eventually("it is replaced", || inits().len() == 3).await;
    // One that was killed while it waited is not handed out.
    let waiting: Vec<_> = inits().into_iter().filter(|init| *init != sandbox.pid()).collect();
    for init in &waiting {
        let pid = rustix::process::Pid::from_raw(*init).expect("pid");
        rustix::process::kill_process(pid, rustix::process::Signal::KILL).expect("kills");
    }
    eventually("both are dead", || !waiting.iter().any(|init| is_alive(*init))).await;
    assert_eq!(
        finish(spawner.spawn(script("exit 7")).await.expect("spawns")).await.status,
        ExitStatus::Exited(7)
    );
    drop(sandbox);
    spawner.shutdown().await;
    eventually("none is left", || inits().is_empty()).await;
}

#[tokio::test]
async fn each_step_of_making_a_sandbox_is_timed() {
    let spawner = start();
    let sandbox = spawner.spawn(script("")).await.expect("spawns");
    let names: Vec<_> = sandbox.phases().iter().map(|phase| phase.name.as_ref()).collect();
    assert_eq!(
        names,
        [
            "clone",
            "map ids",
            "enter cgroups",
            "network",
            "prepare root",
            "capture mounts",
            "change identity",
            "build root"
        ]
    );
    assert!(sandbox.phases().iter().all(|phase| phase.nanoseconds > 0));
}

#[tokio::test]
async fn kill_leaves_no_process_and_is_idempotent() {
    let spawner = start();
    let mut sandbox = spawner.spawn(script("sleep 1000 & echo up; wait")).await.expect("spawns");
    let mut output = Receiver::from_owned_fd(sandbox.take_output()).expect("pipe");
    read_until(&mut output, "up\n").await;
    eventually("init, shell and sleep run", || tree(sandbox.pid()).len() == 3).await;
    let processes = tree(sandbox.pid());
    sandbox.kill();
    sandbox.kill();
    assert_eq!(exited(&sandbox).await, ExitStatus::Signaled(9));
    assert_eq!(exited(&sandbox).await, ExitStatus::Signaled(9), "asking again gives the same");
    assert!(!processes.iter().any(|pid| is_alive(*pid)), "{processes:?}");
    sandbox.kill();
}

#[tokio::test]
async fn dropping_kills() {
    let spawner = start();
    let sandbox = spawner.spawn(script("sleep 1000")).await.expect("spawns");
    let pid = sandbox.pid();
    assert!(is_alive(pid));
    drop(sandbox);
    eventually("the init is dead", || !is_alive(pid)).await;
}

#[tokio::test]
async fn a_daemonised_grandchild_ends_with_the_program() {
    let spawner = start();
    let text = "(setsid sleep 1000 >/dev/null 2>&1 &) ; echo up; read x < /tmp/never 2>/dev/null; sleep 0.3";
    let mut sandbox = spawner.spawn(script(text)).await.expect("spawns");
    let mut output = Receiver::from_owned_fd(sandbox.take_output()).expect("pipe");
    read_until(&mut output, "up\n").await;
    eventually("the grandchild runs", || tree(sandbox.pid()).len() >= 3).await;
    let processes = tree(sandbox.pid());
    assert_eq!(exited(&sandbox).await, ExitStatus::Exited(0));
    assert!(!processes.iter().any(|pid| is_alive(*pid)), "{processes:?}");
}

#[tokio::test]
async fn terminate_lets_the_program_end_by_itself() {
    let spawner = start();
    let text = "trap 'echo bye; exit 5' TERM; echo up; while :; do sleep 0.05; done";
    let mut sandbox = spawner.spawn(script(text)).await.expect("spawns");
    let mut output = Receiver::from_owned_fd(sandbox.take_output()).expect("pipe");
    read_until(&mut output, "up\n").await;
    sandbox.terminate(Duration::from_secs(30)).await;
    assert_eq!(exited(&sandbox).await, ExitStatus::Exited(5));
    read_until(&mut output, "bye\n").await;
}

#[tokio::test]
async fn terminate_kills_what_does_not_listen() {
    let spawner = start();
    let mut sandbox =
        spawner.spawn(script("trap '' TERM; echo up; while :; do sleep 1; done")).await.expect("spawns");
    let mut output = Receiver::from_owned_fd(sandbox.take_output()).expect("pipe");
    read_until(&mut output, "up\n").await;
    sandbox.terminate(Duration::from_millis(100)).await;
    assert_eq!(exited(&sandbox).await, ExitStatus::Signaled(9));
}

/// Fifty, or what the environment says, for machines where that would take longer than a sandbox may.
#[tokio::test]
async fn many_at_once() {
    let many = std::env::var("LAMBD_TEST_AT_ONCE").map_or(50, |number| number.parse().expect("a number"));
    let spawner = start();
    let spawned: Vec<_> = (0..many)
        .map(|number| {
            let spawner = spawner.clone();
            tokio::spawn(async move {
                let mut spec = script(&format!("echo {number}"));
                spec.memory_bytes = 64 * MIB;
                finish(spawner.spawn(spec).await.expect("spawns")).await
            })
        })
        .collect();
    for (number, task) in spawned.into_iter().enumerate() {
        let finished = task.await.expect("no panic");
        assert_eq!((finished.status, finished.output), (ExitStatus::Exited(0), format!("{number}\n")));
    }
    spawner.shutdown().await;
}

#[tokio::test]
async fn a_cancelled_spawn_leaves_nothing() {
    let spawner = start();
    let spawner_pid = i32::try_from(spawner.pid()).expect("pid fits");
    for _ in 0..20 {
        let mut spawning = Box::pin(spawner.spawn(script("sleep 1000")));
        let _ = tokio::time::timeout(Duration::from_micros(500), &mut spawning).await;
    }
    eventually("only the spawner is left", || tree(spawner_pid) == [spawner_pid]).await;
}

#[tokio::test]
async fn spawning_leaks_neither_files_nor_processes() {
    let spawner = start();
    let spawner_pid = i32::try_from(spawner.pid()).expect("pid fits");
    let files = |pid: u32| std::fs::read_dir(format!("/proc/{pid}/fd")).expect("readable").count();
    let mounts = || std::fs::read_to_string("/proc/self/mountinfo").expect("readable").lines().count();
    finish(spawner.spawn(script("true")).await.expect("spawns")).await;
    let before = (files(spawner.pid()), mounts());
    for _ in 0..20 {
        finish(spawner.spawn(script("true")).await.expect("spawns")).await;
    }
    assert_eq!((files(spawner.pid()), mounts()), before);
    eventually("all children are reaped", || tree(spawner_pid) == [spawner_pid]).await;
}
