//! One instance from its start to its end.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use lambd_types::invocation::{Event, FunctionError, InitializationType, LogType, Outcome, Wants};
use lambd_types::streaming::ResponseSink;
use lambd_types::{Clock, FunctionSnapshot, NetworkRules, RequestId, UnixMillis, limits, random};
use tokio::time::Instant;

use crate::ahead;
use crate::api::{Dispatch, Reply};
use crate::catalogue::{LaunchPlan, LiveCatalogue, Unavailable};
use crate::debugging::Debuggers;
use crate::error_document::{ErrorDocument, exit_type, shown_type};
use crate::extensions::{self, ShutdownReason};
use crate::images::Images;
use crate::layout;
use crate::log::InstanceLog;
use crate::log_filter::LogFilter;
use crate::ports::{Base, EndpointServer, LogSink, Sandboxes, SpawnError, Traces};
use crate::report::{Beginning, InitPhase, PlatformEvent, Report, Status};
use crate::running::{Design, Ending, Running};
use crate::telemetry::Telemetry;

/// How long an answer waits for the processes of a timed-out event to be dead. They are killed all the
/// same; with many processes or much memory that takes the kernel longer.
const DEATH_AFTER_TIMEOUT: Duration = Duration::from_millis(10);

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
    pub catalogue: Arc<LiveCatalogue>,
    /// Functions that run under a debugger.
    pub debuggers: Debuggers,
    /// Time of day.
    pub clock: Arc<dyn Clock>,
    /// How long an instance may initialise before that is cut off and repeated inside its first event.
    /// [`lambd_types::limits::INIT_SECONDS`] is the service's.
    pub init_limit: Duration,
    /// How long a process may take to end by itself when its instance is retired.
    /// [`lambd_types::limits::SHUTDOWN_MILLIS`] is the default.
    pub shutdown_grace: Duration,
    /// Bytes of a response that is streamed; [`lambd_types::limits::STREAMED_RESPONSE`] is the service's.
    pub streamed_response: u64,
}

/// Starts instances. Clones share their images.
#[derive(Clone)]
pub struct Instances {
    pub(crate) options: Arc<InstancesOptions>,
    pub(crate) images: Arc<Images>,
}

/// An environment could not be started; no event was lost, because none was taken.
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

/// The function could not be initialised; its log says why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the initialisation of the function failed")]
pub struct InitFailed;

/// The end of one event.
#[derive(Debug)]
pub struct Delivery {
    /// For the caller.
    pub outcome: Outcome,
    /// Whether the instance can take another event. `None`: its extensions are not done with this one;
    /// [`Instance::finish`] tells.
    pub reusable: Option<bool>,
}

impl Instances {
    /// A starter of instances.
    pub fn new(options: InstancesOptions) -> Self {
        Self { options: Arc::new(options), images: Arc::default() }
    }

    /// Starts an instance of `function`. It is initialising when this returns; the first event waits for
    /// that, or [`Instance::initialise`].
    pub async fn start(
        &self,
        function: Arc<FunctionSnapshot>,
        initialization: InitializationType,
    ) -> Result<Instance, StartError> {
        let initialization = match initialization {
            InitializationType::OnDemand if function.snap_start => InitializationType::SnapStart,
            other => other,
        };
        self.expect_image(&function);
        let (instance, notice) = self.make(function, initialization, false)?;
        if let Ok(design) = &instance.design {
            instance.start_environment(design, InitPhase::Init).await?;
        }
        if let Some(notice) = notice {
            instance.log.platform(vec![notice]);
        }
        Ok(instance)
    }

