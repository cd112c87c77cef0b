//! Measures making sandboxes, without a language in them: one JSON document on standard output.
//!
//! - an ordinary process, for comparison;
//! - one after the other, made when asked for, with the time of each step;
//! - the same with some made ahead of demand;
//! - those beside growing numbers of living ones: the cost should not grow with them;
//! - connected ones, if pasta is installed, and the memory of the programs at the other ends;
//! - many at once, when asked for: none may fail.
//!
//! Times are in microseconds. All of it takes about thirty seconds.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use lambd_sandbox::{
    Base, Isolation, Listener, NatOptions, Network, Sandbox, SandboxSpec, ScratchOptions, Spawner,
    SpawnerOptions, Transport, find_pasta,
};

use crate::{fail, oci, spec};

/// Sandboxes of one measurement.
const ROUND: usize = 200;
/// Pause before each, as between the cold starts of a quiet machine; without one, the cleaning up after
/// the last sandbox is measured as well.
const PAUSE: Duration = Duration::from_millis(40);
/// Sandboxes made ahead of demand.
const AHEAD: usize = 4;
/// Numbers of living sandboxes beside which others are made.
const LIVING: [usize; 4] = [0, 100, 500, 1000];
/// Sandboxes that are made at once.
const AT_ONCE: usize = 200;

pub(crate) async fn run(scratch: ScratchOptions) {
    let on_demand = start(0, &scratch).await;
    let limits = on_demand.limits().to_string();
    let alone = one_by_one(&on_demand, ROUND).await;
    on_demand.shutdown().await;
    let ahead = start(AHEAD, &scratch).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    let prepared = one_by_one(&ahead, ROUND).await;
    ahead.shutdown().await;
    let (beside, connected, at_once) =
        (beside_living(&scratch).await, connected().await, at_once(&scratch).await);
    println!(
        "{{\"limits\": {limits:?}, \"process\": {}, \"on_demand\": {}, \"prepared\": {}, \"beside_living\": {beside}, \
         \"connected\": {connected}, \"at_once\": {at_once}}}",
        processes().await.to_json(),
        alone.to_json(),
        prepared.to_json(),
    );
}

async fn start(prepared: usize, scratch: &ScratchOptions) -> Spawner {
    let tcp =
        |port| Listener { transport: Transport::Tcp, address: SocketAddrV4::new(Ipv4Addr::LOCALHOST, port) };
    let listeners = vec![tcp(9001), tcp(4566)];
    let options =
        SpawnerOptions { listeners, prepared, scratch: scratch.clone(), ..SpawnerOptions::default() };
    let spawner = Spawner::start(options).unwrap_or_else(|error| fail(&error));
    spawner.decided().await;
    spawner
}

/// A sandbox that ends at once.
fn brief(id: String) -> SandboxSpec {
    SandboxSpec { command: PathBuf::from("/bin/true"), ..spec(id, "") }
}

/// A sandbox that waits to be killed.
fn lasting(id: String) -> SandboxSpec {
    let args = vec!["infinity".to_owned()];
    SandboxSpec { command: PathBuf::from("/bin/sleep"), args, ..spec(id, "") }
}

async fn make(spawner: &Spawner, spec: SandboxSpec) -> Sandbox {
    spawner.spawn(spec).await.unwrap_or_else(|error| {
        fail(&format!("{error}: {:?}", std::error::Error::source(&error).map(ToString::to_string)))
    })
}

#[derive(Default)]
struct Measured {
    times: Vec<Duration>,
    /// By position and name.
    phases: BTreeMap<(usize, String), Vec<Duration>>,
}

impl Measured {
    /// Microseconds from asking to having, and medians of the steps inside.
    fn to_json(&self) -> String {
        let phases: Vec<_> = self
            .phases
            .iter()
            .map(|((_, name), times)| format!("{{\"name\": {name:?}, \"p50\": {}}}", percentile(times, 50)))
            .collect();
        let [p50, p90, p99, max] = [50, 90, 99, 100].map(|part| percentile(&self.times, part));
        format!(
            "{{\"p50\": {p50}, \"p90\": {p90}, \"p99\": {p99}, \"max\": {max}, \"steps\": [{}]}}",
            phases.join(", ")
        )
    }
}

fn percentile(times: &[Duration], part: usize) -> u128 {
    let mut times = times.to_vec();
    times.sort();
    times.get((times.len() * part / 100).min(times.len().saturating_sub(1))).map_or(0, Duration::as_micros)
}

async fn one_by_one(spawner: &Spawner, count: usize) -> Measured {
    let mut measured = Measured::default();
    for number in 0..count {
        tokio::time::sleep(PAUSE).await;
        let start = Instant::now();
        let spec = brief(format!("bench-{number}"));
        let sandbox = make(spawner, spec).await;
        measured.times.push(start.elapsed());
        for (position, phase) in sandbox.phases().iter().enumerate() {
            let key = (position, phase.name.to_string());
            measured.phases.entry(key).or_default().push(Duration::from_nanos(phase.nanoseconds));
        }
        sandbox.exited().await;
    }
    measured
}

