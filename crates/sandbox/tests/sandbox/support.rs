//! Making a sandbox, running a script in it, reading its output.

use std::io::{BufRead, BufReader, Read};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use lambd_sandbox::{
    Availability, ExitStatus, Listener, Sandbox, SandboxSpec, Spawner, SpawnerOptions, Transport,
};
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe::Receiver;

pub(crate) const MIB: u64 = 1 << 20;

/// Longest time any single step of a test may take, on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// The binary that is spawner and small daemon, see `helper/main.rs`.
pub(crate) fn helper() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_lambd-sandbox-helper"))
}

pub(crate) fn start() -> Spawner {
    start_with(SpawnerOptions::default())
}

pub(crate) fn start_with(options: SpawnerOptions) -> Spawner {
    if let Availability::Unavailable { reason, remedy } =
        options.isolation.availability_with_program(helper())
    {
        panic!("sandboxes cannot be made here: {reason}; remedy: {remedy}");
    }
    Spawner::start_with_program(helper(), options).expect("the spawner starts")
}

/// A sandbox that runs a shell script.
pub(crate) fn script(text: &str) -> SandboxSpec {
    program("/bin/sh", &["-c", text])
}

pub(crate) fn program(command: &str, args: &[&str]) -> SandboxSpec {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    SandboxSpec {
        id: format!("test-{}", NUMBER.fetch_add(1, Ordering::Relaxed)),
        command: PathBuf::from(command),
        args: args.iter().map(|arg| (*arg).to_owned()).collect(),
        env: vec![("PATH".into(), "/usr/local/bin:/usr/bin:/bin".into())],
        cwd: PathBuf::from("/"),
        memory_bytes: 256 * MIB,
        tmp_bytes: 16 * MIB,
        ..SandboxSpec::default()
    }
}

/// What a finished sandbox left.
#[derive(Debug)]
pub(crate) struct Finished {
    pub(crate) status: ExitStatus,
    pub(crate) output: String,
}

/// Runs a specification with a spawner of its own to the end.
pub(crate) async fn run(spec: SandboxSpec) -> Finished {
    let spawner = start();
    let finished = finish(spawner.spawn(spec).await.expect("the sandbox is made")).await;
    spawner.shutdown().await;
    finished
}

/// Runs a script that must succeed, and returns its output.
pub(crate) async fn output_of(text: &str) -> String {
    let finished = run(script(text)).await;
    assert_eq!(finished.status, ExitStatus::Exited(0), "{}", finished.output);
    finished.output
}

/// The directory of a process's group in the hierarchy of a controller, by what the kernel says.
pub(crate) fn group_of(pid: i32, controller: &str) -> Option<PathBuf> {
    let membership = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?;
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").expect("readable");
    let mount = |kind: &str, option: &str| {
        let line = mounts.lines().find(|line| {
            line.contains(kind) && line.rsplit([' ', ',']).any(|word| option.is_empty() || word == option)
        });
        line.and_then(|line| line.split(' ').nth(4)).map(PathBuf::from)
    };
    let of = |wanted: &dyn Fn(&str) -> bool| {
        membership.lines().find_map(|line| {
            let (controllers, path) = line.split_once(':')?.1.split_once(":/")?;
            wanted(controllers).then(|| path.to_owned())
        })
    };
    match of(&|controllers| controllers.split(',').any(|name| name == controller)) {
        Some(path) => Some(mount(" - cgroup ", controller)?.join(path)),
        None => Some(mount(" - cgroup2 ", "")?.join(of(&str::is_empty)?)),
    }
}

/// Directories of a cgroup parent in all hierarchies, below the top or below a group of this process's own.
pub(crate) fn groups_named(name: &str) -> Vec<PathBuf> {
    fn search(directory: &Path, name: &str, depth: u32, found: &mut Vec<PathBuf>) {
        let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
        for entry in entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())) {
            if entry.file_name() == name {
                found.push(entry.path());
            } else if depth > 0 {
                search(&entry.path(), name, depth - 1, found);
            }
        }
    }
    let mut found = Vec::new();
    search(Path::new("/sys/fs/cgroup"), name, 4, &mut found);
    found
}

/// Waits for the end of a sandbox.
pub(crate) async fn finish(mut sandbox: Sandbox) -> Finished {
    let output = read_all(sandbox.take_output()).await;
    Finished { status: exited(&sandbox).await, output }
}

pub(crate) async fn exited(sandbox: &Sandbox) -> ExitStatus {
    tokio::time::timeout(PATIENCE, sandbox.exited()).await.expect("the sandbox ends")
}