    /// An instance without an environment yet, and a line for its log. A template is initialised for its image alone.
    pub(crate) fn make(
        &self,
        function: Arc<FunctionSnapshot>,
        initialization: InitializationType,
        is_template: bool,
    ) -> Result<(Instance, Option<String>), StartError> {
        let o = &self.options;
        let plan = o.catalogue.current().plan(&function)?;
        let id = random::hex(&random::bytes::<16>());
        let stream_name = log_stream_name(o.clock.now(), &function, &id);
        let stream = o.logs.open(&function.key.scope, &function.log_group, &stream_name);
        let telemetry = Arc::new(Telemetry::new(function.log_format));
        let filter = LogFilter::of(function.log_format);
        let log = InstanceLog::new(stream, o.clock.clone(), filter, telemetry.clone());
        let extensions = extensions::find(function.layers_dir.as_deref(), plan.root.as_deref());
        let mut binds = vec![layout::code(&function.code_dir)];
        binds.extend(function.layers_dir.as_deref().map(layout::layers));
        binds.extend(plan.binds);
        // Creation succeeds, the invocation reports what is wrong with it (RT-45).
        let network = o.network.decide(function.network).map_err(|r| StartError::Network(r.to_owned()))?;
        let design = plan.launcher.map(|launcher| {
            let debugger = o.debuggers.of(&function.key.name).filter(|_| launcher.can_be_debugged());
            let parts = ahead::Plan {
                launcher: &launcher,
                root: plan.root.as_ref(),
                binds: &binds,
                symlinks: &plan.symlinks,
            };
            let ahead = ahead::of(&function, &parts).filter(|_| debugger.is_none());
            Design {
                function: function.clone(),
                log_stream: stream_name,
                initialization,
                debugger,
                launcher,
                ahead,
                network,
                root: plan.root,
                binds,
                symlinks: plan.symlinks,
                extensions,
            }
        });
        let instance = Instance {
            options: self.options.clone(),
            images: self.images.clone(),
            is_template,
            // What was initialised ahead was paid for then, whether an event comes or not (CORE-177).
            init_is_billed: plan.init_is_billed && initialization == InitializationType::OnDemand,
            function,
            initialization,
            design,
            log,
            telemetry,
            unfinished: Mutex::new(None),
            running: Mutex::new(None),
            is_new: AtomicBool::new(true),
            beginning: Mutex::new(None),
        };
        Ok((instance, plan.notice))
    }

    /// A function that is likely to need an instance soon: what can be started for it now is.
    pub fn expect(&self, function: &FunctionSnapshot) {
        let o = &self.options;
        let Ok(LaunchPlan { launcher: Ok(launcher), root, binds, symlinks, .. }) =
            o.catalogue.current().plan(function)
        else {
            return;
        };
        let Ok(network) = o.network.decide(function.network) else { return };
        let parts =
            ahead::Plan { launcher: &launcher, root: root.as_ref(), binds: &binds, symlinks: &symlinks };
        if let Some(ahead) = ahead::of(function, &parts) {
            o.sandboxes.expect(Base { network, own_root: false }, &ahead);
        }
    }
}

/// `YYYY/MM/DD/[version]32 hex digits` (LANG1-040).
fn log_stream_name(at: UnixMillis, function: &FunctionSnapshot, id: &str) -> String {
    let (year, month, day) = at.date();
    format!("{year:04}/{month:02}/{day:02}/[{}]{id}", function.key.version)
}

/// One instance of one function version: one log stream, and one execution environment at a time. It takes
/// one event at a time; dropping it ends everything inside at once.
pub struct Instance {
    pub(crate) options: Arc<InstancesOptions>,
    pub(crate) images: Arc<Images>,
    pub(crate) function: Arc<FunctionSnapshot>,
    pub(crate) initialization: InitializationType,
    /// It is initialised for its image, and gets no event.
    pub(crate) is_template: bool,
    init_is_billed: bool,
    /// What its environments are to be, or why there can be none.
    pub(crate) design: Result<Design, String>,
    pub(crate) log: InstanceLog,
    pub(crate) telemetry: Arc<Telemetry>,
    /// An event that is answered, while extensions still work on it.
    unfinished: Mutex<Option<(Invocation, Answer)>>,
    running: Mutex<Option<Arc<Running>>>,
    /// It has not had an event yet, and was not initialised ahead of one.
    is_new: AtomicBool,
    /// What came before the first event, while no event has told of it.
    beginning: Mutex<Option<Beginning>>,
}

/// One event while it is processed.
pub(crate) struct Invocation {
    pub(crate) request_id: RequestId,
    /// Its tracing header, if anybody wants to know.
    pub(crate) trace: Option<String>,
    pub(crate) keep_tail: bool,
    /// Takes the response if it is streamed.
    pub(crate) stream: Option<Arc<dyn ResponseSink>>,
    /// Start of the invoke phase, which the timeout is for.
    pub(crate) began: Instant,
    /// When it went well just before this event.
    pub(crate) beginning: Option<Beginning>,
    /// Most memory that an environment used in which the event could not be processed.
    pub(crate) peak_bytes: u64,
}

impl Instance {
    /// The version it runs.
    pub fn function(&self) -> &Arc<FunctionSnapshot> {
        &self.function
    }

