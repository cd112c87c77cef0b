//! One environment of an instance: a sandbox, the Runtime API inside it, and what goes on in it.

use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::BoxFuture;
use lambd_types::invocation::InitializationType;
use lambd_types::{Clock, FunctionSnapshot, NetworkPolicy, random};
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::sync::{Notify, oneshot};
use tokio::task::AbortHandle;
use tokio::time::Instant;

use crate::api::{self, Dispatch, ExtensionsApi, Mailbox, Reply, ReportedError};
use crate::catalogue::Launcher;
use crate::debugging::{self, Debugger, Way};
use crate::environment;
use crate::extensions::{self, Crew, Failure, Invoked, ShutdownReason};
use crate::instance::{InstancesOptions, StartError};
use crate::layout::{self, Layout};
use crate::log::InstanceLog;
use crate::ports::{Addresses, Ahead, Base, Blueprint, Exit, Image, Origin, Sandbox, View};
use crate::report::Beginning;
use crate::snapstart;
use crate::telemetry::{Connect, Telemetry};
use crate::wrapper;

/// How long a runtime may write about an error that it has reported.
const LAST_WORDS: Duration = Duration::from_millis(500);
/// Memory for taking an image, beside the image.
const SPARE_BYTES: u64 = 64 << 20;
/// How long an end and what came just before it may be apart.
const NEWS_OF_THE_END: Duration = Duration::from_millis(100);

/// How an event, or the initialisation before it, ended.
pub(crate) enum Ending {
    /// The runtime answered.
    Replied(Reply),
    /// The runtime reported that it cannot initialise.
    InitError(ReportedError),
    /// The process ended.
    Exited(Exit),
    /// The process ended without having asked for the event.
    Untaken(Exit),
    /// An extension failed.
    Extension(Failure),
    /// The time was over.
    TimedOut,
}

/// What the environments of an instance are to be, as far as it is known before a sandbox is.
pub(crate) struct Design {
    pub(crate) function: Arc<FunctionSnapshot>,
    /// Name of the instance's log stream.
    pub(crate) log_stream: String,
    pub(crate) initialization: InitializationType,
    pub(crate) launcher: Launcher,
    /// What of it can be started before it is known for which function.
    pub(crate) ahead: Option<Ahead>,
    /// Of a function that is to be debugged.
    pub(crate) debugger: Option<Arc<Debugger>>,
    pub(crate) network: NetworkPolicy,
    /// See [`Blueprint`], as for the following.
    pub(crate) root: Option<PathBuf>,
    pub(crate) binds: Vec<(PathBuf, PathBuf)>,
    pub(crate) symlinks: Vec<(PathBuf, PathBuf)>,
    /// Names of the external extensions.
    pub(crate) extensions: Vec<String>,
}

impl Design {
    /// The port that a debugger is to listen on inside, for a function that is to be debugged.
    fn debugger_port(&self) -> Option<u16> {
        let shares_network = self.network == NetworkPolicy::Host;
        self.debugger.as_ref().map(|debugger| debugger.port_inside(shares_network))
    }

    fn blueprint(
        &self,
        id: String,
        view: &View,
        addresses: &Addresses,
        debugger: Option<u16>,
        origin: Origin,
    ) -> Blueprint {
        let layout = Layout::new(view, &self.binds, &self.symlinks);
        let (binds, symlinks) = match view {
            View::OwnRoot => layout::beside(&self.binds, &self.symlinks),
            View::Host { .. } => (self.binds.clone(), self.symlinks.clone()),
        };
        let mut start = self.launcher.start(&layout);
        if let Some(port) = debugger {
            start = self.launcher.under_debugger(start, port, &layout);
        }
        if self.launcher.takes_wrapper() {
            start = wrapper::wrapped(start, &self.function.environment, &layout);
        }
        let env = |language: &[(String, String)]| {
            let (stream, initialization) = (&self.log_stream, self.initialization);
            let own = environment::variables(&self.function, stream, initialization, language, &layout);
            environment::with_addresses(&own, addresses)
        };
        let env_of_extensions = if self.extensions.is_empty() { Vec::new() } else { env(&[]) };
        let mut variables = env(&start.env);
        let mut memory_bytes = self.function.memory.bytes();
        if debugger.is_some() {
            memory_bytes = memory_bytes.max(debugging::MEMORY_MIN);
        }
        if let Origin::ToBeCaptured { door } = origin {
            variables.push((snapstart::VARIABLE.to_owned(), door.to_string()));
            // The image is in the same memory until the process ends.
            memory_bytes = 2 * memory_bytes + SPARE_BYTES;
        }
        Blueprint {
            id,
            command: start.command,
            args: start.args,
            env: variables,
            companions: extensions::companions(&self.extensions, env_of_extensions, &layout, view),
            cwd: layout.task_root.into(),
            root: self.root.clone(),
            binds,
            symlinks,
            memory_bytes,
            tmp_bytes: self.function.ephemeral_storage.bytes(),
            origin,
        }
    }
}

