//! Measures making sandboxes, without a language in them: one JSON document on standard output.
//!
//! - one after the other, made when asked for, with the time of each step;
//! - the same with some made ahead of demand;
//! - beside growing numbers of living ones: the cost should not grow with them;
//! - many at once: none may fail;
//! - the first two again with a connection to this network, and what the program at its other end takes.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use lambd_sandbox::{Listener, Network, Sandbox, SandboxSpec, Spawner, SpawnerOptions, Transport};

use crate::{fail, nat, spec};

/// Sandboxes of one measurement.
const ROUND: usize = 200;
/// Pause before each, as between the cold starts of a quiet machine; without one, the cleaning up after
/// the last sandbox is measured as well.
const PAUSE: Duration = Duration::from_millis(10);
/// Numbers of living sandboxes beside which others are made.
const LIVING: [usize; 4] = [0, 100, 500, 1000];
/// Sandboxes that are made at once.
const AT_ONCE: usize = 200;

pub(crate) async fn run() {
    let on_demand = start(0, Network::None);
    let limits = on_demand.limits().to_string();
    let alone = one_by_one(&on_demand, ROUND, Network::None).await;
    on_demand.shutdown().await;
    let ahead = start(4, Network::None);
    tokio::time::sleep(Duration::from_millis(200)).await;
    let prepared = one_by_one(&ahead, ROUND, Network::None).await;
    ahead.shutdown().await;
    let (beside, at_once) = (beside_living().await, at_once().await);
    let connected = connected().await;
    println!(
        "{{\"limits\": {limits:?}, \"one_by_one_us\": {}, \"phases_us\": {}, \"prepared_us\": {}, \
         \"beside_living_us\": {beside}, \"at_once\": {at_once}, \"connected\": {connected}}}",
        percentiles(alone.times),
        phases(alone.phases),
        percentiles(prepared.times),
    );
}

fn start(prepared: usize, prepared_network: Network) -> Spawner {
    let tcp =
        |port| Listener { transport: Transport::Tcp, address: SocketAddrV4::new(Ipv4Addr::LOCALHOST, port) };
    let listeners = vec![tcp(9001), tcp(4566)];
    let nat = (prepared_network == Network::Nat).then(|| nat(&[]));
    let options = SpawnerOptions { listeners, nat, prepared, prepared_network, ..SpawnerOptions::default() };
    Spawner::start(options).unwrap_or_else(|error| fail(&error))
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

async fn one_by_one(spawner: &Spawner, count: usize, network: Network) -> Measured {
    let mut measured = Measured::default();
    for number in 0..count {
        tokio::time::sleep(PAUSE).await;
        let start = Instant::now();
        let spec = SandboxSpec { network, ..brief(format!("bench-{number}")) };
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

async fn beside_living() -> String {
    let spawner = start(0, Network::None);
    let mut living = Vec::new();
    let mut results = Vec::new();
    for wanted in LIVING {
        while living.len() < wanted {
            living.push(make(&spawner, lasting(format!("living-{}", living.len()))).await);
        }
        let measured = one_by_one(&spawner, ROUND / 2, Network::None).await;
        results.push(format!("\"{wanted}\": {}", percentiles(measured.times)));
    }
    drop(living);
    spawner.shutdown().await;
    format!("{{{}}}", results.join(", "))
}

async fn at_once() -> String {
    let spawner = start(0, Network::None);
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
    format!("{{\"count\": {count}, \"all_us\": {}}}", took.as_micros())
}

/// Takes a pause that leaves time to connect the next one, as between the cold starts of a quiet machine.
async fn connected() -> String {
    const PAUSE: Duration = Duration::from_millis(100);
    let mut results = Vec::new();
    for prepared in [0, 2, 4] {
        let spawner = start(prepared, Network::Nat);
        tokio::time::sleep(10 * PAUSE).await;
        let mut times = Vec::new();
        for number in 0..ROUND / 4 {
            tokio::time::sleep(PAUSE).await;
            let spec = SandboxSpec { network: Network::Nat, ..brief(format!("connected-{number}")) };
            let start = Instant::now();
            make(&spawner, spec).await.exited().await;
            times.push(start.elapsed());
        }
        results.push(format!("\"prepared_{prepared}_us\": {}", percentiles(times)));
        results.push(format!("\"uplinks_pss_kib_{prepared}\": {:?}", uplinks_pss_kib(&spawner)));
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

fn percentiles(mut times: Vec<Duration>) -> String {
    times.sort();
    let at = |part: usize| {
        times.get((times.len() * part / 100).min(times.len() - 1)).map_or(0, Duration::as_micros)
    };
    format!("{{\"p50\": {}, \"p90\": {}, \"p99\": {}, \"max\": {}}}", at(50), at(90), at(99), at(100))
}

fn phases(phases: BTreeMap<(usize, String), Vec<Duration>>) -> String {
    let text: Vec<_> = phases
        .into_iter()
        .map(|((_, name), mut times)| {
            times.sort();
            format!("{name:?}: {}", times[times.len() / 2].as_micros())
        })
        .collect();
    format!("{{{}}}", text.join(", "))
}
