//! The isolation level `process`, as root with a user for each sandbox, and as an ordinary user.

use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use lambd_sandbox::{
    Base, Bind, CgroupMode, EnforcedBy, ExitStatus, Isolation, ListenerSocket, Network, Prepared, Sandbox,
    SandboxError, SandboxSpec, Spawner, SpawnerOptions,
};
use rustix::process::{Pid, Signal, kill_process};
use tokio::net::unix::pipe::Receiver;

use crate::limits::taking;
use crate::support::{
    MIB, as_ordinary_user, eventually, exited, finish, hold, is_alive, is_root, read_until, script,
    start_with, tcp, tree,
};

/// A spawner at this level, with a directory for its sandboxes.
struct Level {
    spawner: Spawner,
    directory: tempfile::TempDir,
}

impl Level {
    fn start(options: SpawnerOptions) -> Self {
        let directory = tempfile::tempdir().expect("temporary directory");
        std::fs::set_permissions(directory.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755))
            .expect("chmod");
        let tmp_parent = Some(directory.path().join("tmp"));
        let spawner = start_with(SpawnerOptions { isolation: Isolation::Process, tmp_parent, ..options });
        Self { spawner, directory }
    }

    fn without_cgroups() -> Self {
        Self::start(SpawnerOptions { cgroup: CgroupMode::Off, ..SpawnerOptions::default() })
    }

    async fn prepare(&self, network: Network) -> Prepared {
        self.spawner.prepare(Base { network, ..Base::default() }).await.expect("it is prepared")
    }

    /// A sandbox that runs a script in its own directory.
    async fn spawn(&self, text: &str) -> Sandbox {
        self.spawn_spec(script(text)).await
    }

    async fn spawn_spec(&self, spec: SandboxSpec) -> Sandbox {
        let prepared = self.prepare(Network::None).await;
        let cwd = prepared.tmp().expect("a directory").to_owned();
        prepared.build(SandboxSpec { cwd, ..spec }).await.expect("it is built")
    }

    async fn output_of(&self, text: &str) -> String {
        let finished = finish(self.spawn(text).await).await;
        assert_eq!(finished.status, ExitStatus::Exited(0), "{}", finished.output);
        finished.output
    }

    fn tmp_directories(&self) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(self.directory.path().join("tmp")).expect("readable");
        entries.flatten().map(|entry| entry.path()).collect()
    }
}

#[tokio::test]
async fn rights_are_gone_and_the_user_is_nobody_elses() {
    let level = Level::start(SpawnerOptions::default());
    let status = level.output_of("cat /proc/self/status").await;
    let mut lines = vec![
        "CapInh:\t0000000000000000",
        "CapPrm:\t0000000000000000",
        "CapEff:\t0000000000000000",
        "CapAmb:\t0000000000000000",
        "NoNewPrivs:\t1",
        "Seccomp:\t2",
        "SigBlk:\t0000000000000000",
    ];
    if is_root() {
        // Nobody else may drop from it; without new privileges it gives nothing either.
        lines.push("CapBnd:\t0000000000000000");
    }
    for line in lines {
        assert!(status.contains(line), "{line} not in {status}");
    }
    let (mut first, second) = (level.spawn("id -u; sleep 1000").await, level.output_of("id -u; id -G").await);
    let (uid, groups) = second.trim().split_once('\n').expect("two lines");
    if is_root() {
        assert!(uid.parse::<u32>().expect("a number") >= 0x7000_0000, "{uid}");
        assert_eq!(uid, groups, "a group of the same number, and no other");
        let mut output = Receiver::from_owned_fd(first.take_output()).expect("a pipe");
        assert_ne!(read_until(&mut output, "\n").await.trim(), uid, "two that live at a time differ");
    } else {
        assert_eq!(uid, rustix::process::geteuid().as_raw().to_string());
    }
}

#[tokio::test]
async fn only_its_own_directory_can_be_written() {
    let level = Level::start(SpawnerOptions::default());
    // A directory that everybody may read and write to, beside one that it is to read.
    let code = level.directory.path().join("code");
    let open = level.directory.path().join("open");
    for (path, mode) in [(&code, 0o755), (&open, 0o777)] {
        std::fs::create_dir(path).expect("mkdir");
        std::fs::write(path.join("file"), "content").expect("write");
        std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(mode)).expect("chmod");
    }
    let mut spec = script(&format!(
        "cat {0}/file; echo; cat {1}/file; ls {1}; for d in / /tmp /var/tmp /dev/shm {0} {1} .. .; do \
         touch $d/x 2>/dev/null && echo wrote $d; done; echo x > /dev/null && echo wrote null; \
         cat /etc/shadow /root/.profile; ls /home /root /tmp; cat /etc/passwd | wc -l | grep -c . ; true",
        code.display(),
        open.display()
    ));
    spec.binds.push(Bind { source: code.clone(), target: "/var/task".into() });
    let finished = finish(level.spawn_spec(spec).await).await;
    let lines: Vec<_> = finished.output.lines().filter(|line| !line.contains("ermission denied")).collect();
    assert_eq!(lines, ["content", "wrote .", "wrote null", "1"], "{}", finished.output);
    assert!(finished.output.matches("ermission denied").count() >= 7, "{}", finished.output);
}

