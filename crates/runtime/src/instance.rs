//! One instance from its start to its end.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use lambd_types::invocation::{Event, FunctionError, LogType, Outcome};
use lambd_types::{Clock, FunctionSnapshot, NetworkRules, RequestId, UnixMillis, limits, random};
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::task::AbortHandle;
use tokio::time::Instant;

use crate::api::{self, Dispatch, Mailbox, Reply};
use crate::catalogue::{Catalogue, Unavailable};
use crate::environment::{self, TASK_ROOT};
use crate::error_document::ErrorDocument;
use crate::log::InstanceLog;
use crate::ports::{Blueprint, EndpointServer, Exit, LogSink, Sandbox, Sandboxes, SpawnError, Traces};
use crate::report::{self, Report, Status};

/// What instances are made of.
pub struct InstancesOptions {
    /// Makes sandboxes.
    pub sandboxes: Arc<dyn Sandboxes>,
    /// Keeps logs.
    pub logs: Arc<dyn LogSink>,
    /// The AWS endpoint for SDK calls from inside.
    pub endpoint: Arc<dyn EndpointServer>,
    /// What becomes of traces.
    pub traces: Arc<dyn Traces>,
    /// Which network functions see.
    pub network: NetworkRules,
    /// Managed runtimes.
    pub catalogue: Catalogue,
    /// Time of day.
    pub clock: Arc<dyn Clock>,
}

/// Starts instances.
pub struct Instances {
    options: InstancesOptions,
}

