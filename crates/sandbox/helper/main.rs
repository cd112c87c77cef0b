//! Starts as the spawner in the tests of this crate. Called with a command, it is a small daemon of
//! its own:
//!
//! - `run SCRIPT`: runs the script in a sandbox, copies its output, prints how it ended;
//! - `hold SCRIPT`: the same, but prints the process ids of spawner and init first;
//! - `beside SCRIPT`: runs the script on the host, with the process id of an empty sandbox's init in `$INIT`;
//! - `nat SCRIPT [DENIED]...`: as `hold`, connected to this network but for what is denied; output appears as
//!   it comes;
//! - `host SCRIPT`: as `run`, in this network;
//! - `bench`: measures making sandboxes, see [`bench`].
//! - `levels RUNTIME...`: compares isolation levels, see [`bench`].
//!
//! Before the command, `--tmp DIRECTORY` puts `/tmp` on disk there, and `--process DIRECTORY` takes the isolation
//! level `process`, with private directories there. Else the level is `namespaces`, or `oci` with the runtime that
//! `LAMBD_OCI_RUNTIME` names.

mod bench;

use std::io::Write as _;
use std::path::PathBuf;
use std::process::exit;

use lambd_sandbox::{
    Base, Isolation, NatOptions, Network, OciRuntime, SandboxSpec, ScratchOptions, Spawner, SpawnerOptions,
    find_pasta,
};
use tokio::io::AsyncReadExt as _;

const TMP_BYTES: u64 = 16 << 20;

const USAGE: &str = "usage: lambd-sandbox-helper [--tmp DIRECTORY | --process DIRECTORY] run SCRIPT | hold SCRIPT | nat SCRIPT [DENIED]... | host SCRIPT | beside SCRIPT | bench | levels RUNTIME...";

fn main() {
    if let Some(code) = lambd_jail::run_if_spawner() {
        exit(code);
    }
    let args: Vec<String> = std::env::args().skip(1).collect();
    let mut args: Vec<&str> = args.iter().map(String::as_str).collect();
    let mut options = SpawnerOptions { isolation: isolation(), ..SpawnerOptions::default() };
    if let ["--tmp", directory, ..] = args[..] {
        options.scratch = ScratchOptions { directory: Some(directory.into()), usual_bytes: TMP_BYTES };
        // An ordinary user has neither the right nor mounts to hide.
        let _ = lambd_jail::private_mounts();
        args.drain(..2);
    }
    if let ["--process", directory, ..] = args[..] {
        options.isolation = Isolation::Process;
        options.tmp_parent = Some(PathBuf::from(directory));
        args.drain(..2);
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.unwrap_or_else(|error| fail(&error));
    runtime.block_on(async {
        match args[..] {
            ["run", script] => run(options, script, false, Network::None).await,
            ["hold", script] => run(options, script, true, Network::None).await,
            ["nat", script, ref denied @ ..] => {
                run(SpawnerOptions { nat: Some(nat(denied)), ..options }, script, true, Network::Nat).await;
            }
            ["host", script] => run(options, script, false, Network::Host).await,
            ["beside", script] => beside(script).await,
            ["bench"] => bench::run(options.scratch).await,
            ["levels", ref runtimes @ ..] => bench::levels(runtimes).await,
            _ => fail(&USAGE),
        }
    });
}

fn fail(error: &dyn std::fmt::Display) -> ! {
    eprintln!("lambd-sandbox-helper: {error}");
    exit(2)
}

fn isolation() -> Isolation {
    std::env::var("LAMBD_OCI_RUNTIME").map_or(Isolation::Namespaces, |runtime| oci(&runtime))
}

fn oci(runtime: &str) -> Isolation {
    match OciRuntime::find(Some(runtime), &[]) {
        Ok(runtime) => Isolation::Oci(runtime),
        Err(reason) => fail(&reason),
    }
}

fn spec(id: String, script: &str) -> SandboxSpec {
    SandboxSpec {
        id,
        command: PathBuf::from("/bin/sh"),
        args: vec!["-c".into(), script.into()],
        env: vec![("PATH".into(), "/usr/local/bin:/usr/bin:/bin".into())],
        cwd: PathBuf::from("/tmp"),
        memory_bytes: 128 << 20,
        tmp_bytes: TMP_BYTES,
        ..SandboxSpec::default()
    }
}

fn nat(denied: &[&str]) -> NatOptions {
    let program = find_pasta().unwrap_or_else(|| fail(&"pasta is not installed"));
    let parse = |text: &&str| text.parse().unwrap_or_else(|error| fail(&error));
    NatOptions { program, denied: denied.iter().map(parse).collect() }
}

fn print(bytes: &[u8]) {
    let mut stdout = std::io::stdout();
    stdout.write_all(bytes).and_then(|()| stdout.flush()).unwrap_or_else(|error| fail(&error));
}

async fn run(options: SpawnerOptions, script: &str, announce: bool, network: Network) {
    let spawner = Spawner::start(options).unwrap_or_else(|error| fail(&error));
    spawner.decided().await;
    println!("limits: {}", spawner.limits());
    let made = async {
        let prepared = spawner.prepare(Base { network, ..Base::default() }).await?;
        let mut spec = SandboxSpec { network, ..spec("run".into(), script) };
        if let Some(tmp) = prepared.tmp() {
            spec.cwd = tmp.to_owned();
            spec.env.push(("TMPDIR".into(), tmp.display().to_string()));
        }
        prepared.build(spec).await
    };
    let mut sandbox = match made.await {
        Ok(sandbox) => sandbox,
        Err(error) => {
            fail(&format!("{error}: {:?}", std::error::Error::source(&error).map(ToString::to_string)))
        }
    };
    if announce {
        println!("pids: {} {}", spawner.pid(), sandbox.pid());
    }
    let mut output = tokio::net::unix::pipe::Receiver::from_owned_fd(sandbox.take_output())
        .unwrap_or_else(|error| fail(&error));
    let mut buffer = [0; 4096];
    loop {
        match output.read(&mut buffer).await.unwrap_or_else(|error| fail(&error)) {
            0 => break,
            length => print(&buffer[..length]),
        }
    }
    let status = sandbox.exited().await;
    println!("status: {status:?}, peak: {:?}", sandbox.memory_peak_bytes());
    drop(sandbox);
    spawner.shutdown().await;
}

async fn beside(script: &str) {
    let spawner = Spawner::start(SpawnerOptions::default()).unwrap_or_else(|error| fail(&error));
    let prepared = spawner.prepare(Base::default()).await.unwrap_or_else(|error| fail(&error));
    let mut shell = std::process::Command::new("/bin/sh");
    shell.args(["-c", script]).env("INIT", prepared.pid().to_string());
    shell.status().unwrap_or_else(|error| fail(&error));
    drop(prepared);
    spawner.shutdown().await;
}
