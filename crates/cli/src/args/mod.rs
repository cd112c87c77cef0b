//! The commands, their options and their help.

mod calls;
mod events;
mod instances;
mod isolation;
mod limits;
mod runtimes;
mod serve;
mod value;

use clap::{CommandFactory as _, Parser, Subcommand, ValueEnum};

pub(crate) use calls::ClientFlags;
pub(crate) use calls::ClockAction;
pub use calls::{ClockArgs, CompletionsArgs, DoctorArgs, FunctionsArgs, InvokeArgs, LogsArgs};
pub(crate) use events::EventsAction;
pub use events::EventsArgs;
pub use runtimes::RuntimesArgs;
pub(crate) use runtimes::{AddArgs, RemoveArgs, RuntimesAction};
pub(crate) use serve::{DEFAULT_LISTEN, default_data_dir};
pub use serve::{DevArgs, ServeFlags};
pub(crate) use value::{Debugged, Endpoint};
pub use value::{IsolationChoice, NetworkChoice};

/// AWS Lambda on your own Linux machines.
///
/// lambd speaks the AWS Lambda API, so that the AWS CLI, SDKs, SAM, CDK and Terraform work with it
/// unchanged, and it runs functions unchanged in sandboxes of the Linux kernel: no account, no Docker.
#[derive(Debug, Parser)]
#[command(name = "lambd", version, after_help = AFTER_HELP, propagate_version = true, max_term_width = 100)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

const AFTER_HELP: &str = "\
Start here:
  lambd dev examples/hello --event '{\"name\":\"Ada\"}'   run a folder of functions, redeploy on save
  lambd serve                                         run the daemon alone, then in another shell:
  aws --endpoint-url http://127.0.0.1:4566 lambda list-functions
  lambd doctor                                        what this machine can and cannot do

Exit status:
  0  done
  1  a function failed (invoke, dev --once), or something required is missing (doctor)
  2  wrong usage, a file with a mistake, or a request that the daemon refused
  3  nothing listens at the endpoint, or the daemon could not start

Colours appear on a terminal only; NO_COLOR=1 turns them off there too.";

/// The commands of lambd.
#[derive(Debug, Subcommand)]
#[allow(clippy::large_enum_variant, reason = "made once per process")]
pub enum Command {
    /// Run the daemon
    Serve(ServeFlags),
    /// Run the daemon with the functions of a folder, redeploying them on save
    Dev(DevArgs),
    /// Invoke a function and print its response
    Invoke(InvokeArgs),
    /// Print what a function wrote to its log
    Logs(LogsArgs),
    /// Show asynchronous events: queued, running, retrying, failed; purge, replay or pause them
    Events(EventsArgs),
    /// List the functions
    Functions(FunctionsArgs),
    /// List the runtimes: what runs each, in which version, or what to do to get it; install or remove one
    Runtimes(RuntimesArgs),
    /// Show the clock of a daemon that runs with --clock manual, or move it
    Clock(ClockArgs),
    /// Tell what this machine can do for functions, and what is missing
    Doctor(DoctorArgs),
    /// Print a completion script for a shell
    Completions(CompletionsArgs),
}

/// How to write results.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Output {
    /// For people
    #[default]
    Text,
    /// For scripts
    Json,
}

/// What to do about a function whose runtime version is not installed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum RuntimeSubstitution {
    /// Run it with the nearest installed version of the same language, and say so
    #[default]
    Nearest,
    /// Refuse to run it
    Never,
}

/// What to do about runtimes that AWS has deprecated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum RuntimeDeprecation {
    /// Nothing: old code is as good as new
    Off,
    /// Create and update functions with them, and say so in the daemon's log
    #[default]
    Warn,
    /// Refuse to create and to update functions with them, from the days on that AWS does
    Enforce,
}

/// How much CPU time functions get.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum CpuShare {
    /// In proportion to their memory after the init phase, as on AWS: 1792 MB are one CPU
    Proportional,
    /// All that the machine has
    Unlimited,
}

/// The clock of what waits for a time of day: retries and ages of events, delays of messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum ClockChoice {
    /// The machine's
    #[default]
    System,
    /// One that stands still until `lambd clock advance` moves it, for tests
    Manual,
}

/// How much the daemon's own log says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum LogLevel {
    /// Only failures of the daemon itself
    Error,
    /// Also what an operator should look at
    Warn,
    /// Also what happens
    Info,
    /// Also how it happens
    Debug,
    /// Everything
    Trace,
}