    /// Whether its process still runs.
    pub fn is_alive(&self) -> bool {
        self.running().as_ref().is_some_and(|running| running.is_alive())
    }

    /// Resolves when the process that it has now has ended; does not keep it alive.
    pub fn ended(&self) -> BoxFuture<'static, ()> {
        let ended = self.running().as_ref().map(|running| running.ended());
        Box::pin(async move {
            if let Some(ended) = ended {
                ended.await;
            }
        })
    }

    /// Waits until an instance that is kept ready for events is initialised. That may take
    /// [`limits::PROVISIONED_INIT_SECONDS`], or as long as one of its events. One that failed is of no use.
    pub async fn initialise(&self) -> Result<(), InitFailed> {
        if !self.is_new.swap(false, Ordering::AcqRel) {
            return Ok(());
        }
        let limit = Duration::from_secs(limits::PROVISIONED_INIT_SECONDS);
        let limit = limit.max(self.function.timeout.duration());
        let (running, beginning) = self.first_environment(limit).await.map_err(|_| InitFailed)?;
        *self.beginning() = Some(beginning);
        running.rest();
        Ok(())
    }

    /// Stops an idle instance where it is until its next event (RT-28); background work stops with it.
    /// An instance that is busy, or still initialising, is left alone.
    pub fn freeze(&self) {
        let running = self.running().clone();
        if let Some(Err(error)) = running.map(|running| running.freeze()) {
            tracing::warn!(%error, "cannot freeze an idle instance");
        }
    }

    /// Ends an idle instance: its process is asked to (SIGTERM), and after a grace everything that is left
    /// is killed. Resolves when nothing is left.
    pub async fn retire(&self) {
        let running = self.running().clone();
        if let Some(running) = running {
            running.retire(self.options.shutdown_grace).await;
        }
    }

    /// Hands an event to the function and waits for its end: a response, an error, a timeout or the end
    /// of the process. An initialisation that failed is repeated inside the event, in a new environment;
    /// when that cannot be made, the event was not taken.
    pub async fn deliver(&self, event: Event, wants: Wants) -> Result<Delivery, StartError> {
        let mut invocation = Invocation {
            request_id: event.request_id.clone(),
            trace: self
                .telemetry
                .is_wanted()
                .then(|| event.trace_id.clone())
                .filter(|trace| !trace.is_empty()),
            keep_tail: wants.log_type == LogType::Tail,
            stream: wants.stream,
            began: Instant::now(),
            beginning: None,
            peak_bytes: 0,
        };
        let ready = match self.is_new.swap(false, Ordering::AcqRel) {
            true => self.end_of_init(&mut invocation).await,
            false => {
                invocation.beginning = self.beginning().take();
                self.wake()
            }
        };
        let ready = match ready {
            Some(running) => Ok(running),
            None => self.initialise_again(&mut invocation).await?,
        };
        // After the second try, as the service has it.
        let (request_id, version) = (&invocation.request_id, self.function.key.version);
        let start = self.line_in(&invocation, PlatformEvent::Start { request_id, version });
        self.log.begin(start, invocation.keep_tail);
        let ending = match ready {
            Ok(running) => self.process(&running, event, &mut invocation).await?,
            Err(ending) => ending,
        };
        let answer = self.answer(&invocation, ending).await;
        let running = self.running().clone();
        let busy = running.as_ref().filter(|running| answer.reusable && !running.crew().is_at_rest());
        let answer = match busy {
            None => answer,
            // The end of the log is part of the answer.
            Some(busy) if invocation.keep_tail => self.wait_for_extensions(busy, &invocation, answer).await,
            Some(_) => return Ok(self.answer_early(invocation, answer)),
        };
        let (outcome, reusable) = self.conclude(&invocation, answer, running);
        self.log.settle().await;
        Ok(Delivery { outcome, reusable: Some(reusable) })
    }

    fn answer_early(&self, invocation: Invocation, answer: Answer) -> Delivery {
        let outcome = outcome(answer.payload.clone(), None);
        // Nothing is streamed any more.
        let invocation = Invocation { stream: None, ..invocation };
        *self.unfinished() = Some((invocation, answer));
        Delivery { outcome, reusable: None }
    }

    /// Waits until the extensions are done with an event that was delivered, and tells whether the instance can take
    /// another one.
    pub async fn finish(&self) -> bool {
        let unfinished = self.unfinished().take();
        let (Some((invocation, answer)), Some(running)) = (unfinished, self.running().clone()) else {
            return false;
        };
        let answer = self.wait_for_extensions(&running, &invocation, answer).await;
        let (_, reusable) = self.conclude(&invocation, answer, Some(running));
        self.log.settle().await;
        reusable
    }

    async fn wait_for_extensions(
        &self,
        running: &Arc<Running>,
        invocation: &Invocation,
        answer: Answer,
    ) -> Answer {
        match running.finish(self.end_of_time(invocation)).await {
            Ok(()) => Answer { duration: invocation.began.elapsed(), ..answer },
            // The caller has the runtime's answer, or will have it.
            Err(ending) => {
                let end = self.meaning(invocation, ending).await;
                let lines = answer.lines.into_iter().chain(end.lines).collect();
                Answer { payload: answer.payload, lines, ..end }
            }
        }
    }

    fn unfinished(&self) -> MutexGuard<'_, Option<(Invocation, Answer)>> {
        self.unfinished.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn beginning(&self) -> MutexGuard<'_, Option<Beginning>> {
        self.beginning.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn running(&self) -> MutexGuard<'_, Option<Arc<Running>>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn wake(&self) -> Option<Arc<Running>> {
        let running = self.running().clone()?;
        if let Err(error) = running.wake() {
            // It stays where it is; the event then times out, and the instance is replaced.
            tracing::error!(%error, "cannot thaw an instance");
        }
        Some(running)
    }

    /// What the log has of an event that happens now. Subscribers get it as well.
    fn line(&self, event: PlatformEvent<'_>) -> Option<String> {
        self.traced_line(event, None)
    }

    /// The same of a part of an invocation.
    fn line_in(&self, invocation: &Invocation, event: PlatformEvent<'_>) -> Option<String> {
        self.traced_line(event, invocation.trace.as_deref())
    }

    fn traced_line(&self, event: PlatformEvent<'_>, trace: Option<&str>) -> Option<String> {
        let now = self.options.clock.now();
        self.telemetry.event(now, &event, trace);
        event.line(self.function.log_format, now)
    }

    pub(crate) fn tell<'a>(&self, events: impl IntoIterator<Item = PlatformEvent<'a>>) {
        let lines = Vec::from_iter(events.into_iter().filter_map(|event| self.line(event)));
        if !lines.is_empty() {
            self.log.platform(lines);
        }
    }

    pub(crate) fn end_of_time(&self, invocation: &Invocation) -> Instant {
        invocation.began + self.function.timeout.duration()
    }

    /// Lets an environment that is ready process the event, or a new one if it ended before.
    async fn process(
        &self,
        running: &Running,
        event: Event,
        invocation: &mut Invocation,
    ) -> Result<Ending, StartError> {
        let until = self.end_of_time(invocation);
        let left = until.saturating_duration_since(Instant::now());
        let deadline = UnixMillis(self.options.clock.now().0 + left.as_millis() as i64);
        let dispatch = Arc::new(Dispatch { event, deadline, stream: invocation.stream.take() });
        match running.process(dispatch.clone(), until).await {
            // A runtime that answers, and ends instead of asking for more, has not failed this event.
            Ending::Untaken(_) => match self.initialise_again(invocation).await? {
                Ok(running) => Ok(running.process(dispatch, until).await),
                Err(ending) => Ok(ending),
            },
            ending => Ok(ending),
        }
    }

    /// What the end of an event means for the caller and for the log. One that is no answer ends the environment.
    async fn answer(&self, invocation: &Invocation, ending: Ending) -> Answer {
        let Answer { payload, status, duration, reusable, lines } = self.meaning(invocation, ending).await;
        let done = PlatformEvent::RuntimeDone {
            request_id: &invocation.request_id,
            status: &status,
            duration,
            produced_bytes: payload.as_ref().map_or(0, Bytes::len),
        };
        let lines = self.line_in(invocation, done).into_iter().chain(lines).collect();
        Answer { payload, status, duration, reusable, lines }
    }

    async fn meaning(&self, invocation: &Invocation, ending: Ending) -> Answer {
        let request_id = &invocation.request_id;
        let timeout = self.function.timeout.duration();
        let mut duration = invocation.began.elapsed();
        let reusable = matches!(ending, Ending::Replied(_));
        let status = end_status(&ending);
        let (payload, trouble) = match ending {
            Ending::Replied(Reply::Response(payload)) => (Ok(payload), None),
            Ending::Replied(Reply::Error(error)) | Ending::InitError(error) => (Err(error.document), None),
            Ending::Replied(Reply::Streamed) => (Ok(Bytes::new()), None),
            Ending::Replied(Reply::TooLarge { size, limit }) => {
                (Err(ErrorDocument::response_too_large(size, limit).to_bytes()), None)
            }
            Ending::Replied(Reply::Truncated) => (Err(ErrorDocument::truncated(request_id).to_bytes()), None),
            Ending::TimedOut => {
                duration = timeout;
                let trouble = self.line(PlatformEvent::Timeout { request_id, limit: timeout });
                self.end_environment(ShutdownReason::Timeout).await;
                let document = ErrorDocument::timed_out(request_id, timeout.as_secs_f64());
                (Err(document.to_bytes()), trouble)
            }
            Ending::Exited(exit) | Ending::Untaken(exit) => {
                self.fail(&ErrorDocument::ended(request_id, &exit)).await
            }
            Ending::Extension(failure) => self.fail(&ErrorDocument::extension(request_id, &failure)).await,
        };
        Answer { payload, status, duration, reusable, lines: trouble.into_iter().collect() }
    }

    async fn fail(&self, document: &ErrorDocument) -> (Result<Bytes, Bytes>, Option<String>) {
        let trouble = self.line(PlatformEvent::Ended(document));
        self.end_environment(ShutdownReason::Failure).await;
        (Err(document.to_bytes()), trouble)
    }

    async fn end_environment(&self, reason: ShutdownReason) {
        let running = self.running().clone();
        if let Some(running) = running {
            running.end(reason, DEATH_AFTER_TIMEOUT).await;
        }
    }

    /// Writes what the log has to say at the end of an event, and makes the caller's answer. Tells whether the instance
    /// can take another event.
    fn conclude(
        &self,
        invocation: &Invocation,
        answer: Answer,
        running: Option<Arc<Running>>,
    ) -> (Outcome, bool) {
        let Answer { payload, status, duration, reusable, mut lines } = answer;
        let request_id = &invocation.request_id;
        lines.extend(self.line(PlatformEvent::End { request_id }));
        let report = PlatformEvent::Report(Report {
            request_id,
            duration,
            beginning: invocation.beginning,
            init_is_billed: self.init_is_billed,
            memory: self.function.memory,
            peak_bytes: running.as_ref().map_or(invocation.peak_bytes, |running| running.peak_bytes()),
            status,
        });
        lines.extend(self.line_in(invocation, report));
        if !reusable {
            self.log.detach();
        }
        let log_tail = self.log.finish(lines);
        if let Some(running) = running.filter(|_| reusable) {
            running.rest();
        }
        (outcome(payload, log_tail), reusable)
    }
}

