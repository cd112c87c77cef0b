//! The measurements, in the order in which they are taken.

use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::api::Api;
use crate::asynchronous::Asynchronous;
use crate::client::Client;
use crate::daemon::Daemon;
use crate::error::Error;
use crate::floor::Floor;
use crate::lambda::{self, Function, Runtime};
use crate::languages::Languages;
use crate::options::{Options, Plan};
use crate::report::{Report, Series, Target};
use crate::sandboxes::Sandboxes;
use crate::stats;
use crate::streaming::Streaming;

/// Connections of a throughput measurement.
const CONNECTIONS: usize = 16;
/// What every request carries and every answer must bring back.
const PAYLOAD: &[u8] = br#"{"name":"Ada","numbers":[1,2,3]}"#;
/// Time after which a started daemon is taken to be idle.
const SETTLE: Duration = Duration::from_secs(1);

const FUNCTIONS: [Function; 3] = [
    Function { name: "bench-rust", runtime: Runtime::Provided, handler: "bootstrap" },
    Function { name: "bench-python", runtime: Runtime::Python, handler: "app.handler" },
    Function { name: "bench-node", runtime: Runtime::Node, handler: "index.handler" },
];

/// Takes all measurements of a run.
pub(crate) fn run(options: &Options) -> Result<Report, Error> {
    let plan = options.plan();
    let mut report = Report::new(options.quick);

    if options.api_only {
        eprintln!("making functions ...");
        report.api = Some(Api::measure(&options.lambd, plan)?);
        return Ok(report);
    }

    report.languages = Some(Languages::measure(&options.languages, plan)?);
    if options.languages_only {
        return Ok(report);
    }

    eprintln!("starting daemons ...");
    starts(&options.lambd, plan, &mut report)?;

    eprintln!("making sandboxes ...");
    report.sandboxes = Some(Sandboxes::measure(&options.sandbox_helper)?);

    eprintln!("making functions ...");
    report.api = Some(Api::measure(&options.lambd, plan)?);

    eprintln!("sending events ...");
    report.asynchronous = Some(Asynchronous::measure(&options.lambd, FUNCTIONS[0], &options.rust, plan)?);

    let floor = Floor::start()?;
    let daemon = Daemon::start(&options.lambd)?;
    let measured = interleaved(options, plan, &floor, &daemon, &mut report);
    if measured.is_err() {
        eprintln!("the daemon said:\n{}", daemon.log());
    }
    measured?;
    daemon.stop()?;
    Ok(report)
}

/// Start-up time and idle memory, each of a fresh daemon.
fn starts(program: &Path, plan: Plan, report: &mut Report) -> Result<(), Error> {
    for start in 0..plan.rounds * plan.daemon_starts {
        let daemon = Daemon::start(program)?;
        report.startup.push(daemon.started_in().as_secs_f64() * 1e3);
        if start % plan.daemon_starts == 0 {
            std::thread::sleep(SETTLE);
            let memory = daemon.memory()?;
            let mebibytes = |bytes: u64| bytes as f64 / (1024.0 * 1024.0);
            report.memory.push(mebibytes(memory.own));
            report.uplinks.push(mebibytes(memory.uplinks));
        }
        daemon.stop()?;
    }
    Ok(())
}

fn interleaved(
    options: &Options,
    plan: Plan,
    floor: &Floor,
    daemon: &Daemon,
    report: &mut Report,
) -> Result<(), Error> {
    let mut api = Client::connect(daemon.address())?;
    let mut targets = vec![(floor.address(), "/".to_owned())];
    report.targets.push(Target::new("raw HTTP echo"));
    for (function, package) in FUNCTIONS.into_iter().zip([&options.rust, &options.python, &options.node]) {
        let runtime = lambda::create(&mut api, function, package)?;
        report.targets.push(Target::new(&runtime));
        targets.push((daemon.address(), lambda::invocations(function.name)));
    }

    let mut streaming = Streaming::default();
    let mut mark = 0;
    for round in 1..=plan.rounds {
        eprintln!("round {round} of {} ...", plan.rounds);
        for ((address, path), target) in targets.iter().zip(&mut report.targets) {
            warm(*address, path, plan, &mut target.series)?;
        }
        for ((address, path), target) in targets.iter().zip(&mut report.targets) {
            load(*address, path, plan, &mut target.series)?;
        }
        streaming.round(floor.address(), daemon.address(), FUNCTIONS[0].name, plan)?;
        for (function, target) in FUNCTIONS.iter().zip(report.targets.iter_mut().skip(1)) {
            for _ in 0..plan.cold_starts {
                mark += 1;
                target.series.cold.push(cold(&mut api, function.name, mark)?.as_secs_f64() * 1e3);
            }
        }
    }
    report.streaming = Some(streaming);
    Ok(())
}

/// One connection, one request after the other.
fn warm(address: SocketAddr, path: &str, plan: Plan, series: &mut Series) -> Result<(), Error> {
    let mut client = Client::connect(address)?;
    let request = client.request("POST", path, PAYLOAD);
    for _ in 0..20 {
        echoed(&mut client, &request)?;
    }
    let mut times = Vec::with_capacity(plan.warm_requests);
    let start = Instant::now();
    while times.len() < plan.warm_requests && start.elapsed() < plan.warm_time {
        times.push(echoed(&mut client, &request)?);
    }
    series.warm_p50.push(stats::percentile(&mut times, 0.5).as_secs_f64() * 1e6);
    series.warm_p99.push(stats::percentile(&mut times, 0.99).as_secs_f64() * 1e6);
    Ok(())
}

/// As many requests as possible on several connections.
fn load(address: SocketAddr, path: &str, plan: Plan, series: &mut Series) -> Result<(), Error> {
    let done = std::thread::scope(|scope| {
        let workers: Vec<_> =
            (0..CONNECTIONS).map(|_| scope.spawn(|| worker(address, path, plan.load_time))).collect();
        workers
            .into_iter()
            .map(|worker| worker.join().unwrap_or(Err(Error::Protocol("a worker panicked"))))
            .collect::<Result<Vec<f64>, Error>>()
    })?;
    series.throughput.push(done.iter().sum());
    Ok(())
}

/// Requests per second of one connection, after a first request that may need a new instance.
fn worker(address: SocketAddr, path: &str, time: Duration) -> Result<f64, Error> {
    let mut client = Client::connect(address)?;
    let request = client.request("POST", path, PAYLOAD);
    echoed(&mut client, &request)?;
    let start = Instant::now();
    let mut count = 0_u32;
    while start.elapsed() < time {
        echoed(&mut client, &request)?;
        count += 1;
    }
    Ok(f64::from(count) / start.elapsed().as_secs_f64())
}

/// The first invoke after a change of configuration, which needs a new instance.
fn cold(api: &mut Client, name: &str, mark: usize) -> Result<Duration, Error> {
    lambda::renew(api, name, mark)?;
    let request = api.request("POST", &lambda::invocations(name), PAYLOAD);
    echoed(api, &request)
}

fn echoed(client: &mut Client, request: &[u8]) -> Result<Duration, Error> {
    let answer = client.send(request)?.good()?;
    // A runtime may write JSON with other spaces than the caller did.
    let same = answer.body.iter().filter(|b| !b.is_ascii_whitespace()).eq(PAYLOAD);
    if same { Ok(answer.took) } else { Err(Error::Answer("the echo is not what was sent".to_owned())) }
}
