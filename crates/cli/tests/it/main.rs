//! The commands against a stub of the daemon's API: what they send, print and exit with.

mod calls;
mod dev;
mod machine;
mod stub;

use clap::Parser as _;
use lambd_cli::{Captured, Cli, Console, Stop, run_in};

use stub::{FakeDaemon, FakeInspector};

/// What a command did.
struct Ended {
    exit: u8,
    out: String,
    err: String,
}

fn cli(line: &[&str]) -> Cli {
    Cli::try_parse_from(std::iter::once(&"lambd").chain(line)).unwrap_or_else(|e| panic!("{e}"))
}

/// Runs a command that ends by itself.
async fn lambd(line: &[&str]) -> Ended {
    lambd_with(line, &FakeDaemon::default()).await
}

async fn lambd_with(line: &[&str], daemon: &FakeDaemon) -> Ended {
    let (console, captured) = Console::captured();
    let exit = run_in(cli(line), daemon, &FakeInspector::healthy(), console, Stop::never()).await;
    Ended { exit, out: captured.out(), err: captured.err() }
}

/// Starts a command that ends when told to.
fn lambd_started(
    line: &[&str],
    daemon: FakeDaemon,
) -> (Captured, tokio::sync::mpsc::UnboundedSender<()>, tokio::task::JoinHandle<u8>) {
    let (console, captured) = Console::captured();
    let (sender, stop) = Stop::on_message();
    let cli = cli(line);
    let task =
        tokio::spawn(async move { run_in(cli, &daemon, &FakeInspector::healthy(), console, stop).await });
    (captured, sender, task)
}