impl LogLevel {
    /// The name, as `tracing` filters know it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }
}

impl Cli {
    /// Whether the command starts a daemon in this process.
    pub fn starts_daemon(&self) -> bool {
        matches!(self.command, Command::Serve(_) | Command::Dev(_))
    }

    /// Refuses options that do not go together.
    fn checked(self) -> Result<Self, clap::Error> {
        let isolation = match &self.command {
            Command::Serve(flags) => &flags.isolation,
            Command::Dev(args) => &args.serve.isolation,
            Command::Doctor(args) => &args.isolation,
            _ => return Ok(self),
        };
        match isolation.mistake() {
            Some(mistake) => Err(Self::command().error(clap::error::ErrorKind::ArgumentConflict, mistake)),
            None => Ok(self),
        }
    }

    /// How much the process should log: what the user asked for, else `info` for `serve` and `warn`
    /// for everything that has output of its own.
    pub fn log_level(&self) -> LogLevel {
        match &self.command {
            Command::Serve(flags) => flags.log_level.unwrap_or(LogLevel::Info),
            Command::Dev(args) => args.serve.log_level.unwrap_or(LogLevel::Warn),
            _ => LogLevel::Warn,
        }
    }
}

/// Parses the process's arguments. On a mistake, and for `--help` and `--version`, prints and exits.
pub fn parse() -> Cli {
    Cli::try_parse().and_then(Cli::checked).unwrap_or_else(|error| error.exit())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Cli, clap::Error> {
        Cli::try_parse_from(line.split(' ')).and_then(Cli::checked)
    }

    #[test]
    fn the_description_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_and_option_has_help() {
        for command in Cli::command().get_subcommands() {
            assert!(command.get_about().is_some(), "{}", command.get_name());
            assert!(command.get_after_help().is_some(), "{} shows no example", command.get_name());
            for arg in command.get_arguments() {
                assert!(arg.get_help().is_some(), "{} {}", command.get_name(), arg.get_id());
            }
        }
    }

    #[test]
    fn log_levels_depend_on_the_command() {
        assert_eq!(parsed("lambd serve").unwrap().log_level(), LogLevel::Info);
        assert_eq!(parsed("lambd dev .").unwrap().log_level(), LogLevel::Warn);
        assert_eq!(parsed("lambd dev . --log-level debug").unwrap().log_level(), LogLevel::Debug);
        assert!(parsed("lambd dev .").unwrap().starts_daemon());
        assert!(!parsed("lambd doctor").unwrap().starts_daemon());
    }

    #[test]
    fn the_oci_runtime_is_chosen_with_its_options() {
        let line = "lambd serve --isolation oci --oci-runtime /opt/runsc --oci-runtime-arg --platform=kvm";
        let Command::Serve(flags) = parsed(line).unwrap().command else { panic!("{line}") };
        let expected =
            IsolationChoice::Oci { runtime: Some("/opt/runsc".into()), args: vec!["--platform=kvm".into()] };
        assert_eq!(flags.isolation.choice(), expected);
    }

    #[test]
    fn mistakes_are_refused() {
        for bad in [
            "lambd",
            "lambd serv",
            "lambd serve --listen nowhere",
            "lambd serve --region nowhere",
            "lambd serve --account 12",
            "lambd serve --isolation none",
            "lambd serve --oci-runtime crun",
            "lambd dev --isolation process --oci-runtime-arg --debug",
            "lambd doctor --oci-runtime crun",
            "lambd serve --runtime-substitution sometimes",
            "lambd serve --runtime-root /images/python",
            "lambd serve --runtime-root python=",
            "lambd runtimes --runtime-root =/images/python",
            "lambd serve --network bridge",
            "lambd serve --deny-network 10.1.2.3/8",
            "lambd serve --xray-daemon nowhere",
            "lambd serve --s3-endpoint 127.0.0.1:9000",
            "lambd serve --s3-endpoint https://s3/?a=b",
            "lambd invoke",
            "lambd invoke a --payload {} --payload {}",
            "lambd invoke a --async --log",
            "lambd logs a --since soon",
            "lambd logs a --limit 0",
            "lambd functions --endpoint localhost",
            "lambd dev . --once",
            "lambd completions tcsh",
        ] {
            let error = parsed(bad).expect_err(bad);
            assert_eq!(error.exit_code(), 2, "{bad}");
        }
    }
}
