//! Starts as the spawner in the tests of this crate. Called with a command, it is a small daemon of
//! its own:
//!
//! - `run SCRIPT`: runs the script in a sandbox, copies its output, prints how it ended;
//! - `hold SCRIPT`: the same, but prints the process ids of spawner and init first;
//! - `nat SCRIPT [DENIED]...`: as `hold`, connected to this network but for what is denied; output appears as
//!   it comes;
//! - `host SCRIPT`: as `run`, in this network;
//! - `bench`: measures making sandboxes, see [`bench`].

mod bench;

use std::io::Write as _;
use std::path::PathBuf;
use std::process::exit;

use lambd_sandbox::{NatOptions, Network, SandboxSpec, Spawner, SpawnerOptions, find_pasta};
use tokio::io::AsyncReadExt as _;

fn main() {
    if let Some(code) = lambd_jail::run_if_spawner() {
        exit(code);
    }
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.unwrap_or_else(|error| fail(&error));
    runtime.block_on(async {
        match args[..] {
            ["run", script] => run(script, false, Network::None, None).await,
            ["hold", script] => run(script, true, Network::None, None).await,
            ["nat", script, ref denied @ ..] => run(script, true, Network::Nat, Some(nat(denied))).await,
            ["host", script] => run(script, false, Network::Host, None).await,
            ["bench"] => bench::run().await,
            _ => fail(&"usage: lambd-sandbox-helper run SCRIPT | hold SCRIPT | nat SCRIPT [DENIED]... | host SCRIPT | bench"),
        }
    });
}

fn fail(error: &dyn std::fmt::Display) -> ! {
    eprintln!("lambd-sandbox-helper: {error}");
    exit(2)
}

fn spec(id: String, script: &str) -> SandboxSpec {
    SandboxSpec {
        id,
        command: PathBuf::from("/bin/sh"),
        args: vec!["-c".into(), script.into()],
        env: vec![("PATH".into(), "/usr/local/bin:/usr/bin:/bin".into())],
        cwd: PathBuf::from("/tmp"),
        memory_bytes: 256 << 20,
        tmp_bytes: 16 << 20,
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

async fn run(script: &str, announce: bool, network: Network, nat: Option<NatOptions>) {
    let options = SpawnerOptions { nat, ..SpawnerOptions::default() };
    let spawner = Spawner::start(options).unwrap_or_else(|error| fail(&error));
    println!("limits: {}", spawner.limits());
    let spec = SandboxSpec { network, ..spec("run".into(), script) };
    let mut sandbox = match spawner.spawn(spec).await {
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
