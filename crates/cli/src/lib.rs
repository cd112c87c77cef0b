//! The command line of lambd: what a person types, and what they see.
//!
//! The binary parses with [`parse`], prepares the process by what [`Cli`] says, and hands over to
//! [`run`] together with three ports that it implements: [`Daemon`] starts the daemon inside this
//! process, [`Inspector`] tells the truth about the machine, [`Installer`] puts toolchains on it. Everything else that a command does goes
//! over the daemon's AWS API, as any other client's requests do.
//!
//! | module | one idea |
//! |---|---|
//! | `args` | the commands, their options and their help |
//! | `ports` | what the command line needs from the daemon's side |
//! | `report` | what `lambd doctor` and `lambd runtimes` can say |
//! | `client` | signed requests to the Lambda and the CloudWatch Logs API |
//! | `project` | from a folder to functions: `lambd.toml`, SAM templates, packages |
//! | `logs` | reading log events without missing or repeating any |
//! | `commands` | one file per command |
//! | `dev` | the loop of `lambd dev`: deploy, invoke, follow, watch |
//! | `console` | text to people and scripts: streams, colours, tables |
//!
//! It deliberately does not know how functions are stored, run or isolated, nor any other crate of
//! lambd than `types`.
//!
//! # Dependencies
//!
//! - `clap`, `clap_complete`: parsing, help and completions from one description.
//! - `hyper` with `hyper-util`: the daemon needs both anyway; a client connection on top costs one
//!   feature, where `ureq` or `reqwest` would bring a second HTTP stack and threads.
//! - `aws-sigv4` with `aws-credential-types`: AWS's own signer, so that lambd's command line is held
//!   to the same signatures as every other client.
//! - `saphyr-parser`: YAML as events with tags and positions. CloudFormation's `!Ref` and `!Sub` are
//!   tags, and messages name lines; the parsers over serde lose one or the other, and `serde_yaml` is
//!   no longer kept up. JSON templates are read by the same parser, as YAML contains JSON.
//! - `toml`: `lambd.toml`, with positions.
//! - `zip`: packages; also what the daemon reads them with.
//! - `notify`: file changes.

mod args;
mod client;
mod commands;
mod console;
mod dev;
mod failure;
mod logs;
mod ports;
mod project;
mod report;
mod stop;
mod terminal;

use std::process::ExitCode;

pub use args::{
    Cli, ClockArgs, ClockChoice, Command, CompletionsArgs, CpuShare, DevArgs, DoctorArgs, EventsArgs,
    FunctionsArgs, InvokeArgs, IsolationChoice, LogLevel, LogsArgs, NetworkChoice, Output,
    RuntimeDeprecation, RuntimeSubstitution, RuntimesArgs, ServeFlags, parse,
};
pub use console::{Captured, Console};
pub use ports::{
    AccountLimits, AddProgress, AddRuntime, AddedRuntime, BoxFuture, Daemon, EventChoices, Inspector,
    InstallError, Installer, InstanceLimits, RunningDaemon, RuntimeFound, RuntimeRoot, RuntimeSubstitutions,
    RuntimesQuery, ServeArgs, StartError,
};
pub use report::{
    Check, DoctorReport, IsolationLevel, IsolationStatus, RootStatus, RuntimeMissing, RuntimeProgram,
    RuntimeState, RuntimeStatus, Verdict,
};
pub use stop::Stop;

/// Runs one command of the command line to its end and tells the process's exit status.
///
/// Must be called inside a tokio runtime. SIGINT and SIGTERM end `serve` and `dev` cleanly.
pub async fn run(cli: Cli, daemon: &impl Daemon, inspector: &(impl Inspector + Installer)) -> ExitCode {
    let exit = match &cli.command {
        Command::Serve(_) | Command::Dev(_) => {
            run_in(cli, daemon, inspector, Console::stdio(), Stop::on_signals()).await
        }
        // The other commands hold nothing that a signal's default action would leave half done.
        _ => run_in(cli, daemon, inspector, Console::stdio(), Stop::never()).await,
    };
    ExitCode::from(exit)
}

/// [`run`] with the streams and the stop signal given by the caller, as tests do. Returns the exit
/// status.
pub async fn run_in(
    cli: Cli,
    daemon: &impl Daemon,
    inspector: &(impl Inspector + Installer),
    console: Console,
    stop: Stop,
) -> u8 {
    let done = match cli.command {
        Command::Serve(args) => commands::serve::run(args, daemon, &console, stop).await,
        Command::Dev(args) => Box::pin(dev::run(args, daemon, &console, stop)).await,
        Command::Invoke(args) => commands::invoke::run(args, &console).await,
        Command::Logs(args) => commands::logs::run(args, &console).await,
        Command::Events(args) => commands::events::run(args, &console).await,
        Command::Functions(args) => commands::functions::run(args, &console).await,
        Command::Runtimes(args) => commands::runtimes::run(args, inspector, &console).await,
        Command::Clock(args) => commands::clock::run(args, &console).await,
        Command::Doctor(args) => commands::doctor::run(args, inspector, &console).await,
        Command::Completions(args) => commands::completions::run(args, &console),
    };
    failure::exit_status(done, &console)
}
