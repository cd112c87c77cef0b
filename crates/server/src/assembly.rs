//! Building the daemon: each part from its options and handles to earlier parts, serving last.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use lambd_cli::{
    BoxFuture, CpuShare, Daemon, EventChoices, RunningDaemon, RuntimeDeprecation, ServeArgs, StartError,
};
use lambd_control::{Control, ControlOptions, DownloadService, LambdaService};
use lambd_http::{AwsService, BoundListener, CallerDefaults, ListenError, Router, Server};
use lambd_identity::{IamService, StsService};
use lambd_invoke::ports::Memory as _;
use lambd_invoke::{AsyncParts, AsyncQueue, Counters, InvokeOptions, Invoker, RetryPolicy};
use lambd_observe::{Observe, ObserveHandle, Traces};
use lambd_outbound::lambda::Functions;
use lambd_outbound::s3::Objects;
use lambd_outbound::{Client, Credentials, Endpoint};
use lambd_queue::{QueueHandle, QueueOptions, Queues};
use lambd_runtime::{Bootstraps, Catalogue, Debuggers, Instances, InstancesOptions, LiveCatalogue};
use lambd_sandbox::{
    Base, BaseRoot, CpuLimits, Isolation, MachineMemory, ScratchOptions, Spawner, SpawnerOptions,
};
use lambd_scaling::{Scaling, ScalingHandle};
use lambd_store::packages::UnpackLimits;
use lambd_store::{DataDir, DataDirError, Store};
use lambd_toolchains::Toolchains;
use lambd_topic::{Destinations, TopicsHandle};
use lambd_types::{Clock, EphemeralStorage, FunctionName, NetworkPolicy, SystemClock, limits};
use tokio::sync::oneshot;
use tokio::task::{AbortHandle, JoinHandle};

use crate::clock::{ChosenClock, ClockService};
use crate::events::EventsService;
use crate::health::HealthService;
use crate::instances::InstancesService;
use crate::runtimes::{self, Others};
use crate::shared::Shared;
use crate::{isolation, network, toolchains, wiring};

/// How long requests in flight may take when the daemon is told to stop.
const GRACE: Duration = Duration::from_secs(30);

/// Empty sandboxes kept ready: enough that a few functions called at once find one, few enough to cost
/// nothing while nobody calls. A connected one has a process of some twenty megabytes.
fn prepared_sandboxes(policy: NetworkPolicy) -> usize {
    match policy {
        NetworkPolicy::None | NetworkPolicy::Host => 4,
        NetworkPolicy::Nat => 2,
    }
}

/// How long instances stay without an event where functions are debugged: nobody wants to attach again after lunch.
const DEBUGGED_IDLE: Duration = Duration::from_secs(8 * 3600);

/// Starts daemons.
pub(crate) struct Assembly;

impl Daemon for Assembly {
    fn start(&self, args: ServeArgs) -> BoxFuture<'_, Result<RunningDaemon, StartError>> {
        Box::pin(start(args))
    }
}

