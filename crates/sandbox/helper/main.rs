//! Starts as the spawner in the tests of this crate. Called with a command, it is a small daemon of
//! its own:
//!
//! - `run SCRIPT`: runs the script in a sandbox, copies its output, prints how it ended;
//! - `hold SCRIPT`: the same, but prints the process ids of spawner and init first;
//! - `bench`: measures making sandboxes, see [`bench`].
//!
//! `--process DIR` before the command takes the isolation level `process`, with private directories in DIR.

mod bench;

use std::io::Write;
use std::path::PathBuf;
use std::process::exit;

use lambd_sandbox::{Isolation, Network, SandboxSpec, Spawner, SpawnerOptions};

fn main() {
    if let Some(code) = lambd_jail::run_if_spawner() {
        exit(code);
    }
    let args: Vec<String> = std::env::args().skip(1).collect();
    let mut args: Vec<&str> = args.iter().map(String::as_str).collect();
    let mut options = SpawnerOptions::default();
    if let ["--process", directory, ..] = args[..] {
        options.isolation = Isolation::Process;
        options.tmp_parent = Some(PathBuf::from(directory));
        args.drain(..2);
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.unwrap_or_else(|error| fail(&error));
    runtime.block_on(async {
        match args[..] {
            ["run", script] => run(options, script, false).await,
            ["hold", script] => run(options, script, true).await,
            ["bench"] => bench::run().await,
            _ => fail(&"usage: lambd-sandbox-helper [--process DIR] run SCRIPT | hold SCRIPT | bench"),
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

async fn run(options: SpawnerOptions, script: &str, announce: bool) {
    let spawner = Spawner::start(options).unwrap_or_else(|error| fail(&error));
    println!("limits: {}", spawner.limits());
    let made = async {
        let prepared = spawner.prepare(Network::None).await?;
        let mut spec = spec("run".into(), script);
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
    let mut bytes = Vec::new();
    tokio::io::AsyncReadExt::read_to_end(&mut output, &mut bytes).await.unwrap_or_else(|error| fail(&error));
    let status = sandbox.exited().await;
    std::io::stdout().write_all(&bytes).unwrap_or_else(|error| fail(&error));
    println!("status: {status:?}, peak: {:?}", sandbox.memory_peak_bytes());
    drop(sandbox);
    spawner.shutdown().await;
}
