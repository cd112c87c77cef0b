//! `lambd serve`.

use crate::args::ServeFlags;
use crate::console::{Console, Paint};
use crate::failure::{Exit, Failure};
use crate::ports::{Daemon, RunningDaemon, RuntimeFound};
use crate::stop::Stop;

pub(crate) async fn run(
    flags: ServeFlags,
    daemon: &impl Daemon,
    console: &Console,
    mut stop: Stop,
) -> Result<Exit, Failure> {
    let args = flags.for_serve();
    let running = daemon.start(args.clone()).await?;
    let paint = console.out_paint();
    let title = format!("lambd {} listens on {}", env!("CARGO_PKG_VERSION"), url(&running, paint));
    // A closed stdout is no reason to refuse service: the daemon's answers go elsewhere.
    let _ = console
        .out(&format!("{title}\n{}", facts(&running, args.region.as_str(), args.account.as_str(), paint)));
    stop.wanted().await;
    let _ = console.err("stopping: events in flight finish first, Ctrl-C again stops at once");
    shut_down(running, &mut stop).await;
    Ok(Exit::Good)
}

/// Stops the daemon, or gives up waiting when the user asks a second time.
pub(crate) async fn shut_down(running: RunningDaemon, stop: &mut Stop) {
    tokio::select! {
        () = (running.stop)() => {}
        () = stop.wanted() => {}
    }
}

/// The address as a URL.
pub(crate) fn url(running: &RunningDaemon, paint: Paint) -> String {
    paint.bold(&format!("http://{}", running.endpoint))
}

/// The lines below the title: scope, isolation, network, runtimes, data.
pub(crate) fn facts(running: &RunningDaemon, region: &str, account: &str, paint: Paint) -> String {
    let line = |name: &str, value: &str| format!("  {}  {value}", paint.dim(&format!("{name:<9}")));
    [
        line("scope", &format!("region {region}, account {account}")),
        line("isolation", &running.isolation),
        line("network", &running.network),
        line("runtimes", &runtimes_text(&running.runtimes)),
        line("data", &home_relative(&running.data.display().to_string())),
    ]
    .join("\n")
}

fn runtimes_text(runtimes: &[RuntimeFound]) -> String {
    if runtimes.is_empty() {
        return "custom runtimes only (install python3 or nodejs for more; see `lambd doctor`)".into();
    }
    let ids: Vec<&str> = runtimes.iter().map(|r| r.id.as_str()).chain(["provided"]).collect();
    ids.join(", ")
}

/// A path as a person in their home directory would write it.
pub(crate) fn home_relative(path: &str) -> String {
    match std::env::var("HOME") {
        Ok(home) if home.len() > 1 => match path.strip_prefix(&home) {
            Some(rest) if rest.starts_with('/') => format!("~{rest}"),
            _ => path.to_owned(),
        },
        _ => path.to_owned(),
    }
}