pub(crate) async fn read_all(pipe: OwnedFd) -> String {
    let mut bytes = Vec::new();
    let mut pipe = Receiver::from_owned_fd(pipe).expect("the output is a pipe");
    tokio::time::timeout(PATIENCE, pipe.read_to_end(&mut bytes))
        .await
        .expect("the output ends")
        .expect("it is readable");
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Reads the output up to and including a text.
pub(crate) async fn read_until(pipe: &mut Receiver, text: &str) -> String {
    let mut read = String::new();
    while !read.contains(text) {
        let mut buffer = [0; 4096];
        let length = tokio::time::timeout(PATIENCE, pipe.read(&mut buffer)).await.expect("output comes");
        match length.expect("the output is readable") {
            0 => panic!("the output ended before {text:?}: {read}"),
            length => read.push_str(&String::from_utf8_lossy(&buffer[..length])),
        }
    }
    read
}

/// A TCP listener of a sandbox.
pub(crate) fn tcp(address: &str) -> Listener {
    Listener { transport: Transport::Tcp, address: address.parse().expect("an address") }
}

/// Polls until a condition holds.
pub(crate) async fn eventually(what: &str, condition: impl Fn() -> bool) {
    let start = std::time::Instant::now();
    while !condition() {
        assert!(start.elapsed() < PATIENCE, "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Whether a process exists and is not a zombie.
pub(crate) fn is_alive(pid: i32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| {
        !stat.rsplit_once(')').is_some_and(|(_, rest)| rest.trim_start().starts_with(['Z', 'X']))
    })
}

/// Children of a process with a single thread.
pub(crate) fn children(pid: i32) -> Vec<i32> {
    let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    children.split_ascii_whitespace().filter_map(|word| word.parse().ok()).collect()
}

/// Descendants of a process, itself included.
pub(crate) fn tree(pid: i32) -> Vec<i32> {
    std::iter::once(pid).chain(children(pid).into_iter().flat_map(tree)).collect()
}

/// An ordinary user, whom every machine has: nobody.
pub(crate) const NOBODY: u32 = 65534;

pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Starts the helper as a daemon that holds one sandbox; returns process ids of its spawner and of the
/// sandbox's init.
pub(crate) fn hold(args: &[&str]) -> (Child, [i32; 2]) {
    hold_by(&["env"], args)
}

/// The same by way of another command.
pub(crate) fn hold_by(prefix: &[&str], args: &[&str]) -> (Child, [i32; 2]) {
    let mut daemon = Command::new(prefix[0])
        .args(&prefix[1..])
        .arg(helper())
        .args(args)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the helper starts");
    let mut output = BufReader::new(daemon.stdout.take().expect("piped"));
    let line = output
        .by_ref()
        .lines()
        .map_while(Result::ok)
        .find(|line| line.starts_with("pids: "))
        .expect("it announces the sandbox");
    // The helper, which ends where its output cannot be written, would take the sandbox with it.
    daemon.stdout = Some(output.into_inner());
    let pids: Vec<i32> = line.split(' ').skip(1).map(|word| word.parse().expect("a pid")).collect();
    (daemon, pids.try_into().expect("two pids"))
}

/// Runs the helper as an unprivileged user, by way of setpriv(1) when the tests run as root. Returns
/// what the sandbox wrote, and what the helper said about it.
///
/// The argument `TMP` stands for a directory that this user may make, beside a file `secret` of this user.
pub(crate) fn as_ordinary_user(args: &[&str]) -> (String, String) {
    as_ordinary_user_by(&["env"], args)
}

/// The same by way of another command.
pub(crate) fn as_ordinary_user_by(prefix: &[&str], args: &[&str]) -> (String, String) {
    let directory = tempfile::tempdir().expect("temporary directory");
    std::fs::set_permissions(directory.path(), PermissionsExt::from_mode(0o755)).expect("chmod");
    let program = directory.path().join("helper");
    // By cp(1), not by this process: a child that another test forks while the file is open for writing
    // here would keep it open, and the kernel executes no such file.
    let copied = Command::new("cp").arg(helper()).arg(&program).status().expect("cp runs");
    assert!(copied.success(), "copy the helper to where the user can read it");
    let home = directory.path().join("home");
    std::fs::create_dir(&home).expect("mkdir");
    std::fs::write(home.join("secret"), "the secret").expect("write");
    let mut command = Command::new(prefix[0]);
    command.args(&prefix[1..]);
    if is_root() {
        for path in [&home, &home.join("secret")] {
            std::os::unix::fs::chown(path, Some(NOBODY), Some(NOBODY)).expect("chown");
        }
        let nobody = NOBODY.to_string();
        command.args(["setpriv", "--reuid", &nobody, "--regid", &nobody, "--clear-groups"]);
    }
    let tmp = home.join("tmp").display().to_string();
    let args = args.iter().map(|arg| if *arg == "TMP" { tmp.as_str() } else { arg });
    let output = command
        .arg(&program)
        .args(args)
        .current_dir("/")
        .output()
        .expect("setpriv (package util-linux) is needed as root");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    let (about, of_sandbox): (Vec<&str>, Vec<&str>) =
        text.lines().partition(|line| line.starts_with("limits:") || line.starts_with("status:"));
    (of_sandbox.join("\n") + "\n", about.join("\n"))
}
