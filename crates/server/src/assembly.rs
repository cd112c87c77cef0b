//! Building the daemon: each part from its options and handles to earlier parts, serving last.

use std::mem::take;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use lambd_cli::{BoxFuture, Daemon, NetworkChoice, RunningDaemon, ServeArgs, StartError};
use lambd_control::{Control, DownloadService, LambdaService};
use lambd_http::{AwsService, BoundListener, CallerDefaults, ListenError, Router, Server};
use lambd_identity::{IamService, StsService};
use lambd_invoke::ports::Memory as _;
use lambd_invoke::{AsyncParts, AsyncQueue, Counters, Invoker};
use lambd_observe::{Observe, Traces};
use lambd_outbound::Credentials;
use lambd_queue::{QueueOptions, Queues};
use lambd_runtime::{Bootstraps, Catalogue, Instances, InstancesOptions};
use lambd_sandbox::{MachineMemory, Spawner};
use lambd_scaling::Scaling;
use lambd_store::{DataDir, DataDirError, Store};
use lambd_toolchains::Toolchains;
use lambd_types::{Clock, FunctionName, NetworkPolicy, SystemClock, limits};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::clock::{ChosenClock, ClockService};
use crate::events::EventsService;
use crate::health::HealthService;
use crate::instances::InstancesService;
use crate::machine::{Found, Machine, Trial};
use crate::parts::{self, GRACE, Parts};
use crate::runtimes::{self, Others};
use crate::shared::Shared;
use crate::{choices, isolation, network, toolchains, wiring};

/// Starts daemons.
pub(crate) struct Assembly;

impl Daemon for Assembly {
    fn start(&self, args: ServeArgs) -> BoxFuture<'_, Result<RunningDaemon, StartError>> {
        Box::pin(start(args))
    }
}

