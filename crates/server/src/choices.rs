//! What was chosen on the command line, as the parts of the daemon understand it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use lambd_cli::{CpuShare, EventChoices, RuntimeDeprecation, ServeArgs, StartError};
use lambd_control::ControlOptions;
use lambd_invoke::{InvokeOptions, RetryPolicy};
use lambd_outbound::lambda::Functions;
use lambd_outbound::s3::Objects;
use lambd_outbound::{Client, Credentials, Endpoint};
use lambd_runtime::Debuggers;
use lambd_sandbox::{CpuLimits, Isolation, NatOptions, ScratchOptions, SpawnerOptions};
use lambd_store::packages::UnpackLimits;
use lambd_topic::Destinations;
use lambd_types::{EphemeralStorage, FunctionName, NetworkRules};
use tokio::sync::SetOnce;

use crate::assembly::part;
use crate::shared::Shared;
use crate::wiring;

/// How long instances stay without an event where functions are debugged: nobody wants to attach again after lunch.
const DEBUGGED_IDLE: Duration = Duration::from_secs(8 * 3600);

/// How sandboxes are made; `shared` is the directory that functions see.
pub(crate) fn spawner(
    args: &ServeArgs,
    isolation: &Isolation,
    data: &Path,
    shared: &Path,
    nat: Option<NatOptions>,
) -> SpawnerOptions {
    SpawnerOptions {
        isolation: isolation.clone(),
        tmp_parent: Some(shared.join("tmp")),
        cpu: match args.cpu {
            CpuShare::Proportional => CpuLimits::Proportional,
            CpuShare::Unlimited => CpuLimits::Unlimited,
        },
        listeners: wiring::sandboxes::listeners(),
        started_ahead: args.instances.started_ahead,
        nat,
        scratch: ScratchOptions {
            directory: Some(scratch_directory(data)),
            usual_bytes: EphemeralStorage::default().bytes(),
        },
        ..SpawnerOptions::default()
    }
}

/// The rules of functions.
pub(crate) fn control(
    args: &ServeArgs,
    objects: Option<Objects>,
    objects_credentials: Option<Credentials>,
    network: Arc<SetOnce<NetworkRules>>,
) -> ControlOptions {
    ControlOptions {
        objects,
        objects_credentials,
        network,
        runtime_deprecation: match args.runtime_deprecation {
            RuntimeDeprecation::Off => lambd_control::RuntimeDeprecation::Off,
            RuntimeDeprecation::Warn => lambd_control::RuntimeDeprecation::Warn,
            RuntimeDeprecation::Enforce => lambd_control::RuntimeDeprecation::Enforce,
        },
        unpack: UnpackLimits { bytes: args.limits.code_size_unzipped, ..UnpackLimits::default() },
        code_size_zipped: args.limits.code_size_zipped,
        total_code_size: args.limits.total_code_size,
        concurrent_executions: args.limits.concurrent_executions,
    }
}

/// How functions are invoked, on a machine with so much memory in bytes.
pub(crate) fn invoke(args: &ServeArgs, one_at_a_time: Vec<FunctionName>, memory: u64) -> InvokeOptions {
    // Who is being debugged stays.
    let (idle_timeout, recycle_after) = match one_at_a_time.is_empty() {
        true => (args.instances.idle_timeout, args.instances.recycle_after),
        false => (DEBUGGED_IDLE, None),
    };
    InvokeOptions {
        concurrent_executions: args.limits.concurrent_executions,
        requests_per_execution: args.instances.requests_per_execution,
        scaling: args.instances.scaling,
        memory,
        max_instances: args.instances.max_instances,
        max_instances_per_function: args.instances.max_instances_per_function,
        wait_for_room: args.instances.wait_for_room,
        min_free_memory: args.instances.min_free_memory,
        idle_timeout,
        recycle_after,
        one_at_a_time,
        retry: retry_policy(&args.events),
        delivery_age: millis(args.events.max_age),
        ..InvokeOptions::default()
    }
}

fn retry_policy(events: &EventChoices) -> RetryPolicy {
    RetryPolicy {
        after_function_error: events.retry_delays.iter().copied().map(millis).collect(),
        backoff_first: millis(events.backoff),
        backoff_max: millis(events.backoff_max),
        max_age: millis(events.max_age),
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// Listens for those who debug functions.
pub(crate) async fn debuggers(
    functions: Vec<(FunctionName, SocketAddr)>,
    level: &Isolation,
) -> Result<Debuggers, StartError> {
    if matches!(level, Isolation::Process) && !functions.is_empty() {
        return Err(StartError::DebugLevel { level: level.to_string() });
    }
    let listening = Debuggers::listen(functions).await;
    listening.map_err(|(address, source)| StartError::DebugPort { address, source })
}

/// Where `/tmp` of functions is, if it can be on disk.
pub(crate) fn scratch_directory(data: &Path) -> PathBuf {
    data.join("scratch")
}

/// The directory that functions see, if it is not the data directory.
pub(crate) fn beside(isolation: &Isolation, data: &Path) -> Result<Option<Shared>, StartError> {
    if !isolation.separates_users() {
        return Ok(None);
    }
    let made = Shared::beside(data);
    made.map(Some).map_err(|(path, source)| StartError::DataUnusable { path, source })
}

/// Where code in S3 is.
pub(crate) fn objects(endpoint: Option<String>) -> Result<Option<Objects>, StartError> {
    let endpoint = endpoint.map(|url| url.parse()).transpose().map_err(part)?;
    Ok(endpoint.map(|endpoint| Objects::new(Client::default(), endpoint)))
}

/// Where messages of topics go: to lambd's own services, as the account that each belongs to, or to queues elsewhere.
pub(crate) fn topic_destinations(own: SocketAddr, sqs: Option<String>) -> Result<Destinations, StartError> {
    let loopback = match own {
        SocketAddr::V4(_) => IpAddr::from(Ipv4Addr::LOCALHOST),
        SocketAddr::V6(_) => IpAddr::from(Ipv6Addr::LOCALHOST),
    };
    let host = if own.ip().is_unspecified() { loopback } else { own.ip() };
    let here: Endpoint = format!("http://{}", SocketAddr::new(host, own.port())).parse().map_err(part)?;
    let client = Client::default();
    let elsewhere = sqs.map(|url| url.parse()).transpose().map_err(part)?;
    let credentials = elsewhere.as_ref().and_then(|_| Credentials::from_env(|name| std::env::var(name).ok()));
    let queues = lambd_outbound::sqs::Queues::new(
        client.clone(),
        elsewhere.unwrap_or_else(|| here.clone()),
        credentials,
    );
    Ok(Destinations { queues, functions: Functions::new(client.clone(), here, None), client })
}