/// An instance could not be started; no event was lost, because none was taken.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StartError {
    /// This machine cannot run the function's runtime.
    #[error(transparent)]
    Runtime(#[from] Unavailable),
    /// The sandbox could not be made.
    #[error("cannot create an execution environment: {0}")]
    Sandbox(#[from] SpawnError),
    /// The function asks for a network that it may not have here, or no more.
    #[error("the function asks for a network that functions do not get here: {0}")]
    Network(String),
    /// The machine refused something on the way.
    #[error("cannot create an execution environment: {0}")]
    Machine(String),
}

/// The end of one event.
#[derive(Debug)]
pub struct Delivery {
    /// For the caller.
    pub outcome: Outcome,
    /// Whether the instance can take another event.
    pub reusable: bool,
}

impl Instances {
    /// A starter of instances.
    pub fn new(options: InstancesOptions) -> Self {
        Self { options }
    }

    /// The runtimes of this machine.
    pub fn catalogue(&self) -> &Catalogue {
        &self.options.catalogue
    }

    /// Starts an instance of `function`. It is initialising when this returns; the first event waits for
    /// that.
    pub async fn start(&self, function: Arc<FunctionSnapshot>) -> Result<Instance, StartError> {
        let o = &self.options;
        let plan = o.catalogue.plan(&function)?;
        let id = random::hex(&random::bytes::<16>());
        let stream_name = log_stream_name(o.clock.now(), &function, &id);
        let stream = o.logs.open(&function.key.scope, &function.log_group, &stream_name);
        let command = match plan.command {
            Ok(command) => command,
            // Creation succeeds, the invocation reports it (RT-45): an instance that ended at once.
            Err(reason) => return Ok(Instance::never_started(function, o.clock.clone(), stream, reason)),
        };
        let mut binds = vec![(function.code_dir.clone(), TASK_ROOT.into())];
        binds.extend(plan.binds);
        let started = Instant::now();
        let network = o.network.decide(function.network).map_err(|r| StartError::Network(r.to_owned()))?;
        let prepared = o.sandboxes.prepare(network).await?;
        let env = environment::variables(&function, &stream_name, &plan.env, &prepared.addresses());
        let mut sandbox = prepared
            .build(Blueprint {
                id,
                command,
                args: plan.args,
                env,
                cwd: TASK_ROOT.into(),
                binds,
                symlinks: plan.symlinks,
                memory_bytes: function.memory.bytes(),
                tmp_bytes: function.ephemeral_storage.bytes(),
            })
            .await?;
        let machine = |what: &str| StartError::Machine(what.to_owned());
        let output = sandbox.take_output().ok_or_else(|| machine("the sandbox has no output"))?;
        let log = InstanceLog::start(output, stream, o.clock.clone()).map_err(|e| machine(&e.to_string()))?;
        if let Some(notice) = plan.notice {
            log.platform(vec![notice]);
        }
        let listeners = sandbox.take_listeners().ok_or_else(|| machine("the sandbox has no listeners"))?;
        let runtime_api =
            TcpListener::from_std(listeners.runtime_api).map_err(|e| machine(&e.to_string()))?;
        let (mailbox, init) = Mailbox::new();
        let mailbox = Arc::new(mailbox);
        let server = tokio::spawn(api::serve(runtime_api, mailbox.clone())).abort_handle();
        let ended = Arc::new(AtomicBool::new(false));
        let watch = {
            let (exited, ended) = (sandbox.exited(), ended.clone());
            tokio::spawn(async move {
                exited.await;
                ended.store(true, Ordering::Release);
            })
            .abort_handle()
        };
        Ok(Instance {
            phase: Mutex::new(Phase::Initialising { init, started }),
            body: Body::Running(Box::new(Running {
                log,
                mailbox,
                sandbox,
                ended,
                activity: Mutex::new(Activity::Idle),
                tasks: [server, watch],
                _endpoint: o.endpoint.serve(listeners.aws, &function.key.scope),
                _traces: o.traces.serve(listeners.xray_udp, listeners.xray_tcp, &function.key),
            })),
            init_is_billed: plan.init_is_billed,
            function,
            clock: o.clock.clone(),
        })
    }
}

/// `YYYY/MM/DD/[version]32 hex digits` (LANG1-040).
fn log_stream_name(at: UnixMillis, function: &FunctionSnapshot, id: &str) -> String {
    let (year, month, day) = at.date();
    format!("{year:04}/{month:02}/{day:02}/[{}]{id}", function.key.version)
}

/// One execution environment of one function version. It takes one event at a time; dropping it ends
/// everything inside.
pub struct Instance {
    function: Arc<FunctionSnapshot>,
    clock: Arc<dyn Clock>,
    init_is_billed: bool,
    phase: Mutex<Phase>,
    body: Body,
}

enum Phase {
    /// The first event waits for this.
    Initialising {
        init: oneshot::Receiver<Result<(), Reply>>,
        started: Instant,
    },
    Ready,
}

enum Body {
    Running(Box<Running>),
    /// There was nothing to execute.
    NeverStarted {
        stream: Arc<dyn crate::ports::LogStream>,
        reason: String,
    },
}

struct Running {
    log: InstanceLog,
    mailbox: Arc<Mailbox>,
    sandbox: Box<dyn Sandbox>,
    ended: Arc<AtomicBool>,
    activity: Mutex<Activity>,
    tasks: [AbortHandle; 2],
    _endpoint: Box<dyn Send + Sync>,
    _traces: Box<dyn Send + Sync>,
}

/// What an instance is doing, so that it is never frozen while it has an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Activity {
    Busy,
    Idle,
    Frozen,
}