#[tokio::test]
async fn the_directory_is_private_and_removed_whatever_is_in_it() {
    let level = Level::start(SpawnerOptions::default());
    let sandbox = level
        .spawn(
            "mkdir -p locked/inner; echo x > locked/inner/file; ln -s / root; ln -s .. up; \
             chmod 000 locked/inner locked; stat -c %a .; sleep 1000",
        )
        .await;
    let [mine] = &level.tmp_directories()[..] else { panic!("{:?}", level.tmp_directories()) };
    let mut sandbox = sandbox;
    let mut output = Receiver::from_owned_fd(sandbox.take_output()).expect("a pipe");
    assert_eq!(read_until(&mut output, "\n").await, "700\n");
    let look = format!("ls {0}; cat {0}/locked/inner/file; true", mine.display());
    let seen = level.output_of(&look).await;
    assert_eq!(seen.matches("ermission denied").count(), 2, "{seen}");
    drop(sandbox);
    eventually("directories are removed", || level.tmp_directories().is_empty()).await;
    assert!(level.directory.path().exists() && Path::new("/usr").exists());
}

#[tokio::test]
async fn what_an_earlier_daemon_left_is_removed_at_start() {
    let level = Level::start(SpawnerOptions::default());
    let parent = level.directory.path().join("tmp");
    std::fs::create_dir_all(parent.join("old/below")).expect("mkdir");
    std::fs::write(parent.join("old/below/file"), "x").expect("write");
    let second = start_with(SpawnerOptions {
        isolation: Isolation::Process,
        tmp_parent: Some(parent),
        ..SpawnerOptions::default()
    });
    eventually("it is gone", || level.tmp_directories().is_empty()).await;
    second.shutdown().await;
}

#[tokio::test]
async fn a_directory_over_its_limit_ends_the_sandbox() {
    let level = Level::start(SpawnerOptions::default());
    // Many small files, none of which is over the limit itself.
    let mut spec =
        script("for i in $(seq 1 40); do head -c 100000 /dev/zero > f$i; done; echo full; sleep 1000");
    spec.tmp_bytes = 2 * MIB;
    let sandbox = level.spawn_spec(spec).await;
    assert_eq!(exited(&sandbox).await, ExitStatus::Signaled(9));
    let mut spec = script("head -c 3000000 /dev/zero > big; stat -c %s big");
    spec.tmp_bytes = 2 * MIB;
    let finished = finish(level.spawn_spec(spec).await).await;
    assert!(
        finished.output.contains("File too large") && finished.output.ends_with("2097152\n"),
        "{}",
        finished.output
    );
}

#[tokio::test]
async fn it_needs_a_directory() {
    let options = SpawnerOptions { isolation: Isolation::Process, ..SpawnerOptions::default() };
    match Spawner::start_with_program(crate::support::helper(), options) {
        Err(SandboxError::InvalidSpec { field: "tmp_parent", .. }) => {}
        other => panic!("{other:?}"),
    }
}

/// Children that left their session and lost their parents, and one that multiplies.
const DAEMONS: &str = "for i in 1 2 3; do (setsid sh -c 'sleep 1000 & while true; do sleep 0.01 & wait $!; done' &); done; \
                       (setsid sleep 1000 &); echo started; ";

/// Waits for a sandbox to have started them, and returns all its processes.
async fn started(sandbox: &mut Sandbox) -> Vec<i32> {
    let mut output = Receiver::from_owned_fd(sandbox.take_output()).expect("a pipe");
    read_until(&mut output, "started").await;
    let init = sandbox.pid();
    eventually("they run", || tree(init).len() > 8).await;
    tree(init)
}

async fn assert_all_end(level: &Level, processes: &[i32]) {
    eventually("all are dead", || !processes.iter().any(|pid| is_alive(*pid))).await;
    let spawner = i32::try_from(level.spawner.pid()).expect("pid fits");
    eventually("none is left", || tree(spawner).len() <= 1).await;
}

#[tokio::test]
async fn killing_gets_every_descendant() {
    for level in [Level::start(SpawnerOptions::default()), Level::without_cgroups()] {
        let mut sandbox = level.spawn(&format!("{DAEMONS} sleep 1000")).await;
        let processes = started(&mut sandbox).await;
        sandbox.kill();
        assert_eq!(exited(&sandbox).await, ExitStatus::Signaled(9));
        assert_all_end(&level, &processes).await;
    }
}