/// What an environment is doing, so that it is never frozen while it has an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Activity {
    Busy,
    Idle,
    Frozen,
    /// It is being ended.
    Retired,
}

/// That the process has ended, for every event to look at.
#[derive(Default)]
struct Ended {
    is_told: AtomicBool,
    news: Notify,
}

impl Ended {
    fn tell(&self) {
        self.is_told.store(true, Ordering::Release);
        self.news.notify_waiters();
    }

    fn is_told(&self) -> bool {
        self.is_told.load(Ordering::Acquire)
    }

    async fn told(&self) {
        // Listening begins here, before the look, so that no news falls in between.
        let news = self.news.notified();
        if !self.is_told() {
            news.await;
        }
    }
}

/// A living environment. Dropping it ends everything inside.
pub(crate) struct Running {
    command: PathBuf,
    started: Instant,
    built: Instant,
    is_restored: bool,
    init: Mutex<Option<oneshot::Receiver<Result<(), ReportedError>>>>,
    mailbox: Arc<Mailbox>,
    crew: Arc<Crew>,
    telemetry: Arc<Telemetry>,
    clock: Arc<dyn Clock>,
    sandbox: Arc<dyn Sandbox>,
    ended: Arc<Ended>,
    activity: Mutex<Activity>,
    debugger: Option<Arc<Debugger>>,
    at_full_cpu: AtomicBool,
    tasks: Vec<AbortHandle>,
    _endpoint: Box<dyn Send + Sync>,
    _traces: Box<dyn Send + Sync>,
}