impl Running {
    fn activity(&self) -> MutexGuard<'_, Activity> {
        self.activity.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An event is coming: what is frozen goes on.
    fn wake(&self) -> std::io::Result<()> {
        match std::mem::replace(&mut *self.activity(), Activity::Busy) {
            Activity::Frozen => self.sandbox.thaw(),
            Activity::Busy | Activity::Idle => Ok(()),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.sandbox.kill();
        // The Runtime API is served until the last process is dead: one that saw its connection break
        // would still have the time to complain in the log.
        let (exited, tasks) = (self.sandbox.exited(), self.tasks.clone());
        let end = move || tasks.iter().for_each(AbortHandle::abort);
        match Handle::try_current() {
            Ok(runtime) => {
                runtime.spawn(async move {
                    exited.await;
                    end();
                });
            }
            // The event loop is gone, and every task with it.
            Err(_) => end(),
        }
    }
}

/// How an event, or the initialisation before it, ended.
enum Ending {
    Replied(Reply),
    Exited(Exit),
    TimedOut { after: Duration },
}

impl Instance {
    fn never_started(
        function: Arc<FunctionSnapshot>,
        clock: Arc<dyn Clock>,
        stream: Arc<dyn crate::ports::LogStream>,
        reason: String,
    ) -> Self {
        let body = Body::NeverStarted { stream, reason };
        Self { function, clock, init_is_billed: true, phase: Mutex::new(Phase::Ready), body }
    }

    /// The version it runs.
    pub fn function(&self) -> &Arc<FunctionSnapshot> {
        &self.function
    }

    /// Whether its process still runs.
    pub fn is_alive(&self) -> bool {
        match &self.body {
            Body::Running(running) => !running.ended.load(Ordering::Acquire),
            Body::NeverStarted { .. } => false,
        }
    }

    /// Stops an idle instance where it is until its next event (RT-28); background work stops with it.
    /// An instance that is busy, or still initialising, is left alone.
    pub fn freeze(&self) {
        let Body::Running(running) = &self.body else { return };
        let mut activity = running.activity();
        if *activity == Activity::Idle {
            match running.sandbox.freeze() {
                Ok(()) => *activity = Activity::Frozen,
                Err(error) => tracing::warn!(%error, "cannot freeze an idle instance"),
            }
        }
    }

    /// Hands an event to the function and waits for its end: a response, an error, a timeout or the end
    /// of the process.
    pub async fn deliver(&self, event: Event, log_type: LogType) -> Delivery {
        match &self.body {
            Body::NeverStarted { stream, reason } => {
                self.report_never_started(&event, stream, reason, log_type)
            }
            Body::Running(running) => {
                if let Err(error) = running.wake() {
                    // It stays where it is; the event then times out, and the instance is replaced.
                    tracing::error!(%error, "cannot thaw an instance");
                }
                let delivery = self.run(running, event, log_type).await;
                *running.activity() = Activity::Idle;
                delivery
            }
        }
    }

    async fn run(&self, running: &Running, event: Event, log_type: LogType) -> Delivery {
        let request_id = event.request_id.clone();
        let phase =
            std::mem::replace(&mut *self.phase.lock().unwrap_or_else(PoisonError::into_inner), Phase::Ready);
        let mut init_duration = None;
        if let Phase::Initialising { init, started } = phase {
            let ended = self.await_init(running, init, started).await;
            init_duration = Some(started.elapsed());
            if let Some(ending) = ended {
                running.log.begin(
                    report::start_line(&request_id, self.function.key.version),
                    log_type == LogType::Tail,
                );
                let delivery = self.conclude(running, &request_id, ending, Duration::ZERO, init_duration);
                // Its process will exit, or cannot be used by anybody.
                return Delivery { reusable: false, ..delivery };
            }
        }
        running
            .log
            .begin(report::start_line(&request_id, self.function.key.version), log_type == LogType::Tail);
        let began = Instant::now();
        let timeout = self.function.timeout.duration();
        let deadline = UnixMillis(self.clock.now().0 + timeout.as_millis() as i64);
        let reply = running.mailbox.post(Dispatch { event, deadline });
        let ending = tokio::select! {
            biased;
            Ok(reply) = reply => Ending::Replied(reply),
            exit = running.sandbox.exited() => Ending::Exited(exit),
            () = tokio::time::sleep(timeout) => Ending::TimedOut { after: timeout },
        };
        self.conclude(running, &request_id, ending, began.elapsed(), init_duration)
    }

