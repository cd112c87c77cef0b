//! Options of the commands that call a running daemon, and of the small ones.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::TypedValueParser as _;
use clap::{Args, Subcommand, ValueHint};
use clap_complete::Shell;
use lambd_types::Region;

use super::Output;
use super::isolation::IsolationFlags;
use super::value::{Document, Endpoint, duration, region};

/// Which daemon to call.
#[derive(Debug, Clone, Args)]
pub(crate) struct ClientFlags {
    /// Where the daemon listens [default: $AWS_ENDPOINT_URL, else http://127.0.0.1:4566]
    #[arg(long, value_name = "URL", env = "LAMBD_ENDPOINT")]
    pub(crate) endpoint: Option<Endpoint>,

    /// Region of the functions [default: $AWS_REGION, $AWS_DEFAULT_REGION, else us-east-1]
    #[arg(long, value_name = "REGION", env = "LAMBD_REGION", value_parser = region)]
    pub(crate) region: Option<Region>,
}

/// Options of `lambd invoke`.
#[derive(Debug, Clone, Args)]
#[command(after_help = INVOKE_HELP)]
pub struct InvokeArgs {
    /// Name or ARN of the function
    pub(crate) name: String,

    /// The event: JSON, @FILE, or - for standard input [default: an empty payload]
    #[arg(long, short, value_name = "JSON|@FILE|-")]
    pub(crate) payload: Option<Document>,

    /// Queue the event and return at once
    #[arg(long = "async", conflicts_with = "log")]
    pub(crate) asynchronous: bool,

    /// Show the end of the invocation's log, up to 4 KB, on stderr
    #[arg(long, short)]
    pub(crate) log: bool,

    /// Version or alias to invoke
    #[arg(long, short, value_name = "QUALIFIER")]
    pub(crate) qualifier: Option<String>,

    /// `text` prints the response as it is, `json` one object with status, error, log and response
    #[arg(long, short, value_enum, default_value_t)]
    pub(crate) output: Output,

    #[command(flatten)]
    pub(crate) client: ClientFlags,
}

const INVOKE_HELP: &str = "\
Examples:
  lambd invoke hello --payload '{\"name\":\"Ada\"}'
  lambd invoke hello -p @event.json --log
  echo '{}' | lambd invoke hello -p - | jq .message
  lambd invoke hello --async -p '{}'

The response goes to stdout, everything else to stderr.

Exit status:
  0  the function returned a response (or, with --async, the event was accepted)
  1  the function failed; its error is on stderr
  2  the daemon refused the request, or the payload cannot be read
  3  nothing listens at the endpoint";

/// Options of `lambd logs`.
#[derive(Debug, Clone, Args)]
#[command(after_help = LOGS_HELP)]
pub struct LogsArgs {
    /// Name of the function
    pub(crate) name: String,

    /// Keep printing new events until stopped
    #[arg(long, short)]
    pub(crate) follow: bool,

    /// How far to look back: 30s, 10m, 2h, 7d
    #[arg(long, short, value_name = "DURATION", default_value = "1h", value_parser = duration)]
    pub(crate) since: Duration,

    /// Print only the newest N of the events found
    #[arg(long, short = 'n', value_name = "N")]
    pub(crate) limit: Option<NonZeroUsize>,

    /// `json` prints one object per line and event
    #[arg(long, short, value_enum, default_value_t)]
    pub(crate) output: Output,

    #[command(flatten)]
    pub(crate) client: ClientFlags,
}

const LOGS_HELP: &str = "\
Examples:
  lambd logs hello                      the last hour
  lambd logs hello --follow             and what comes
  lambd logs hello --since 2d -n 100    the newest 100 lines of two days
  lambd logs hello -o json | jq -r .message

The same events are in log group /aws/lambda/NAME for `aws logs`.";

/// Options of `lambd functions`.
#[derive(Debug, Clone, Args)]
#[command(after_help = FUNCTIONS_HELP)]
pub struct FunctionsArgs {
    /// `json` prints an array of FunctionConfiguration objects
    #[arg(long, short, value_enum, default_value_t)]
    pub(crate) output: Output,

    #[command(flatten)]
    pub(crate) client: ClientFlags,
}

const FUNCTIONS_HELP: &str = "\
Examples:
  lambd functions
  lambd functions -o json | jq -r '.[].FunctionName'";

/// Options of `lambd clock`.
#[derive(Debug, Clone, Args)]
#[command(after_help = CLOCK_HELP, args_conflicts_with_subcommands = true)]
pub struct ClockArgs {
    /// What to do instead of showing it
    #[command(subcommand)]
    pub(crate) action: Option<ClockAction>,

    #[command(flatten)]
    pub(crate) client: ClientFlags,
}

/// What `lambd clock` does instead of showing it.
#[derive(Debug, Clone, Subcommand)]
pub(crate) enum ClockAction {
    /// Move it forward
    Advance {
        /// How far: 30s, 10m, 2h, 7d
        #[arg(value_parser = duration)]
        by: Duration,

        #[command(flatten)]
        client: ClientFlags,
    },
}

const CLOCK_HELP: &str = "\
Examples:
  lambd serve --clock manual &
  lambd clock                           what it shows
  lambd clock advance 1m                the first retry of an event that failed is due";

/// Options of `lambd doctor`.
#[derive(Debug, Clone, Args)]
#[command(after_help = DOCTOR_HELP)]
pub struct DoctorArgs {
    /// `json` prints the whole report as one object
    #[arg(long, short, value_enum, default_value_t)]
    pub(crate) output: Output,

    /// Data directory to examine [default: that of `lambd serve`]
    #[arg(long, value_name = "DIR", env = "LAMBD_DATA", value_hint = ValueHint::DirPath)]
    pub(crate) data: Option<PathBuf>,

    /// The report tells whether the daemon would start with these
    #[command(flatten)]
    pub(crate) isolation: IsolationFlags,

    /// Address to examine [default: 127.0.0.1:4566]
    #[arg(long, value_name = "ADDR", env = "LAMBD_LISTEN")]
    pub(crate) listen: Option<std::net::SocketAddr>,
}

const DOCTOR_HELP: &str = "\
Examples:
  lambd doctor
  lambd doctor -o json | jq .isolation

Marks: ✓ good, ! lambd works without it, ✗ required and missing.
Exit status: 0 if nothing required is missing, else 1.";

/// Options of `lambd completions`.
#[derive(Debug, Clone, Args)]
#[command(after_help = COMPLETIONS_HELP)]
pub struct CompletionsArgs {
    /// The shell
    #[arg(value_parser = clap::builder::PossibleValuesParser::new(["bash", "zsh", "fish"])
        .map(|name| match name.as_str() { "zsh" => Shell::Zsh, "fish" => Shell::Fish, _ => Shell::Bash }))]
    pub(crate) shell: Shell,
}

const COMPLETIONS_HELP: &str = "\
Examples:
  lambd completions bash > ~/.local/share/bash-completion/completions/lambd
  lambd completions zsh > \"${fpath[1]}/_lambd\"
  lambd completions fish > ~/.config/fish/completions/lambd.fish";