impl Running {
    /// Makes an environment by `design` under a new name; `log` reads its output from now on. It is
    /// initialising when this returns.
    pub(crate) async fn start(
        o: &InstancesOptions,
        design: &Design,
        log: &InstanceLog,
        telemetry: &Arc<Telemetry>,
        origin: Origin,
    ) -> Result<Self, StartError> {
        let started = Instant::now();
        let (is_restored, mailbox) = match origin {
            Origin::Program => (false, Mailbox::new()),
            Origin::ToBeCaptured { .. } => (false, Mailbox::of_template()),
            Origin::Image(_) => (true, Mailbox::new()),
        };
        let id = random::hex(&random::bytes::<16>());
        let base = Base { network: design.network, own_root: design.root.is_some() };
        let prepared = match &design.ahead {
            Some(ahead) if matches!(origin, Origin::Program) => o.sandboxes.prepare_for(base, ahead).await?,
            _ => o.sandboxes.prepare(base).await?,
        };
        let debugger_port = design.debugger_port();
        let (view, addresses) = (prepared.view(), prepared.addresses());
        let blueprint = design.blueprint(id, &view, &addresses, debugger_port, origin);
        let command = blueprint.command.clone();
        let mut sandbox = prepared.build(blueprint).await?;
        let built = Instant::now();
        let machine = |what: &str| StartError::Machine(what.to_owned());
        let output = sandbox.take_output().ok_or_else(|| machine("the sandbox has no output"))?;
        log.attach(output).map_err(|e| machine(&e.to_string()))?;
        let listeners = sandbox.take_listeners().ok_or_else(|| machine("the sandbox has no listeners"))?;
        let runtime_api =
            TcpListener::from_std(listeners.runtime_api).map_err(|e| machine(&e.to_string()))?;
        let (mailbox, init) = mailbox;
        let (mailbox, crew) = (Arc::new(mailbox), Arc::new(Crew::new(&design.extensions)));
        let companion_output = sandbox.take_companion_output();
        let companion_ends = sandbox.take_companion_ends();
        if let Some(output) = companion_output {
            log.attach_extensions(output).map_err(|e| machine(&e.to_string()))?;
        }
        let sandbox: Arc<dyn Sandbox> = Arc::from(sandbox);
        // Whoever debugs a program from outside has the time that the Runtime API does not answer it.
        let mut awaited = None;
        if let (Some(debugger), Some(port)) = (&design.debugger, debugger_port) {
            if design.launcher.is_debugged_from_outside() {
                debugger.present(&sandbox, Way::Outside(command.clone()));
                awaited = Some(debugger.clone());
            } else {
                debugger.present(&sandbox, Way::Inside(port));
            }
        }
        let apis = ExtensionsApi {
            crew: crew.clone(),
            telemetry: telemetry.clone(),
            log: log.clone(),
            function: design.function.clone(),
            clock: o.clock.clone(),
            connect: way_into(&sandbox),
        };
        let server = api::serve(
            runtime_api,
            mailbox.clone(),
            Arc::new(apis),
            listeners.gate.clone(),
            o.streamed_response,
        );
        let server = async move {
            if let Some(debugger) = awaited {
                debugger.attached().await;
            }
            server.await;
        };
        let ended = Arc::new(Ended::default());
        let watch = {
            let (exited, ended) = (sandbox.exited(), ended.clone());
            async move {
                exited.await;
                ended.tell();
            }
        };
        let mut tasks = vec![tokio::spawn(server).abort_handle(), tokio::spawn(watch).abort_handle()];
        tasks.extend(companion_ends.map(|ends| tokio::spawn(crew.clone().follow(ends)).abort_handle()));
        Ok(Self {
            command,
            started,
            built,
            is_restored,
            init: Mutex::new(Some(init)),
            mailbox,
            crew,
            telemetry: telemetry.clone(),
            clock: o.clock.clone(),
            sandbox,
            debugger: design.debugger.clone(),
            ended,
            activity: Mutex::new(Activity::Busy),
            at_full_cpu: AtomicBool::new(true),
            tasks,
            _endpoint: o.endpoint.serve(listeners.aws, listeners.gate, &design.function.key.scope),
            _traces: o.traces.serve(listeners.xray_udp, listeners.xray_tcp, &design.function.key),
        })
    }

    /// When its making began.
    pub(crate) fn started(&self) -> Instant {
        self.started
    }

    /// Whether it began with an image.
    pub(crate) fn is_restored(&self) -> bool {
        self.is_restored
    }

    /// What it took until now, when it is ready for its first event.
    pub(crate) fn beginning(&self) -> Beginning {
        let duration = self.started.elapsed();
        match self.is_restored {
            true => Beginning::Restore { duration, billed: self.built.elapsed() },
            false => Beginning::Init(duration),
        }
    }

    /// The image of its process, which was initialised for that; or why there is none.
    pub(crate) async fn capture(&self) -> Result<Image, String> {
        self.sandbox.capture().await
    }

    /// Whether its process and its extensions still run.
    pub(crate) fn is_alive(&self) -> bool {
        !self.ended.is_told() && !self.crew.has_failed()
    }

    /// Its extensions.
    pub(crate) fn crew(&self) -> &Crew {
        &self.crew
    }

    /// Most memory that was in use at one time, in bytes; zero when nobody knows.
    pub(crate) fn peak_bytes(&self) -> u64 {
        self.sandbox.memory_peak_bytes().unwrap_or(0)
    }