#[tokio::test]
async fn the_end_of_the_program_is_the_end_of_all() {
    let level = Level::without_cgroups();
    let mut sandbox = level.spawn(&format!("{DAEMONS} until [ -e go ]; do sleep 0.01; done; exit 3")).await;
    let processes = started(&mut sandbox).await;
    std::fs::write(level.tmp_directories()[0].join("go"), "").expect("write");
    assert_eq!(exited(&sandbox).await, ExitStatus::Exited(3));
    assert_all_end(&level, &processes).await;
}

#[tokio::test]
async fn a_dead_init_leaves_nothing() {
    for level in [Level::start(SpawnerOptions::default()), Level::without_cgroups()] {
        let mut sandbox = level.spawn(&format!("{DAEMONS} sleep 1000")).await;
        let processes = started(&mut sandbox).await;
        kill(sandbox.pid());
        assert_eq!(exited(&sandbox).await, ExitStatus::Lost);
        assert_all_end(&level, &processes).await;
    }
}

#[tokio::test]
async fn a_dead_spawner_leaves_nothing() {
    let level = Level::without_cgroups();
    let mut sandbox = level.spawn(&format!("{DAEMONS} sleep 1000")).await;
    let processes = started(&mut sandbox).await;
    kill(i32::try_from(level.spawner.pid()).expect("pid fits"));
    exited(&sandbox).await;
    eventually("all are dead", || !processes.iter().any(|pid| is_alive(*pid))).await;
}

#[tokio::test]
async fn terminating_is_polite_first() {
    let level = Level::start(SpawnerOptions::default());
    let mut sandbox =
        level.spawn("trap 'echo polite; exit 5' TERM; echo ready; while true; do sleep 0.01; done").await;
    let mut output = Receiver::from_owned_fd(sandbox.take_output()).expect("a pipe");
    read_until(&mut output, "ready").await;
    sandbox.terminate(crate::support::PATIENCE).await;
    assert_eq!(exited(&sandbox).await, ExitStatus::Exited(5));
}

#[tokio::test]
async fn without_a_freezer_signals_stop_and_continue_all() {
    let level = Level::without_cgroups();
    assert_eq!(level.spawner.limits().freezer, EnforcedBy::Signals);
    // Not dash: it starts programs by vfork(2), and a parent that waits for a child stopped before its exec is
    // in an uninterruptible sleep instead of stopped.
    let mut sandbox =
        level.spawn("(setsid bash -c 'while true; do echo tick; sleep 0.01; done' &); sleep 1000").await;
    let mut output = Receiver::from_owned_fd(sandbox.take_output()).expect("a pipe");
    read_until(&mut output, "tick\ntick").await;
    let functions = tree(sandbox.pid()).split_off(1);
    sandbox.freeze().expect("freezes");
    let state = |pid: &i32| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        stat.rsplit_once(") ").map_or(' ', |(_, rest)| rest.chars().next().unwrap_or(' '))
    };
    eventually("all are stopped or gone", || {
        functions.iter().all(|pid| matches!(state(pid), 'T' | 'Z' | ' '))
    })
    .await;
    sandbox.thaw().expect("thaws");
    // More than the pipe could have kept.
    for _ in 0..3 {
        read_until(&mut output, "tick\ntick").await;
    }
    sandbox.freeze().expect("freezes");
    sandbox.kill();
    assert_eq!(exited(&sandbox).await, ExitStatus::Signaled(9), "a stopped one dies as well");
}

#[tokio::test]
async fn listeners_are_on_the_host_and_know_their_sandbox() {
    let level =
        Level::start(SpawnerOptions { listeners: vec![tcp("127.0.0.1:9001")], ..SpawnerOptions::default() });
    let prepared = level.prepare(Network::None).await;
    let address = prepared.addresses()[0];
    assert_ne!(address.port(), 9001, "the host's ports are shared");
    let cwd = prepared.tmp().expect("a directory").to_owned();
    let text = format!(
        "exec 3<>/dev/tcp/127.0.0.1/{}; echo connected; read line <&3; echo got $line; \
         (echo x > /dev/tcp/127.0.0.1/{}) 2>&1; sleep 1000",
        address.port(),
        // Somebody else's.
        listening_port()
    );
    let spec = SandboxSpec { command: "/bin/bash".into(), cwd, ..script(&text) };
    let mut sandbox = prepared.build(spec).await.expect("it is built");
    assert!(sandbox.shares_network());
    let Some(ListenerSocket::Tcp(listener)) = sandbox.take_listeners().pop() else { panic!("no listener") };
    let mut output = Receiver::from_owned_fd(sandbox.take_output()).expect("a pipe");
    read_until(&mut output, "connected").await;
    listener.set_nonblocking(false).expect("blocks");
    let (mut stream, peer) = listener.accept().expect("accepts");
    let local = stream.local_addr().expect("address");
    let peers = sandbox.peers();
    assert!(peers.include(peer, local), "its own");
    let stranger = TcpStream::connect(address).expect("connects");
    let (_, strangers) = listener.accept().expect("accepts");
    assert!(!peers.include(strangers, local), "this process");
    drop(stranger);
    std::io::Write::write_all(&mut stream, b"hello\n").expect("writes");
    let rest = read_until(&mut output, "ermission denied").await;
    assert!(rest.contains("got hello"), "{rest}");
}

