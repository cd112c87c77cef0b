//! The `lambd` binary: configuration, assembly, signals. No rule of behaviour is here.

mod assembly;
mod choices;
mod clock;
mod doctor;
mod events;
mod health;
mod instances;
mod isolation;
mod machine;
mod network;
mod parts;
mod runtimes;
mod shared;
mod toolchains;
mod wiring;

use std::process::ExitCode;

use lambd_cli::{Cli, LogLevel};

fn main() -> ExitCode {
    // Before anything else, and before there is a thread: this process may be the spawner.
    if let Some(code) = lambd_jail::run_if_spawner() {
        return ExitCode::from(u8::try_from(code).unwrap_or(1));
    }
    let cli = lambd_cli::parse();
    start_logging(&cli);
    let mut runtime = if cli.starts_daemon() {
        raise_file_limit();
        hide_mounts();
        let mut runtime = tokio::runtime::Builder::new_multi_thread();
        // The functions need the other half of the machine; and an event that changes threads on its way
        // waits for one to wake up.
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        runtime.worker_threads(cores.div_ceil(2));
        runtime
    } else {
        // One request to a daemon needs no threads of its own.
        tokio::runtime::Builder::new_current_thread()
    };
    match runtime.enable_all().thread_name("lambd").build() {
        Ok(runtime) => runtime.block_on(lambd_cli::run(cli, &assembly::Assembly, &doctor::Doctor)),
        Err(error) => {
            eprintln!("lambd: cannot start the event loop: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Each instance takes several descriptors, and the usual soft limit is made for one connection at a time.
fn raise_file_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    // At worst the limit stays as it is.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
}

/// Volumes for functions are nobody else's business, and must not stay mounted if this process is killed.
/// Before there is a thread, because each thread has its mounts from the one that starts it.
fn hide_mounts() {
    if rustix::process::geteuid().is_root()
        && let Err(error) = lambd_jail::private_mounts()
    {
        // Then nothing can be mounted either, which the start-up line will say.
        tracing::debug!(%error, "no mount namespace of our own");
    }
}

fn start_logging(cli: &Cli) {
    use tracing_subscriber::EnvFilter;
    let level = match cli.log_level() {
        LogLevel::Error => "error",
        LogLevel::Warn => "warn",
        LogLevel::Info => "info",
        LogLevel::Debug => "debug",
        LogLevel::Trace => "trace",
    };
    // The libraries below are of interest only to those who ask for everything.
    let directives =
        if level == "trace" { level.to_owned() } else { format!("{level},sqlx=warn,hyper=warn") };
    tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new(directives))
        .with_writer(std::io::stderr)
        .with_target(false)
        .init();
}
