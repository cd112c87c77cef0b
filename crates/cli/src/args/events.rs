//! Options about asynchronous events: of the daemon, and of `lambd events`.

use std::num::NonZeroUsize;
use std::time::Duration;

use clap::{Args, Subcommand};

use super::Output;
use super::calls::ClientFlags;
use super::value::{base_url, duration};
use crate::ports::EventChoices;

/// How the daemon treats asynchronous events.
#[derive(Debug, Clone, Args)]
pub(crate) struct EventFlags {
    /// Waits before the attempts after a function error; the service's are 60s,120s
    ///
    /// Their number is the number of further attempts. A function's own configuration can ask for fewer.
    #[arg(
        long,
        value_name = "DURATION,…",
        env = "LAMBD_ASYNC_RETRY_DELAYS",
        value_delimiter = ',',
        default_value = "60s,120s",
        value_parser = duration
    )]
    async_retry_delays: Vec<Duration>,

    /// First wait after throttling or a fault of the system; it doubles with each
    #[arg(long, value_name = "DURATION", env = "LAMBD_ASYNC_BACKOFF", default_value = "1s", value_parser = duration)]
    async_backoff: Duration,

    /// Longest such wait
    #[arg(long, value_name = "DURATION", env = "LAMBD_ASYNC_BACKOFF_MAX", default_value = "5m", value_parser = duration)]
    async_backoff_max: Duration,

    /// Age at which an asynchronous event is given up
    ///
    /// For as long, an outcome is tried to be delivered.
    #[arg(long, value_name = "DURATION", env = "LAMBD_ASYNC_MAX_AGE", default_value = "6h", value_parser = duration)]
    async_max_age: Duration,

    /// Where queues are to which failed events, outcomes and messages of topics are sent [default: this daemon]
    ///
    /// For example https://sqs.{region}.amazonaws.com. Requests are signed as those of --s3-endpoint.
    #[arg(long, value_name = "URL", env = "LAMBD_SQS_ENDPOINT", value_parser = base_url)]
    sqs_endpoint: Option<String>,

    /// The same for topics [default: this daemon]
    #[arg(long, value_name = "URL", env = "LAMBD_SNS_ENDPOINT", value_parser = base_url)]
    sns_endpoint: Option<String>,

    /// The same for event buses [default: none; outcomes for a bus are not delivered]
    #[arg(long, value_name = "URL", env = "LAMBD_EVENTBRIDGE_ENDPOINT", value_parser = base_url)]
    eventbridge_endpoint: Option<String>,
}

impl EventFlags {
    pub(crate) fn choices(&self) -> EventChoices {
        EventChoices {
            retry_delays: self.async_retry_delays.clone(),
            backoff: self.async_backoff,
            backoff_max: self.async_backoff_max,
            max_age: self.async_max_age,
            sqs_endpoint: self.sqs_endpoint.clone(),
            sns_endpoint: self.sns_endpoint.clone(),
            eventbridge_endpoint: self.eventbridge_endpoint.clone(),
        }
    }
}

/// Options of `lambd events`.
#[derive(Debug, Clone, Args)]
#[command(after_help = EVENTS_HELP, args_conflicts_with_subcommands = true)]
pub struct EventsArgs {
    /// What to do instead of showing
    #[command(subcommand)]
    pub(crate) action: Option<EventsAction>,

    /// Name or ARN of the function [default: all that have a queue, without their events]
    pub(crate) name: Option<String>,

    /// Most events of each state
    #[arg(long, short = 'n', value_name = "N", default_value = "100")]
    pub(crate) limit: NonZeroUsize,

    /// `json` prints what the daemon answers
    #[arg(long, short, value_enum, default_value_t)]
    pub(crate) output: Output,

    /// The same as --output json
    #[arg(long, conflicts_with = "output")]
    pub(crate) json: bool,

    #[command(flatten)]
    pub(crate) client: ClientFlags,
}

/// What `lambd events` does instead of showing.
#[derive(Debug, Clone, Subcommand)]
pub(crate) enum EventsAction {
    /// Remove the events that wait
    Purge {
        /// Name or ARN of the function
        name: String,

        /// Those that have failed instead
        #[arg(long)]
        failed: bool,

        #[command(flatten)]
        client: ClientFlags,
    },
    /// Let failed events begin again, as if they came now
    Replay {
        /// Name or ARN of the function
        name: String,

        /// Only the event of this request
        #[arg(long, value_name = "ID")]
        request_id: Option<String>,

        #[command(flatten)]
        client: ClientFlags,
    },
    /// Start no events of a function until it is resumed; they are accepted and wait
    Pause {
        /// Name or ARN of the function
        name: String,

        #[command(flatten)]
        client: ClientFlags,
    },
    /// Let a function's events go on
    Resume {
        /// Name or ARN of the function
        name: String,

        #[command(flatten)]
        client: ClientFlags,
    },
}

const EVENTS_HELP: &str = "\
Examples:
  lambd events                            the functions that have asynchronous events
  lambd events hello                      what is queued, running, retrying, and what has failed
  lambd events replay hello               try again what has failed
  lambd events purge hello                remove what waits
  lambd events pause hello                start nothing until `lambd events resume hello`
  lambd events hello -o json | jq .metrics

Events that have failed are kept for seven days, the newest 1000 of a function.";