    /// Waits for the end of the init phase; `None` when the runtime is ready.
    async fn await_init(
        &self,
        running: &Running,
        init: oneshot::Receiver<Result<(), Reply>>,
        started: Instant,
    ) -> Option<Ending> {
        // A function may ask for more time than the init phase has; it then gets its own timeout.
        let limit = self.function.timeout.duration().max(Duration::from_secs(limits::INIT_SECONDS));
        tokio::select! {
            biased;
            Ok(result) = init => result.err().map(Ending::Replied),
            exit = running.sandbox.exited() => Some(Ending::Exited(exit)),
            () = tokio::time::sleep_until(started + limit) => {
                // Told in terms of the function's timeout, as by the service.
                Some(Ending::TimedOut { after: self.function.timeout.duration() })
            }
        }
    }

    fn conclude(
        &self,
        running: &Running,
        request_id: &RequestId,
        ending: Ending,
        duration: Duration,
        init: Option<Duration>,
    ) -> Delivery {
        let mut lines = Vec::with_capacity(3);
        let mut reusable = true;
        let (payload, status) = match ending {
            Ending::Replied(Reply::Response(payload)) => (Ok(payload), Status::Ok),
            Ending::Replied(Reply::Error { document, error_type }) => {
                (Err(document), Status::Error(error_type))
            }
            Ending::Replied(Reply::TooLarge { size }) => {
                platform_error(ErrorDocument::response_too_large(size, api::RESPONSE_MAX))
            }
            Ending::TimedOut { after } => {
                reusable = false;
                running.sandbox.kill();
                lines.push(report::timeout_line(self.clock.now(), request_id, after.as_secs_f64()));
                let document = ErrorDocument::timed_out(request_id, after.as_secs_f64());
                (Err(document.to_bytes()), Status::Timeout)
            }
            Ending::Exited(exit) => {
                reusable = false;
                let document = ErrorDocument::ended(request_id, &exit);
                lines.push(format!("{}\n{}\n", document.message, document.error_type));
                platform_error(document)
            }
        };
        lines.push(report::end_line(request_id));
        let report = Report {
            request_id,
            duration,
            init,
            init_is_billed: self.init_is_billed,
            memory: self.function.memory,
            peak_bytes: running.sandbox.memory_peak_bytes().unwrap_or(0),
            status,
        };
        lines.push(report.line());
        let log_tail = running.log.finish(lines);
        Delivery { outcome: outcome(payload, log_tail), reusable }
    }

    fn report_never_started(
        &self,
        event: &Event,
        stream: &Arc<dyn crate::ports::LogStream>,
        reason: &str,
        log_type: LogType,
    ) -> Delivery {
        let id = &event.request_id;
        let document = ErrorDocument::invalid_entrypoint(id, reason);
        let report = Report {
            request_id: id,
            duration: Duration::ZERO,
            init: None,
            init_is_billed: false,
            memory: self.function.memory,
            peak_bytes: 0,
            status: Status::Error(document.error_type.clone()),
        };
        let lines = [
            report::start_line(id, self.function.key.version),
            format!("{}\n", document.message),
            format!("{}\n", document.error_type),
            report::end_line(id),
            report.line(),
        ];
        let log_tail = (log_type == LogType::Tail).then(|| Bytes::from(lines.concat()));
        let timestamp = self.clock.now();
        let events =
            lines.into_iter().map(|message| lambd_types::invocation::LogEvent { timestamp, message });
        stream.append(events.collect());
        Delivery { outcome: outcome(Err(document.to_bytes()), log_tail), reusable: false }
    }
}

fn platform_error(document: ErrorDocument) -> (Result<Bytes, Bytes>, Status) {
    (Err(document.to_bytes()), Status::Error(document.error_type))
}

fn outcome(payload: Result<Bytes, Bytes>, log_tail: Option<Bytes>) -> Outcome {
    match payload {
        Ok(payload) => Outcome { payload, error: None, log_tail },
        Err(payload) => Outcome { payload, error: Some(FunctionError::Unhandled), log_tail },
    }
}
