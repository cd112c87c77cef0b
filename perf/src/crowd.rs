//! Many instances of one Python function: all asked for at once, and all idle at once.
//!
//! Measured with the network that functions have by default (`nat`, where that works; this function sends nothing by it)
//! and with none.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Barrier;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::client::Client;
use crate::daemon::Daemon;
use crate::error::Error;
use crate::lambda::{self, Function, Runtime};
use crate::options::Plan;
use crate::packages;
use crate::report::values;
use crate::stats::median;

const FUNCTION: Function =
    Function { name: "bench-crowd", runtime: Runtime::Python, handler: "crowd.handler" };
/// Values of `--network`.
const NETWORKS: [&str; 2] = ["auto", "none"];
/// First invokes at once.
const BURST: usize = 200;
/// Instances that are idle at once where each may have a process of `pasta`, at most.
const CONNECTED: usize = 50;
/// Until a daemon has made what it keeps ready, and ended what it does not need any more.
const SETTLE: Duration = Duration::from_secs(2);
/// So long all instances stay busy that are to be idle together: for any, and for each.
const BUSY: (Duration, Duration) = (Duration::from_secs(5), Duration::from_millis(35));
const MEBIBYTE: f64 = 1024.0 * 1024.0;

/// What was measured with one network.
#[derive(Debug)]
struct Measured {
    network: &'static str,
    /// Seconds from the first byte of the first request to the last byte of the last answer.
    burst: Vec<f64>,
    /// Requests of all bursts that were not answered well.
    failed: usize,
    /// Instances that were idle together.
    idle: usize,
    /// MiB that each of them takes: by what the machine has available, and by the Pss of its processes.
    available: f64,
    pss: f64,
}

/// Bursts and idle instances.
#[derive(Debug)]
pub(crate) struct Crowd(Vec<Measured>);

impl Crowd {
    /// Measures with daemons of its own.
    pub(crate) fn measure(program: &Path, plan: Plan) -> Result<Self, Error> {
        let zip = packages::file("crowd.py", include_bytes!("../functions/crowd.py"))?;
        let measure = |network| {
            let start = || -> Result<Daemon, Error> {
                let daemon = Daemon::start_with(program, &["--network", network])?;
                let mut api = Client::connect(daemon.address())?;
                lambda::create_with(&mut api, FUNCTION, &zip, &json!({ "MemorySize": 128, "Timeout": 300 }))?;
                std::thread::sleep(SETTLE);
                Ok(daemon)
            };
            let daemon = start()?;
            let mut api = Client::connect(daemon.address())?;
            let (mut burst, mut failed) = (Vec::new(), 0);
            for round in 0..plan.rounds {
                if round > 0 {
                    lambda::renew(&mut api, FUNCTION.name, round)?;
                    std::thread::sleep(SETTLE);
                }
                let answers = at_once(daemon.address(), BURST, b"{}")?;
                burst.push(answers.took.as_secs_f64());
                failed += answers.failed;
            }
            daemon.stop()?;
            let wanted =
                if network == "none" { plan.idle_instances } else { plan.idle_instances.min(CONNECTED) };
            let daemon = start()?;
            let idle = idle(&daemon, wanted)?;
            daemon.stop()?;
            let (idle, available, pss) = idle;
            Ok(Measured { network, burst, failed, idle, available, pss })
        };
        NETWORKS.into_iter().map(measure).collect::<Result<_, Error>>().map(Self)
    }

    pub(crate) fn table(&self) -> String {
        let mut text = format!(
            "{:<34}{:>10}{:>8}{:>9}{:>17}{:>13}\n",
            "many instances, Python", "burst", "failed", "idle", "memory of each", "Pss of each"
        );
        for measured in &self.0 {
            let _infallible = writeln!(
                text,
                "{:<34}{:>10}{:>8}{:>9}{:>17}{:>13}",
                format!("{BURST} at once, network {}", measured.network),
                format!("{:.2} s", median(&measured.burst)),
                measured.failed,
                measured.idle,
                format!("{:.1} MiB", measured.available),
                format!("{:.1} MiB", measured.pss),
            );
        }
        text
    }

    pub(crate) fn json(&self) -> Value {
        let one = |measured: &Measured| {
            json!({
                "network": measured.network,
                "burst": BURST,
                "burst_s": values(&measured.burst),
                "burst_failed": measured.failed,
                "idle_instances": measured.idle,
                "available_mib_each": measured.available,
                "pss_mib_each": measured.pss,
            })
        };
        json!(self.0.iter().map(one).collect::<Vec<_>>())
    }
}

/// What came back of many requests at once.
struct Answers {
    took: Duration,
    failed: usize,
    /// Those that said so.
    instances: BTreeSet<Vec<u8>>,
}

/// Sends the same event on so many connections at once.
fn at_once(address: SocketAddr, count: usize, event: &[u8]) -> Result<Answers, Error> {
    let barrier = Barrier::new(count + 1);
    let one = || -> Result<Option<Vec<u8>>, Error> {
        let client = Client::connect(address);
        barrier.wait();
        let mut client = client?;
        let request = client.request("POST", &lambda::invocations(FUNCTION.name), event);
        let answer = client.send(&request)?;
        Ok(answer.good().ok().map(|answer| answer.body.to_vec()))
    };
    std::thread::scope(|scope| {
        let mut threads = Vec::with_capacity(count);
        for _ in 0..count {
            threads.push(std::thread::Builder::new().stack_size(256 * 1024).spawn_scoped(scope, one)?);
        }
        barrier.wait();
        let start = Instant::now();
        let (mut failed, mut instances) = (0, BTreeSet::new());
        for thread in threads {
            match thread.join().unwrap_or(Err(Error::Protocol("a worker panicked"))) {
                Ok(Some(instance)) => _ = instances.insert(instance),
                Ok(None) | Err(_) => failed += 1,
            }
        }
        Ok(Answers { took: start.elapsed(), failed, instances })
    })
}

/// How many instances became idle together, and the memory of each.
fn idle(daemon: &Daemon, wanted: usize) -> Result<(usize, f64, f64), Error> {
    let (available, own) = (available()?, total(daemon)?);
    let busy = BUSY.0 + BUSY.1 * u32::try_from(wanted).unwrap_or(u32::MAX);
    let until = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default() + busy;
    let event = json!({ "until": until.as_secs_f64() }).to_string();
    let instances = at_once(daemon.address(), wanted, event.as_bytes())?.instances.len();
    std::thread::sleep(SETTLE);
    let each = |bytes: f64| bytes / MEBIBYTE / instances as f64;
    Ok((instances, each(available - self::available()?), each(total(daemon)? - own)))
}

/// Bytes of all processes of a daemon.
fn total(daemon: &Daemon) -> Result<f64, Error> {
    let memory = daemon.memory()?;
    Ok((memory.own + memory.uplinks) as f64)
}

/// Bytes that this machine could give to programs.
fn available() -> Result<f64, Error> {
    let file = Path::new("/proc/meminfo");
    let text = std::fs::read_to_string(file).map_err(|e| Error::file(file, e))?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"));
    let kib =
        line.and_then(|line| line.trim().strip_suffix(" kB")).and_then(|kib| kib.trim().parse::<f64>().ok());
    kib.map(|kib| kib * 1024.0).ok_or(Error::Protocol("no MemAvailable in /proc/meminfo"))
}