/// Starting and ending an ordinary process.
async fn processes() -> Measured {
    let mut measured = Measured::default();
    for _ in 0..ROUND {
        tokio::time::sleep(PAUSE).await;
        let start = Instant::now();
        let status = std::process::Command::new("/bin/true").status();
        measured.times.push(start.elapsed());
        status.unwrap_or_else(|error| fail(&error));
    }
    measured
}

/// From asking for a sandbox to the end of a program that does nothing: an OCI runtime starts to work only when
/// the sandbox is there. One of each in turn, at the level `namespaces` and with each of these runtimes.
pub(crate) async fn levels(runtimes: &[&str]) {
    let oci = runtimes.iter().map(|name| oci(name));
    let levels: Vec<_> = std::iter::once(Isolation::Namespaces).chain(oci).collect();
    let mut measured: Vec<_> = levels
        .iter()
        .map(|level| {
            let options =
                SpawnerOptions { isolation: level.clone(), prepared: AHEAD, ..SpawnerOptions::default() };
            let spawner = Spawner::start(options).unwrap_or_else(|error| fail(&error));
            (level, spawner, Measured::default())
        })
        .collect();
    for number in 0..ROUND {
        for (_, spawner, measured) in &mut measured {
            tokio::time::sleep(PAUSE).await;
            let start = Instant::now();
            make(spawner, brief(format!("level-{number}"))).await.exited().await;
            measured.times.push(start.elapsed());
        }
    }
    let results = measured.iter().map(|(level, _, measured)| format!("\"{level}\": {}", measured.to_json()));
    println!("{{{}}}", results.collect::<Vec<_>>().join(", "));
    for (_, spawner, _) in measured {
        spawner.shutdown().await;
    }
}

async fn beside_living(scratch: &ScratchOptions) -> String {
    let spawner = start(AHEAD, scratch).await;
    let mut living = Vec::new();
    let mut results = Vec::new();
    for wanted in LIVING {
        while living.len() < wanted {
            living.push(make(&spawner, lasting(format!("living-{}", living.len()))).await);
        }
        let measured = one_by_one(&spawner, ROUND / 2).await;
        results.push(format!("\"{wanted}\": {}", measured.to_json()));
    }
    drop(living);
    spawner.shutdown().await;
    format!("{{{}}}", results.join(", "))
}

async fn at_once(scratch: &ScratchOptions) -> String {
    let spawner = start(0, scratch).await;
    let start = Instant::now();
    let all = (0..AT_ONCE).map(|number| {
        let spawner = spawner.clone();
        tokio::spawn(async move { make(&spawner, lasting(format!("burst-{number}"))).await })
    });
    let mut made = Vec::new();
    for sandbox in all.collect::<Vec<_>>() {
        made.push(sandbox.await.unwrap_or_else(|error| fail(&error)));
    }
    let took = start.elapsed();
    let count = made.len();
    drop(made);
    spawner.shutdown().await;
    format!("{{\"count\": {count}, \"all\": {}}}", took.as_micros())
}

/// Connected ones, with a pause that leaves time to connect the next, as between the cold starts of a quiet machine.
async fn connected() -> String {
    const PAUSE: Duration = Duration::from_millis(100);
    let Some(program) = find_pasta() else { return "null".to_owned() };
    let mut results = Vec::new();
    for (name, prepared) in [("on_demand", 0), ("prepared", 2)] {
        let nat = NatOptions { program: program.clone(), denied: Vec::new() };
        let options = SpawnerOptions { nat: Some(nat), ..SpawnerOptions::default() };
        let spawner = Spawner::start(options).unwrap_or_else(|error| fail(&error));
        spawner.keep_ready(Base { network: Network::Nat, ..Base::default() }, prepared);
        tokio::time::sleep(10 * PAUSE).await;
        let mut measured = Measured::default();
        for number in 0..ROUND / 4 {
            tokio::time::sleep(PAUSE).await;
            let spec = SandboxSpec { network: Network::Nat, ..brief(format!("connected-{number}")) };
            let start = Instant::now();
            let sandbox = make(&spawner, spec).await;
            measured.times.push(start.elapsed());
            sandbox.exited().await;
        }
        results.push(format!("\"{name}\": {}", measured.to_json()));
        if prepared > 0 {
            results.push(format!("\"uplinks_pss_kib\": {:?}", uplinks_pss_kib(&spawner)));
        }
        spawner.shutdown().await;
    }
    format!("{{{}}}", results.join(", "))
}

fn uplinks_pss_kib(spawner: &Spawner) -> Vec<u64> {
    let pid = spawner.pid();
    let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    let of = |child: &str| {
        let name = std::fs::read_to_string(format!("/proc/{child}/comm")).ok()?;
        let rollup = std::fs::read_to_string(format!("/proc/{child}/smaps_rollup")).ok()?;
        let pss = rollup.lines().find_map(|line| line.strip_prefix("Pss:"))?;
        let pss = pss.split_ascii_whitespace().next()?.parse().ok();
        name.starts_with("pas").then_some(pss)?
    };
    children.split_ascii_whitespace().filter_map(of).collect()
}