#[tokio::test]
async fn with_namespaces_on_the_hosts_network_strangers_are_known_as_well() {
    let spawner =
        start_with(SpawnerOptions { listeners: vec![tcp("127.0.0.1:9001")], ..SpawnerOptions::default() });
    let prepared =
        spawner.prepare(Base { network: Network::Host, ..Base::default() }).await.expect("it is prepared");
    let address = prepared.addresses()[0];
    let text = format!("exec 3<>/dev/tcp/127.0.0.1/{}; echo connected; sleep 1000", address.port());
    let spec = SandboxSpec { command: "/bin/bash".into(), network: Network::Host, ..script(&text) };
    let mut sandbox = prepared.build(spec).await.expect("it is built");
    assert!(sandbox.shares_network());
    let Some(ListenerSocket::Tcp(listener)) = sandbox.take_listeners().pop() else { panic!("no listener") };
    let mut output = Receiver::from_owned_fd(sandbox.take_output()).expect("a pipe");
    read_until(&mut output, "connected").await;
    listener.set_nonblocking(false).expect("blocks");
    let (_own, own) = listener.accept().expect("accepts");
    let _stranger = TcpStream::connect(address).expect("connects");
    let (_other, other) = listener.accept().expect("accepts");
    assert!(sandbox.peers().include(own, address));
    assert!(!sandbox.peers().include(other, address));
    let alone = spawner.spawn(script("sleep 1000")).await.expect("spawns");
    assert!(!alone.shares_network());
}

/// A port of this process that nobody else may connect to.
fn listening_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("binds");
    let port = listener.local_addr().expect("address").port();
    std::mem::forget(listener);
    port
}

#[tokio::test]
async fn memory_is_limited() {
    let level = Level::without_cgroups();
    let finished = finish(level.spawn_spec(taking(400)).await).await;
    assert!(finished.output.contains("MemoryError"), "{}", finished.output);
}

#[test]
fn an_ordinary_user_can_run_it() {
    let (output, status) = as_ordinary_user(&[
        "--process",
        "TMP",
        "run",
        "id -u; grep CapEff /proc/self/status; touch x && chmod 700 x && touch -d 2020-01-01 x && stat -c '%a %Y' x; \
         touch /tmp/x; cat ../../secret; chmod 777 ../../secret; kill -9 $PPID; sleep 0.1; echo alive; \
         (setsid sleep 1000 &); exit 4",
    ]);
    let user = if is_root() { "65534".to_owned() } else { rustix::process::geteuid().as_raw().to_string() };
    assert!(status.contains("status: Exited(4)"), "{status}{output}");
    assert!(output.starts_with(&format!("{user}\nCapEff:\t0000000000000000\n700 1577836800\n")), "{output}");
    assert!(output.contains("alive") && !output.contains("the secret"), "{output}");
    assert_eq!(output.matches("ermission denied").count(), 2, "{output}");
    assert_eq!(output.matches("peration not permitted").count(), 2, "{output}");
}

#[tokio::test]
async fn everything_dies_with_the_daemon() {
    let directory = tempfile::tempdir().expect("temporary directory");
    let path = directory.path().join("tmp").display().to_string();
    let text = format!("{DAEMONS} sleep 1000");
    let (mut daemon, [spawner, init]) = hold(&["--process", &path, "hold", &text]);
    eventually("they run", || tree(init).len() > 8).await;
    let processes = tree(init);
    daemon.kill().expect("kill -9");
    daemon.wait().expect("it ends");
    eventually("all are dead", || !processes.iter().chain([&spawner]).any(|pid| is_alive(*pid))).await;
}

fn kill(pid: i32) {
    kill_process(Pid::from_raw(pid).expect("a pid"), Signal::KILL).expect("kill -9");
}

#[tokio::test]
async fn making_one_ahead_and_dropping_it_leaves_nothing() {
    let level = Level::start(SpawnerOptions { prepared: 2, ..SpawnerOptions::default() });
    eventually("two wait", || level.tmp_directories().len() == 2).await;
    drop(level.prepare(Network::Host).await);
    level.spawner.shutdown().await;
    tokio::time::timeout(Duration::from_secs(60), level.spawner.ended()).await.expect("it has ended");
    assert_eq!(level.tmp_directories(), Vec::<PathBuf>::new());
}