/// The end of an event as it is told: to the caller, in the log, to subscribers.
struct Answer {
    payload: Result<Bytes, Bytes>,
    status: Status,
    duration: Duration,
    reusable: bool,
    /// For the log.
    lines: Vec<String>,
}

/// What the platform's lines say of an end. A function that answers has ended well, even with an error.
pub(crate) fn end_status(ending: &Ending) -> Status {
    match ending {
        Ending::Replied(Reply::Response(_) | Reply::Streamed | Reply::Error(_)) => Status::Ok,
        Ending::Replied(Reply::TooLarge { .. }) => Status::Error("Function.ResponseSizeTooLarge".to_owned()),
        Ending::Replied(Reply::Truncated) => Status::Error("Runtime.TruncatedResponse".to_owned()),
        Ending::InitError(error) => Status::Error(shown_type(&error.error_type).to_owned()),
        Ending::Exited(exit) | Ending::Untaken(exit) => Status::Error(exit_type(exit).to_owned()),
        Ending::Extension(failure) => Status::Error(failure.kind.to_owned()),
        Ending::TimedOut => Status::Timeout,
    }
}

fn outcome(payload: Result<Bytes, Bytes>, log_tail: Option<Bytes>) -> Outcome {
    match payload {
        Ok(payload) => Outcome { payload, error: None, log_tail },
        Err(payload) => Outcome { payload, error: Some(FunctionError::Unhandled), log_tail },
    }
}

#[cfg(test)]
#[path = "instance_tests.rs"]
mod tests;
