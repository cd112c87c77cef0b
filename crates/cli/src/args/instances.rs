//! Options about instances: how many, how fast, how long.

use std::time::Duration;

use clap::{Args, value_parser};
use lambd_types::{ScalingRule, limits};

use super::limits::total_size;
use super::value::duration;
use crate::ports::InstanceLimits;

/// Limits of instances.
#[derive(Debug, Clone, Args)]
pub(crate) struct InstanceFlags {
    /// How fast functions get further instances: region, function or off [default: region, with dev off]
    ///
    /// region: the functions of an account and region together, 500 to 3000 at once, as AWS had it for the region, then
    /// 500 more in each minute. function: each function for itself, 1000 in ten seconds, as AWS has it today. Other
    /// numbers: region:AT_ONCE+PER_MINUTE, or function:AT_ONCE+PER_MINUTE.
    #[arg(long, value_name = "RULE", env = "LAMBD_SCALING")]
    scaling: Option<ScalingRule>,

    /// Requests in a second for each concurrent execution, or off [default: 10, with dev off]
    ///
    /// With 1000 executions there are 10000 synchronous requests and as many asynchronous ones; of a function with
    /// reserved or provisioned concurrency, as many as that gives it.
    #[arg(long, value_name = "NUMBER", env = "LAMBD_REQUESTS_PER_EXECUTION", value_parser = requests)]
    requests_per_execution: Option<Requests>,

    /// Instances on this machine [default: one for each 16 MB of its memory]
    #[arg(long, value_name = "NUMBER", env = "LAMBD_MAX_INSTANCES", value_parser = number)]
    max_instances: Option<u32>,

    /// Instances of one function [default: as many as fit into this machine's memory with an eighth of MemorySize each]
    #[arg(long, value_name = "NUMBER", env = "LAMBD_MAX_INSTANCES_PER_FUNCTION", value_parser = number)]
    max_instances_per_function: Option<u32>,

    /// How long an event waits for room for an instance before it is refused; 0s: not at all
    #[arg(long, value_name = "TIME", env = "LAMBD_WAIT_FOR_ROOM", default_value = "5s", value_parser = duration)]
    wait_for_room: Duration,

    /// Memory that stays free, or off [default: a twentieth, from 64 MB to 1 GB]
    ///
    /// With less, idle instances are ended, those first that were not used for longest; with less than half of it, none
    /// is started either.
    #[arg(long, value_name = "SIZE", env = "LAMBD_MIN_FREE_MEMORY", value_parser = memory)]
    min_free_memory: Option<u64>,

    /// Interpreters that are started ahead of demand, for functions that get an instance soon, at most; 0: none
    ///
    /// As many wait of each kind (Python 3.12, Node.js 22, ...) as were needed in the last seconds, one at least for ten
    /// minutes, none when memory is short.
    #[arg(long, value_name = "NUMBER", env = "LAMBD_STARTED_AHEAD", default_value_t = 4, value_parser = value_parser!(u32).range(..=1000))]
    started_ahead: u32,

    /// How long an instance may be without an event until it is ended
    #[arg(long, value_name = "TIME", env = "LAMBD_IDLE_TIMEOUT", default_value = "10m", value_parser = time)]
    idle_timeout: Duration,

    /// How long an instance is used until another takes its place, or never; provisioned ones too
    #[arg(long, value_name = "TIME", env = "LAMBD_RECYCLE_AFTER", default_value = "2h", value_parser = age)]
    recycle_after: Age,
}

/// A number, or `off`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Requests(Option<u32>);

/// A time, or `never`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Age(Option<Duration>);

impl InstanceFlags {
    /// How the daemon runs, in development or not.
    pub(crate) fn limits(&self, dev: bool) -> InstanceLimits {
        let (scaling, requests) = match dev {
            true => (ScalingRule::Off, None),
            false => (ScalingRule::default(), Some(limits::REQUESTS_PER_EXECUTION)),
        };
        InstanceLimits {
            scaling: self.scaling.unwrap_or(scaling),
            requests_per_execution: self.requests_per_execution.map_or(requests, |given| given.0),
            max_instances: self.max_instances.map(|n| n as usize),
            max_instances_per_function: self.max_instances_per_function.map(|n| n as usize),
            wait_for_room: self.wait_for_room,
            min_free_memory: self.min_free_memory,
            started_ahead: self.started_ahead as usize,
            idle_timeout: self.idle_timeout,
            recycle_after: self.recycle_after.0,
        }
    }
}

fn number(text: &str) -> Result<u32, &'static str> {
    text.parse().ok().filter(|n| (1..=1_000_000).contains(n)).ok_or("a number from 1 to 1000000")
}

fn requests(text: &str) -> Result<Requests, &'static str> {
    if text == "off" {
        return Ok(Requests(None));
    }
    number(text).map(|n| Requests(Some(n))).map_err(|_| "off, or a number from 1 to 1000000")
}

fn memory(text: &str) -> Result<u64, String> {
    if text == "off" { Ok(0) } else { total_size(text) }
}

fn time(text: &str) -> Result<Duration, &'static str> {
    match duration(text)? {
        Duration::ZERO => Err("at least a second"),
        time => Ok(time),
    }
}

fn age(text: &str) -> Result<Age, &'static str> {
    if text == "never" { Ok(Age(None)) } else { time(text).map(|time| Age(Some(time))) }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::args::{Cli, Command};

    fn limits_of(line: &str) -> InstanceLimits {
        match Cli::try_parse_from(line.split(' ')).unwrap().command {
            Command::Serve(flags) => flags.for_serve().instances,
            Command::Dev(args) => args.serve.for_dev(std::path::Path::new("/x")).instances,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_service_s_limits_are_off_in_development() {
        let serve = limits_of("lambd serve");
        assert_eq!((serve.scaling, serve.requests_per_execution), (ScalingRule::REGION, Some(10)));
        let dev = limits_of("lambd dev .");
        assert_eq!((dev.scaling, dev.requests_per_execution), (ScalingRule::Off, None));
        let dev = limits_of("lambd dev . --scaling function --requests-per-execution 5");
        assert_eq!((dev.scaling, dev.requests_per_execution), (ScalingRule::FUNCTION, Some(5)));
    }

    #[test]
    fn numbers_sizes_and_times_are_checked() {
        let line = "lambd serve --scaling off --requests-per-execution off --max-instances 7 --max-instances-per-function 3 --wait-for-room 0s \
                    --min-free-memory 1GB --started-ahead 0 --idle-timeout 1s --recycle-after never";
        let expected = InstanceLimits {
            scaling: ScalingRule::Off,
            requests_per_execution: None,
            max_instances: Some(7),
            max_instances_per_function: Some(3),
            wait_for_room: Duration::ZERO,
            min_free_memory: Some(1 << 30),
            started_ahead: 0,
            idle_timeout: Duration::from_secs(1),
            recycle_after: None,
        };
        let line = line.split_whitespace().collect::<Vec<_>>().join(" ");
        assert_eq!(limits_of(&line), expected);
        assert_eq!(limits_of("lambd serve --min-free-memory off").min_free_memory, Some(0));
        assert_eq!(limits_of("lambd serve").recycle_after, Some(Duration::from_secs(7200)));
        for bad in [
            "--scaling=fast",
            "--requests-per-execution=0",
            "--max-instances=0",
            "--min-free-memory=much",
            "--started-ahead=1001",
            "--idle-timeout=0s",
            "--recycle-after=0h",
        ] {
            assert!(Cli::try_parse_from(["lambd", "serve", bad]).is_err(), "{bad}");
        }
    }
}
