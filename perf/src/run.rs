//! The measurements, in the order in which they are taken.

use std::path::Path;
use std::time::Duration;

use crate::api::Api;
use crate::asynchronous::Asynchronous;
use crate::client::Client;
use crate::crowd::Crowd;
use crate::daemon::Daemon;
use crate::echoes::Echoes;
use crate::error::Error;
use crate::floor::Floor;
use crate::invoke;
use crate::lambda::{self, Function, Runtime};
use crate::languages::Languages;
use crate::options::{Options, Plan};
use crate::peers::Peers;
use crate::report::{Report, Target};
use crate::sandboxes::Sandboxes;
use crate::snapstart::SnapStart;
use crate::streaming::Streaming;

/// Time after which a started daemon is taken to be idle.
const SETTLE: Duration = Duration::from_secs(1);
/// Before a cold start that is not one of many in a row: what the daemon keeps ready has been made again.
const SPACE: Duration = Duration::from_millis(500);
/// The option that says how many interpreters are started before they are needed.
const STARTED_AHEAD: &str = "--started-ahead";

/// With the names of their languages in documents.
const FUNCTIONS: [(&str, Function); 3] = [
    ("rust", Function { name: "bench-rust", runtime: Runtime::Provided, handler: "bootstrap" }),
    ("python", Function { name: "bench-python", runtime: Runtime::Python, handler: "app.handler" }),
    ("node", Function { name: "bench-node", runtime: Runtime::Node, handler: "index.handler" }),
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

    if !options.invocations_only {
        report.languages = Some(Languages::measure(&options.languages, plan)?);
        if options.languages_only {
            return Ok(report);
        }
        apart(options, plan, &mut report)?;
    }

    eprintln!("starting daemons ...");
    starts(&options.lambd, plan, &mut report)?;

    eprintln!("making crowds ...");
    report.crowd = Some(Crowd::measure(&options.lambd, plan)?);

    let floor = Floor::start()?;
    // A daemon without the option starts none.
    let full: &[&str] =
        if Daemon::has_option(&options.lambd, STARTED_AHEAD)? { &[STARTED_AHEAD, "0"] } else { &[] };
    let daemons = [Daemon::start(&options.lambd)?, Daemon::start_with(&options.lambd, full)?];
    let measured = interleaved(options, plan, &floor, &daemons, &mut report);
    if measured.is_err() {
        for daemon in &daemons {
            eprintln!("a daemon said:\n{}", daemon.log());
        }
    }
    measured?;
    for daemon in daemons {
        daemon.stop()?;
    }
    Ok(report)
}

/// What has nothing to take turns with.
fn apart(options: &Options, plan: Plan, report: &mut Report) -> Result<(), Error> {
    eprintln!("making sandboxes ...");
    report.sandboxes = Some(Sandboxes::measure(&options.sandbox_helper)?);

    eprintln!("making functions ...");
    report.api = Some(Api::measure(&options.lambd, plan)?);

    eprintln!("sending events ...");
    report.asynchronous = Some(Asynchronous::measure(&options.lambd, FUNCTIONS[0].1, &options.rust, plan)?);
    Ok(())
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

/// Everything that is compared takes turns. The first daemon is as it is by default, the second starts nothing ahead.
fn interleaved(
    options: &Options,
    plan: Plan,
    floor: &Floor,
    [daemon, without]: &[Daemon; 2],
    report: &mut Report,
) -> Result<(), Error> {
    let connect =
        || Ok::<_, Error>((Client::connect(daemon.address())?, Client::connect(without.address())?));
    let (mut api, mut full) = connect()?;
    let mut targets = vec![(floor.address(), "/".to_owned())];
    report.targets.push(Target::new("raw HTTP echo", ""));
    let packages = [&options.rust, &options.python, &options.node];
    for ((language, function), package) in FUNCTIONS.into_iter().zip(packages) {
        let runtime = lambda::create(&mut api, function, package)?;
        lambda::create(&mut full, function, package)?;
        report.targets.push(Target::new(&runtime, language));
        targets.push((daemon.address(), lambda::invocations(function.name)));
    }
    let mut echoes = Echoes::read(&options.languages)?;
    let mut peers = options.peers.as_deref().map(Peers::read).transpose()?;
    let mut snapstart = SnapStart::create(&mut api)?;
    let mut streaming = Streaming::default();
    let mut mark = 0;
    for round in 1..=plan.rounds {
        eprintln!("round {round} of {} ...", plan.rounds);
        for ((address, path), target) in targets.iter().zip(&mut report.targets) {
            invoke::warm(*address, path, plan, &mut target.series)?;
        }
        echoes.round(plan)?;
        for ((address, path), target) in targets.iter().zip(&mut report.targets) {
            invoke::load(*address, path, plan, &mut target.series)?;
        }
        if let Some(peers) = &mut peers {
            peers.round(plan);
        }
        streaming.round(floor.address(), daemon.address(), FUNCTIONS[0].1.name, plan)?;
        // Those of before were idle for too long.
        (api, full) = connect()?;
        for ((_, function), target) in FUNCTIONS.iter().zip(report.targets.iter_mut().skip(1)) {
            for _ in 0..plan.cold_starts {
                mark += 1;
                target.series.cold.push(invoke::cold(&mut api, function.name, mark, Duration::ZERO)?);
            }
            for _ in 0..plan.cold_starts {
                mark += 1;
                target.series.cold_spaced.push(invoke::cold(&mut api, function.name, mark, SPACE)?);
                target.series.cold_full.push(invoke::cold(&mut full, function.name, mark, SPACE)?);
            }
        }
        snapstart.round(daemon, round, plan)?;
    }
    report.echoes = Some(echoes);
    report.peers = peers;
    report.snapstart = Some(snapstart);
    report.streaming = Some(streaming);
    Ok(())
}