async fn start(args: ServeArgs) -> Result<RunningDaemon, StartError> {
    // What can be in somebody else's hands comes first: the port and the data directory.
    let listener = BoundListener::bind(args.listen).await.map_err(listen_error)?;
    let endpoint = listener.local_addr().map_err(part)?;
    let dir = DataDir::open(&args.data).map_err(data_error)?;
    let data = dir.path().to_owned();

    let isolation = isolation::choose(&args.isolation)?;
    runtimes::check_level(&args.runtime_roots, &isolation)?;
    let debuggers = debuggers(args.debug, &isolation).await?;
    let beside = beside(&isolation, &data)?;
    let shared = beside.as_ref().map_or(data.as_path(), Shared::path).to_path_buf();
    let nat = network::nat(&isolation, args.denied_networks);
    let options = SpawnerOptions {
        isolation: isolation.clone(),
        tmp_parent: Some(shared.join("tmp")),
        cpu: match args.cpu {
            CpuShare::Proportional => CpuLimits::Proportional,
            CpuShare::Unlimited => CpuLimits::Unlimited,
        },
        listeners: wiring::sandboxes::listeners(),
        started_ahead: args.instances.started_ahead,
        nat: nat.as_ref().ok().cloned(),
        scratch: ScratchOptions {
            directory: Some(scratch_directory(&data)),
            usual_bytes: EphemeralStorage::default().bytes(),
        },
        ..SpawnerOptions::default()
    };
    let spawner = Spawner::start(options).map_err(part)?;

    let bootstraps = Bootstraps::install(&shared.join("runtime"))
        .map_err(|source| StartError::DataUnusable { path: shared.clone(), source })?;
    let sandboxes = Arc::new(wiring::sandboxes::Sandboxes(spawner.clone()));
    let mut chosen = args.runtime_roots;
    let toolchains = Toolchains::at(&args.toolchains);
    if isolation.has_root_of_its_own() {
        chosen.extend(toolchains::roots(&toolchains.list(), &chosen));
    }
    let roots = runtimes::roots(chosen, &data, Others::Remove, &*sandboxes).await?;
    let substitution = runtimes::substitution(&args.runtime_substitution);
    let substitutions = runtimes::substitutions(&args.runtime_substitution)?;
    let interpreters = Arc::new(isolation::Interpreters::of(&isolation));
    let connected = async {
        nat?;
        network::try_nat(&spawner).await
    };
    let (store, catalogue, connected) = tokio::join!(
        Store::open(dir.sharing(shared.clone())),
        Catalogue::discover(substitution, bootstraps, |found| interpreters.are_usable(found)),
        connected
    );
    let network = network::choose(args.network, args.allow_host_network, connected)?;
    let default_network = network.rules.default_policy();
    let base = Base { network: network::of_sandbox(default_network), root: BaseRoot::Host };
    spawner.keep_ready(base, prepared_sandboxes(default_network));
    let store = Arc::new(store.map_err(part)?);
    store.collect_packages().await.map_err(part)?;
    let catalogue = catalogue.with_roots(roots).with_substitutions(substitutions);
    let java = args.java_runtime_client.as_deref();
    let live = toolchains::Live::new(
        &args.toolchains,
        java,
        interpreters.clone(),
        beside.as_ref().map(Shared::path),
    );
    let live = Arc::new(LiveCatalogue::new(catalogue.clone(), Arc::new(live)));
    let runtimes = runtimes::available(&live.current());
    interpreters.tell_unusable();
    catalogue.install().map_err(|source| StartError::DataUnusable { path: shared.clone(), source })?;
    let (prepared, tried) = (live.current(), sandboxes.clone());
    tokio::spawn(async move { prepared.prepare(&*tried).await });

    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let (log_writer, logs_service, observe) = Observe::start(store.clone(), clock.clone());
    let traces = Traces::start(args.xray_daemon).await.map_err(part)?;
    let objects = objects(args.s3_endpoint)?;
    let credentials = Credentials::from_env(|name| std::env::var(name).ok());
    let outcomes = wiring::destinations::OutboundDestinations::new(
        endpoint,
        wiring::destinations::Elsewhere {
            sqs: args.events.sqs_endpoint.clone(),
            sns: args.events.sns_endpoint.clone(),
            eventbridge: args.events.eventbridge_endpoint.clone(),
            objects: objects.clone(),
        },
        credentials.clone(),
        clock.clone(),
    )
    .map_err(part)?;
    let options = ControlOptions {
        objects,
        objects_credentials: credentials,
        network: network.rules.clone(),
        runtime_deprecation: match args.runtime_deprecation {
            RuntimeDeprecation::Off => lambd_control::RuntimeDeprecation::Off,
            RuntimeDeprecation::Warn => lambd_control::RuntimeDeprecation::Warn,
            RuntimeDeprecation::Enforce => lambd_control::RuntimeDeprecation::Enforce,
        },
        unpack: UnpackLimits { bytes: args.limits.code_size_unzipped, ..UnpackLimits::default() },
        code_size_zipped: args.limits.code_size_zipped,
        total_code_size: args.limits.total_code_size,
        concurrent_executions: args.limits.concurrent_executions,
    };
    let control = Control::new(store.clone(), clock.clone(), options);

    let waiting_clock = ChosenClock::new(args.clock);
    let (counters, queue_shown) = (Arc::new(Counters::default()), Arc::new(OnceLock::new()));
    let capacities = Arc::new(wiring::capacities::ProvisionedCapacities::new(control.clone()));
    let scaling = Scaling::new(store.clone(), waiting_clock.shared(), capacities.clone());
    let (queue_service, queues) =
        Queues::start(store.clone(), waiting_clock.shared(), QueueOptions::default()).await.map_err(part)?;
    let destinations = topic_destinations(endpoint, args.events.sqs_endpoint.clone())?;
    let (topic_service, topics) =
        lambd_topic::start(store.clone(), waiting_clock.shared(), destinations, endpoint);
    let instances_service = Arc::<InstancesService>::default();
    let services: Vec<Arc<dyn AwsService>> = vec![
        Arc::new(LambdaService::new(control.clone())),
        logs_service,
        Arc::new(IamService::new(store.clone(), clock.clone())),
        Arc::new(StsService::new()),
        scaling.service(),
        queue_service,
        topic_service,
        Arc::new(DownloadService::new(control.clone())),
        Arc::new(HealthService { catalogue: live.clone() }),
        instances_service.clone(),
        Arc::new(ClockService(waiting_clock.clone())),
        Arc::new(EventsService { queue: queue_shown.clone(), counters: counters.clone() }),
    ];
    let defaults = CallerDefaults { account: args.account, region: args.region, confined: false };
    let server = Server::new(Router::new(services), defaults);

    let one_at_a_time: Vec<FunctionName> = debuggers.functions().cloned().collect();
    let instances = Instances::new(InstancesOptions {
        sandboxes,
        logs: Arc::new(wiring::logs::Logs(log_writer.clone())),
        endpoint: Arc::new(wiring::endpoint::Endpoint(server.clone())),
        traces: Arc::new(wiring::traces::SegmentTraces(traces.clone())),
        network: network.rules,
        catalogue: live,
        debuggers,
        clock: clock.clone(),
        init_limit: Duration::from_secs(limits::INIT_SECONDS),
        shutdown_grace: Duration::from_millis(limits::SHUTDOWN_MILLIS),
        streamed_response: args.limits.streamed_response,
    });
    let memory = Arc::new(wiring::memory::SandboxMemory(MachineMemory::find()));
    // Who is being debugged stays.
    let (idle_timeout, recycle_after) = match one_at_a_time.is_empty() {
        true => (args.instances.idle_timeout, args.instances.recycle_after),
        false => (DEBUGGED_IDLE, None),
    };
    let options = InvokeOptions {
        concurrent_executions: args.limits.concurrent_executions,
        requests_per_execution: args.instances.requests_per_execution,
        scaling: args.instances.scaling,
        memory: memory.read().map_or(0, |now| now.total),
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
    };
    let invoker = Invoker::start(Arc::new(wiring::instances::RuntimeInstances(instances)), &options);
    let _ = instances_service.sources.set((invoker.clone(), spawner.clone()));
    if args.instances.min_free_memory != Some(0) {
        invoker.watch_memory(memory);
    }
    tracing::info!(
        instances = options.instances(),
        scaling = %options.scaling,
        "at most so many instances at a time"
    );
    for (scope, name, reserved) in store.reservations().await.map_err(part)? {
        invoker.reserve(&scope, &name, Some(reserved.0 as usize));
    }
    let queue = AsyncParts {
        store: Arc::new(wiring::events::StoredEvents { store: store.clone(), logs: log_writer.clone() }),
        functions: Arc::new(wiring::events::ControlFunctions(control.clone())),
        invoker: invoker.clone(),
        destinations: Arc::new(outcomes),
        metrics: counters,
        clock: waiting_clock.shared(),
    };
    let queue = Arc::new(AsyncQueue::start(queue, options).await.map_err(part)?);
    let _ = queue_shown.set(queue.clone());
    control.attach(Arc::new(wiring::engine::InvokeEngine { invoker: invoker.clone(), queue: queue.clone() }));

    control.provision_all().await.map_err(part)?;
    capacities.attach(invoker.clone());
    let scaling = scaling.start();
    let left = control.resume().await.map_err(part)?;
    if left > 0 {
        tracing::info!(versions = left, "going on with what was left to do");
    }

    topics.resume().await.map_err(part)?;
    let (stop_serving, stopped) = oneshot::channel::<()>();
    let stopped = async move {
        let _ = stopped.await;
    };
    let serving = tokio::spawn(server.run(listener, stopped, GRACE));
    spawner.decided().await;
    let in_force = isolation::describe(&isolation, &spawner.limits());
    let watch = tokio::spawn(end_with(spawner.clone())).abort_handle();
    let parts = Parts {
        stop_serving,
        serving,
        queue,
        scaling,
        queues,
        topics,
        invoker,
        observe,
        traces,
        spawner,
        watch,
        store,
        beside,
    };
    Ok(RunningDaemon {
        endpoint,
        isolation: in_force,
        network: network.description,
        runtimes,
        data,
        stop: Box::new(move || Box::pin(parts.stop())),
    })
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
async fn debuggers(
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
fn beside(isolation: &Isolation, data: &Path) -> Result<Option<Shared>, StartError> {
    if !isolation.separates_users() {
        return Ok(None);
    }
    let made = Shared::beside(data);
    made.map(Some).map_err(|(path, source)| StartError::DataUnusable { path, source })
}

/// Where code in S3 is.
fn objects(endpoint: Option<String>) -> Result<Option<Objects>, StartError> {
    let endpoint = endpoint.map(|url| url.parse()).transpose().map_err(part)?;
    Ok(endpoint.map(|endpoint| Objects::new(Client::default(), endpoint)))
}

/// Where messages of topics go: to lambd's own services, as the account that each belongs to, or to queues elsewhere.
fn topic_destinations(own: SocketAddr, sqs: Option<String>) -> Result<Destinations, StartError> {
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

/// A daemon that can start no function any more is of no use, and whoever supervises it should know.
async fn end_with(spawner: Spawner) {
    spawner.ended().await;
    tracing::error!("lambd-spawner was killed, and all functions with it; start lambd again");
    std::process::exit(1);
}

/// What must be ended in order.
struct Parts {
    stop_serving: oneshot::Sender<()>,
    serving: JoinHandle<()>,
    queue: Arc<AsyncQueue>,
    scaling: ScalingHandle,
    queues: QueueHandle,
    topics: TopicsHandle,
    invoker: Invoker,
    observe: ObserveHandle,
    traces: Traces,
    spawner: Spawner,
    watch: AbortHandle,
    store: Arc<Store>,
    beside: Option<Shared>,
}

impl Parts {
    async fn stop(self) {
        let _ = self.stop_serving.send(());
        self.queues.end_waits();
        let (served, (), ()) = tokio::join!(self.serving, self.queue.stop(GRACE), self.topics.shutdown());
        if let Err(error) = served {
            tracing::error!(%error, "the listener failed");
        }
        self.scaling.shutdown().await;
        self.invoker.shutdown().await;
        self.watch.abort();
        // The last instances go with the spawner, and their last lines into the log.
        self.spawner.shutdown().await;
        if self.traces.segments() > 0 {
            tracing::info!(segments = self.traces.segments(), "trace segments came from functions");
        }
        self.observe.shutdown().await;
        self.queues.shutdown().await;
        self.store.close().await;
        if let Some(beside) = &self.beside
            && let Err(error) = lambd_sandbox::remove_tree(beside.path())
        {
            tracing::warn!(directory = %beside.path().display(), %error, "cannot remove");
        }
    }
}

fn listen_error(error: ListenError) -> StartError {
    match error.source.kind() {
        std::io::ErrorKind::AddrInUse => StartError::PortInUse(error.address),
        _ => StartError::Listen { address: error.address, source: error.source },
    }
}

fn data_error(error: DataDirError) -> StartError {
    match error {
        DataDirError::NotWritable { path, source } => StartError::DataUnusable { path, source },
        DataDirError::Locked { path, pid } => StartError::DataLocked { path, pid },
    }
}

fn part(error: impl std::error::Error + Send + Sync + 'static) -> StartError {
    StartError::Part(Box::new(error))
}
