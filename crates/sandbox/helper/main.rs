//! Starts as the spawner in the tests of this crate. Called with a command, it is a small daemon of
//! its own:
//!
//! - `run SCRIPT`: runs the script in a sandbox, copies its output, prints how it ended;
//! - `hold SCRIPT`: the same, but prints the process ids of spawner and init first;
//! - `bench N`: spawns N sandboxes one after the other and prints percentiles of the time.

use std::fs::File;
use std::io::Write;
use std::path::PathBuf;
use std::process::exit;
use std::time::Instant;

use lambd_sandbox::{SandboxSpec, Spawner, SpawnerOptions};

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
            ["run", script] => run(script, false).await,
            ["hold", script] => run(script, true).await,
            ["bench", count] => bench(count.parse().unwrap_or(200)).await,
            _ => fail(&"usage: lambd-sandbox-helper run SCRIPT | hold SCRIPT | bench N"),
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
        memory_bytes: 128 << 20,
        tmp_bytes: 16 << 20,
        ..SandboxSpec::default()
    }
}

async fn run(script: &str, announce: bool) {
    let spawner = Spawner::start(SpawnerOptions::default()).unwrap_or_else(|error| fail(&error));
    println!("limits: {}", spawner.limits());
    let mut sandbox = match spawner.spawn(spec("run".into(), script)).await {
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

async fn bench(count: usize) {
    let spawner = Spawner::start(SpawnerOptions::default()).unwrap_or_else(|error| fail(&error));
    println!("limits: {}", spawner.limits());
    let mut times = Vec::new();
    for number in 0..count {
        let mut spec = spec(format!("bench-{number}"), "");
        spec.command = PathBuf::from("/bin/true");
        spec.listeners = vec!["127.0.0.1:9001".parse().unwrap_or_else(|error| fail(&error))];
        let start = Instant::now();
        let sandbox = spawner.spawn(spec).await.unwrap_or_else(|error| fail(&error));
        times.push(start.elapsed());
        sandbox.exited().await;
    }
    times.sort();
    for (name, at) in
        [("p50", count / 2), ("p90", count * 9 / 10), ("p99", count * 99 / 100), ("max", count - 1)]
    {
        println!("{name}: {:?}", times[at]);
    }
    let open_files =
        File::open("/proc/self/fd").and_then(|_| std::fs::read_dir("/proc/self/fd")).map(Iterator::count);
    println!("open files at the end: {open_files:?}");
    spawner.shutdown().await;
}
