//! The loop of `lambd dev`: start, deploy, invoke, follow, watch.

mod debug;
mod deploy;
mod event;
mod screen;
mod session;
mod tail;
mod watch;

use std::net::SocketAddr;

use lambd_types::Scope;

use crate::args::{DevArgs, Endpoint};
use crate::client::{Client, Credentials};
use crate::commands::serve::shut_down;
use crate::console::Console;
use crate::failure::{Exit, Failure};
use crate::ports::{Daemon, RunningDaemon, ServeArgs, StartError};
use crate::project::{self, Project};
use crate::stop::Stop;
use screen::Screen;
use session::Session;
use watch::Watcher;

pub(crate) async fn run(
    args: DevArgs,
    daemon: &impl Daemon,
    console: &Console,
    mut stop: Stop,
) -> Result<Exit, Failure> {
    let event = match &args.event {
        Some(document) => Some(document.read_json().await?),
        None => None,
    };
    let serve = args.serve.for_dev(&args.dir);
    let scope = Scope { account: serve.account.clone(), region: serve.region.clone() };
    // Before the first look at the files, so that no change falls between the two.
    let watcher = if args.once { None } else { Some(Watcher::new(&args.dir)?) };
    let project = load(&args, &scope)?;
    let debug = debug::addresses(&args.debug, &project)?;
    let serve = ServeArgs { debug, ..serve };

    let running = start(daemon, serve.clone(), args.serve.listen.is_none()).await?;
    let screen = Screen::new(console.clone(), &args.dir);
    screen.title(&running, serve.region.as_str(), serve.account.as_str());
    for (name, address) in &serve.debug {
        if let Some(spec) = project.functions.iter().find(|spec| spec.name == *name) {
            screen.debugging(&debug::notice(spec, *address));
        }
    }
    let outcome = {
        let session = Session::new(&args, &running, scope, client_of(&running, &serve), event, screen);
        tokio::select! {
            outcome = session.run(project, watcher) => outcome,
            () = stop.wanted() => Ok(Exit::Good),
        }
    };
    shut_down(running, &mut stop).await;
    outcome
}

/// The project, or everything that is wrong with it.
fn load(args: &DevArgs, scope: &Scope) -> Result<Project, Failure> {
    let project = project::load(&args.dir, scope);
    if !project.problems.is_empty() {
        return Err(Failure::Problems(project.problems));
    }
    if project.functions.is_empty() {
        return Err(Failure::NoFunctions { dir: args.dir.clone() });
    }
    let known = || project.functions.iter().map(|f| f.name.to_string());
    match args.functions.iter().find(|name| !known().any(|known| known == **name)) {
        Some(name) => Err(Failure::UnknownFunction { name: name.clone(), known: known().collect() }),
        None => Ok(project),
    }
}

/// Starts the daemon; on a free port if the usual one is taken and the user did not insist on it.
async fn start(daemon: &impl Daemon, args: ServeArgs, any_port: bool) -> Result<RunningDaemon, StartError> {
    match daemon.start(args.clone()).await {
        Err(StartError::PortInUse(taken)) if any_port => {
            daemon.start(ServeArgs { listen: SocketAddr::new(taken.ip(), 0), ..args }).await
        }
        started => started,
    }
}

/// A client of the daemon that was just started. It signs with the local key whatever is in the
/// environment, because that key belongs to the account that was asked for.
fn client_of(running: &RunningDaemon, args: &ServeArgs) -> Client {
    let mut address = running.endpoint;
    if address.ip().is_unspecified() {
        address.set_ip(match address {
            SocketAddr::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
            SocketAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
        });
    }
    Client::new(Endpoint { authority: address.to_string() }, args.region.clone(), Credentials::local())
}