    /// Resolves when its process or an extension has ended; does not keep it alive.
    pub(crate) fn ended(&self) -> BoxFuture<'static, ()> {
        let (exited, crew) = (self.sandbox.exited(), self.crew.clone());
        Box::pin(async move {
            tokio::select! {
                _ = exited => {}
                _ = crew.failure() => {}
            }
        })
    }

    /// Ends the init phase's full CPU. Nobody waits for it.
    fn limit_cpu(&self) {
        static SAID: AtomicBool = AtomicBool::new(false);
        let sandbox = self.sandbox.clone();
        tokio::task::spawn_blocking(move || {
            if let Err(error) = sandbox.limit_cpu()
                && !SAID.swap(true, Ordering::Relaxed)
            {
                tracing::warn!(%error, "cannot limit the CPU of an instance; this is said only once");
            }
        });
    }

    async fn exited(&self) -> Exit {
        match self.sandbox.exited().await {
            Exit::NotStarted(reason) => {
                Exit::NotStarted(format!("fork/exec {}: {reason}", self.command.display()))
            }
            exit => exit,
        }
    }

    /// Resolves at `until`, unless the function is being debugged; then it may take longer.
    async fn time_over(&self, until: Instant) {
        match &self.debugger {
            None => tokio::time::sleep_until(until).await,
            Some(debugger) => {
                let again = until.saturating_duration_since(Instant::now());
                debugger.time_over(until, again).await;
            }
        }
    }

    /// Waits until the runtime and all extensions are ready, but not for longer than `until`. External extensions
    /// come first: the runtime starts when all have registered.
    pub(crate) async fn initialise(&self, until: Instant) -> Result<(), Ending> {
        let init = self.init.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(init) = init else { return Ok(()) };
        let ready = async {
            if self.crew.has_external() {
                self.crew.registered().await;
                self.sandbox.launch().await;
            }
            match init.await {
                Ok(result) => result.map_err(Ending::InitError)?,
                // It is the mailbox of this environment, which lives as long.
                Err(_) => std::future::pending().await,
            }
            self.crew.ready().await;
            Ok(())
        };
        tokio::select! {
            biased;
            result = ready => result,
            failure = self.crew.failure() => Err(Ending::Extension(failure)),
            exit = self.exited() => Err(Ending::Exited(exit)),
            () = self.time_over(until) => Err(Ending::TimedOut),
        }
    }

    /// Hands an event to the runtime and waits for its end, but not for longer than `until`. The first
    /// event ends the time at full CPU.
    pub(crate) async fn process(&self, dispatch: Arc<Dispatch>, until: Instant) -> Ending {
        let is_manned = self.crew.is_manned();
        if is_manned {
            self.crew.invoke(invoked(&dispatch));
        }
        let mut reply = self.mailbox.post(dispatch);
        if self.at_full_cpu.swap(false, Ordering::AcqRel) {
            self.limit_cpu();
        }
        let ending = tokio::select! {
            biased;
            Ok(reply) = &mut reply => self.unless_it_ended(reply).await,
            failure = self.crew.failure(), if is_manned => Ending::Extension(failure),
            () = self.ended.told() => {
                let exit = self.exited().await;
                match self.mailbox.nobody_asked() {
                    true => Ending::Untaken(exit),
                    false => self.last_words(reply, exit).await,
                }
            }
            () = self.time_over(until) => Ending::TimedOut,
        };
        if let Ending::Replied(Reply::Error(_)) = &ending {
            self.comes_back().await;
        }
        ending
    }

    /// Waits until a runtime that reported an error has come back for the next event, or has ended: that of Java
    /// writes about an error after it has reported it, and its log would have that behind the end (LANG1-161).
    async fn comes_back(&self) {
        let over = async {
            tokio::select! {
                () = self.mailbox.asked() => {}
                _ = self.exited() => {}
            }
        };
        // One that dawdles has nothing to say.
        let _ = tokio::time::timeout(LAST_WORDS, over).await;
    }

    /// A response breaks off when its process ends, which is news from elsewhere and says more.
    async fn unless_it_ended(&self, reply: Reply) -> Ending {
        if reply != Reply::Truncated {
            return Ending::Replied(reply);
        }
        let exit = tokio::time::timeout(NEWS_OF_THE_END, self.exited()).await;
        exit.map_or(Ending::Replied(reply), Ending::Exited)
    }

    /// What a process wrote of its response before it ended is still on its way.
    async fn last_words(&self, reply: oneshot::Receiver<Reply>, exit: Exit) -> Ending {
        if self.mailbox.is_answering()
            && let Ok(Ok(reply)) = tokio::time::timeout(NEWS_OF_THE_END, reply).await
            && reply != Reply::Truncated
        {
            return Ending::Replied(reply);
        }
        Ending::Exited(exit)
    }

    /// Waits until the extensions are done with an event that the runtime has answered, but not for longer than
    /// `until`.
    pub(crate) async fn finish(&self, until: Instant) -> Result<(), Ending> {
        // A runtime that answers, and ends instead of asking for more, has not failed. Its internal extensions,
        // which ended with it, cannot be waited for.
        let is_over = async {
            self.sandbox.exited().await;
            if self.crew.has_external() {
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            biased;
            () = self.crew.at_rest() => Ok(()),
            failure = self.crew.failure() => Err(Ending::Extension(failure)),
            () = is_over => Ok(()),
            () = self.time_over(until) => Err(Ending::TimedOut),
        }
    }

    /// Ends everything inside and waits for that, but not for longer than `patience`. External extensions are told
    /// why, and have their time after the process, which nobody waits for.
    pub(crate) async fn end(self: &Arc<Self>, reason: ShutdownReason, patience: Duration) {
        let ended = if self.crew.has_external() {
            let running = self.clone();
            tokio::spawn(async move { running.shut_down(reason).await });
            let exited = self.sandbox.exited();
            Box::pin(async move { drop(exited.await) })
        } else {
            self.sandbox.kill();
            self.sandbox.gone()
        };
        let _ = tokio::time::timeout(patience, ended).await;
    }

    async fn shut_down(&self, reason: ShutdownReason) {
        // What the end is about should be known before it.
        self.telemetry.flush();
        extensions::shut_down(&*self.sandbox, &self.crew, reason, &*self.clock).await;
    }

    fn activity(&self) -> MutexGuard<'_, Activity> {
        self.activity.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An event is coming: what is frozen goes on.
    pub(crate) fn wake(&self) -> io::Result<()> {
        match std::mem::replace(&mut *self.activity(), Activity::Busy) {
            Activity::Frozen => self.sandbox.thaw(),
            Activity::Busy | Activity::Idle | Activity::Retired => Ok(()),
        }
    }

    /// The event, or the initialisation before any, has ended.
    pub(crate) fn rest(&self) {
        let mut activity = self.activity();
        if *activity != Activity::Retired {
            *activity = Activity::Idle;
        }
    }

    /// Whether it is being ended because nobody needs it any more.
    pub(crate) fn is_retired(&self) -> bool {
        *self.activity() == Activity::Retired
    }

    /// Stops everything inside where it is. One that is busy is left alone.
    pub(crate) fn freeze(&self) -> io::Result<()> {
        let mut activity = self.activity();
        // Somebody who debugs expects answers, also between events.
        if *activity == Activity::Idle && self.debugger.is_none() {
            self.sandbox.freeze()?;
            *activity = Activity::Frozen;
        }
        Ok(())
    }

    /// Lets the process end by itself, and ends what is left after `grace`; external extensions have a time of their
    /// own instead. Resolves when nothing is left.
    pub(crate) async fn retire(&self, grace: Duration) {
        if std::mem::replace(&mut *self.activity(), Activity::Retired) == Activity::Frozen
            && let Err(error) = self.sandbox.thaw()
        {
            tracing::warn!(%error, "cannot thaw an instance that is to end");
        }
        if self.crew.has_external() {
            self.shut_down(ShutdownReason::Spindown).await;
        } else {
            self.sandbox.terminate(grace).await;
        }
    }
}

/// Connects to ports inside a sandbox, without keeping it.
fn way_into(sandbox: &Arc<dyn Sandbox>) -> Connect {
    let sandbox = Arc::downgrade(sandbox);
    Arc::new(move |port| match sandbox.upgrade() {
        Some(sandbox) => sandbox.connect(port),
        None => Box::pin(std::future::ready(Err(io::ErrorKind::NotConnected.into()))),
    })
}

/// An event as extensions are told of it.
fn invoked(dispatch: &Dispatch) -> Invoked {
    let Dispatch { event, deadline, .. } = dispatch;
    Invoked {
        request_id: event.request_id.to_string(),
        function_arn: event.invoked_arn.clone(),
        trace_id: event.trace_id.clone(),
        deadline: deadline.0,
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.sandbox.kill();
        // The Runtime API is served until the last process is dead: one that saw its connection break
        // would still have the time to complain in the log.
        let (gone, tasks) = (self.sandbox.gone(), self.tasks.clone());
        let end = move || tasks.iter().for_each(AbortHandle::abort);
        match Handle::try_current() {
            Ok(runtime) => {
                runtime.spawn(async move {
                    gone.await;
                    end();
                });
            }
            // The event loop is gone, and every task with it.
            Err(_) => end(),
        }
    }
}