async fn start(mut args: ServeArgs) -> Result<RunningDaemon, StartError> {
    // What can be in somebody else's hands comes first: the port and the data directory.
    let listener = BoundListener::bind(args.listen).await.map_err(listen_error)?;
    let endpoint = listener.local_addr().map_err(part)?;
    let dir = DataDir::open(&args.data).map_err(data_error)?;
    let data = dir.path().to_owned();

    let isolation = isolation::choose(&args.isolation)?;
    runtimes::check_level(&args.runtime_roots, &isolation)?;
    let debuggers = choices::debuggers(take(&mut args.debug), &isolation).await?;
    let beside = choices::beside(&isolation, &data)?;
    let shared = beside.as_ref().map_or(data.as_path(), Shared::path).to_path_buf();
    let nat = network::nat(&isolation, take(&mut args.denied_networks));
    // The disk is waited for while processes are started.
    let store = tokio::spawn(Store::open(dir.sharing(shared.clone())));
    let place = shared.join("runtime");
    let bootstraps = tokio::task::spawn_blocking(move || Bootstraps::install(&place));
    let options = choices::spawner(&args, &isolation, &data, &shared, nat.as_ref().ok().cloned());
    let spawner = Spawner::start(options).map_err(part)?;
    let sandboxes = Arc::new(wiring::sandboxes::Sandboxes(spawner.clone()));
    let nat = match (nat, args.network) {
        (Err(obstacle), _) => Trial::Made(Err(obstacle)),
        // Without it there is no daemon.
        (Ok(_), NetworkChoice::Only(NetworkPolicy::Nat)) => Trial::Made(network::try_nat(&spawner).await),
        (Ok(_), _) => Trial::Due,
    };
    if let Trial::Made(nat) = &nat {
        network::demand(args.network, nat)?;
    }
    let mut chosen = take(&mut args.runtime_roots);
    let toolchains = Toolchains::at(&args.toolchains);
    if isolation.has_root_of_its_own() {
        chosen.extend(toolchains::roots(&toolchains.list(), &chosen));
    }
    let roots = runtimes::roots(chosen, &data, Others::Remove, &*sandboxes).await?;
    let catalogue = join(bootstraps).await.map_err(|source| unusable(&shared, source))?;
    let substitution = runtimes::substitution(&args.runtime_substitution);
    let catalogue = Catalogue::new(Vec::new(), substitution, catalogue)
        .with_roots(roots)
        .with_substitutions(runtimes::substitutions(&args.runtime_substitution)?);
    catalogue.install().map_err(|source| unusable(&shared, source))?;
    let store = Arc::new(join(store).await.map_err(part)?);
    store.collect_packages().await.map_err(part)?;

    let found = Found::default();
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let (log_writer, logs_service, observe) = Observe::start(store.clone(), clock.clone());
    let traces = Traces::start(args.xray_daemon).await.map_err(part)?;
    let objects = choices::objects(take(&mut args.s3_endpoint))?;
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
    let options = choices::control(&args, objects, credentials, found.rules.clone());
    let control = Control::new(store.clone(), clock.clone(), options);

    let waiting_clock = ChosenClock::new(args.clock);
    let (counters, queue_shown) = (Arc::new(Counters::default()), Arc::new(OnceLock::new()));
    let capacities = Arc::new(wiring::capacities::ProvisionedCapacities::new(control.clone()));
    let scaling = Scaling::new(store.clone(), waiting_clock.shared(), capacities.clone());
    let (queue_service, queues) =
        Queues::start(store.clone(), waiting_clock.shared(), QueueOptions::default()).await.map_err(part)?;
    let destinations = choices::topic_destinations(endpoint, args.events.sqs_endpoint.clone())?;
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
        Arc::new(HealthService { catalogue: found.catalogue.clone() }),
        instances_service.clone(),
        Arc::new(ClockService(waiting_clock.clone())),
        Arc::new(EventsService { queue: queue_shown.clone(), counters: counters.clone() }),
    ];
    let defaults =
        CallerDefaults { account: args.account.clone(), region: args.region.clone(), confined: false };
    let server = Server::new(Router::new(services), defaults);

    let one_at_a_time: Vec<FunctionName> = debuggers.functions().cloned().collect();
    let memory = Arc::new(wiring::memory::SandboxMemory(MachineMemory::find()));
    let options = choices::invoke(&args, one_at_a_time, memory.read().map_or(0, |now| now.total));
    let invoker = Invoker::start(Arc::new(found.instances.clone()), &options);
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
    let serving = tokio::spawn(server.clone().run(listener, stopped, GRACE));

    // Health, the API and whatever needs no instance is answered from here on; the rest waits for what follows.
    let machine = Machine { args: &args, isolation: &isolation, spawner: &spawner, nat };
    let told = machine.examine(catalogue, beside.as_ref().map(Shared::path), &found, |network, catalogue| {
        Instances::new(InstancesOptions {
            sandboxes: sandboxes.clone(),
            logs: Arc::new(wiring::logs::Logs(log_writer)),
            endpoint: Arc::new(wiring::endpoint::Endpoint(server)),
            traces: Arc::new(wiring::traces::SegmentTraces(traces.clone())),
            network,
            catalogue,
            debuggers,
            clock,
            init_limit: Duration::from_secs(limits::INIT_SECONDS),
            shutdown_grace: Duration::from_millis(limits::SHUTDOWN_MILLIS),
            streamed_response: args.limits.streamed_response,
        })
    });
    let told = told.await;
    let (prepared, tried) = (told.catalogue.current(), sandboxes.clone());
    tokio::spawn(async move { prepared.prepare(&*tried).await });
    let watch = tokio::spawn(parts::end_with(spawner.clone())).abort_handle();
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
        isolation: told.isolation,
        network: told.network,
        runtimes: runtimes::available(&told.catalogue.current()),
        data,
        stop: Box::new(move || Box::pin(parts.stop())),
    })
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

fn unusable(path: &Path, source: std::io::Error) -> StartError {
    StartError::DataUnusable { path: path.to_owned(), source }
}

/// The outcome of a task, which nobody ends.
async fn join<T>(task: JoinHandle<T>) -> T {
    match task.await {
        Ok(outcome) => outcome,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

pub(crate) fn part(error: impl std::error::Error + Send + Sync + 'static) -> StartError {
    StartError::Part(Box::new(error))
}
